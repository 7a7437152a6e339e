"""Invariant 4: kill any step at any point; readers see the last complete version, and the next run completes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from forekey import pipeline
from forekey.graph import SnapshotStore
from forekey.store import EmbeddingStore
from forekey.testing import append_rows, shop_tables
from forekey.workspace import Workspace

# Kills its own process with SIGKILL when files are moved into place for the n-th time: the moments that matter, since
# whatever is written before is a draft. `after` chooses whether the move itself still happens; only targets whose path
# has `within` in it are counted.
KILLER = """
import os, signal, sys
from pathlib import Path
count, limit, after, within = 0, int(sys.argv[1]), sys.argv[2] == "after", sys.argv[4]
def deadly(original):
    def move(self, target):
        global count
        if within not in str(target):
            return original(self, target)
        count += 1
        if count == limit and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, target)
        if count == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return move
Path.replace, Path.rename = deadly(Path.replace), deadly(Path.rename)
from forekey import pipeline
from forekey.workspace import Workspace
project = Workspace.open(sys.argv[3])
STEP
"""


def run_and_kill(step: str, project: Workspace, move: int, when: str, within: str = "") -> bool:
    """Run a step of the pipeline in a process that dies at its n-th move to a path; return whether it did die."""
    script = KILLER.replace("STEP", step)
    done = subprocess.run(
        [sys.executable, "-c", script, str(move), when, str(project.root), within],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == -signal.SIGKILL


def add_orders(project: Workspace) -> None:
    """Let the shop's next weeks arrive."""
    later = shop_tables(customers=200, days=420, seed=5)["orders"].to_pylist()
    import pyarrow as pa

    newest = project.snapshots.current().as_of
    fresh = [{**row, "order_id": row["order_id"] + 1_000_000} for row in later if row["placed_at"] > newest]
    with duckdb.connect(str(project.root / "shop.duckdb")) as connection:
        append_rows(connection, "orders", pa.Table.from_pylist(fresh))


@pytest.mark.parametrize(
    ("move", "when"), [(1, "before"), (5, "after"), (9, "before"), (10, "before"), (10, "after"), (11, "before")]
)
def test_a_killed_build_leaves_the_last_snapshot_and_the_next_build_completes(
    shop_project: Workspace, tmp_path: Path, move: int, when: str
) -> None:
    shutil.copytree(shop_project.root, tmp_path / "p")
    project = Workspace.open(tmp_path / "p")
    before = project.snapshots.current().id
    add_orders(project)
    run_and_kill("pipeline.snapshot(project)", project, move, when)
    seen = project.snapshots.current()
    seen.verify()
    finished = pipeline.snapshot(project)
    assert finished.id != before
    assert seen.id in {before, finished.id}
    scratch = pipeline.snapshot(project, full=True)
    assert scratch.id == finished.id
    project.snapshots.prune(0, min_age_seconds=0)
    assert not list((project.machine / "snapshots" / "files").glob(".draft*"))


def test_the_moves_of_a_build_are_as_many_as_the_kills_assume(shop_project: Workspace, tmp_path: Path) -> None:
    """Guards the numbers above: this update moves 11 files, the last two being manifest and pointer."""
    for move, dies in ((11, True), (12, False)):
        shutil.copytree(shop_project.root, tmp_path / str(move))
        project = Workspace.open(tmp_path / str(move))
        add_orders(project)
        assert run_and_kill("pipeline.snapshot(project)", project, move, "before") == dies


@pytest.mark.parametrize(("move", "when"), [(1, "before"), (1, "after")])
def test_a_killed_training_leaves_the_champion_and_no_half_model(own_project: Workspace, move: int, when: str) -> None:
    models = own_project.registry
    before = models.champion("spend").version
    step = "pipeline.train(project, 'spend', preset='fast')"
    assert run_and_kill(step, own_project, move, when, within="models/spend/v")
    assert models.champion("spend").version == before
    for version in models.versions("spend"):
        assert version.weights.is_file()
        assert version.manifest.metrics["test"]
    pipeline.train(own_project, "spend", preset="fast")
    assert not list((own_project.machine / "models" / "spend").glob(".draft*"))


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_killed_embedding_leaves_the_last_version_to_readers(own_project: Workspace, write: int) -> None:
    with own_project.store() as store:
        before = EmbeddingStore(store).current("churn")
    kill_at_write = f"""
from forekey.store.lmdb_store import LmdbStore
original, writes = LmdbStore.put_many, 0
def deadly(self, items):
    global writes
    writes += 1
    if writes == {write}:
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, items)
LmdbStore.put_many = deadly
pipeline.embed(project, "churn")
"""
    assert run_and_kill(kill_at_write, own_project, 99, "before")
    with own_project.store() as store:
        embeddings = EmbeddingStore(store)
        assert embeddings.current("churn") == before
        assert before is not None
        assert all(record is not None for record in embeddings.get_many(before, range(1, 201)))
    done = pipeline.embed(own_project, "churn")
    with own_project.store() as store:
        current = EmbeddingStore(store).current("churn")
        assert current is not None
        assert current.version == done.version
        assert len(list(EmbeddingStore(store).scan(current))) == 200


def test_readers_never_see_a_snapshot_between_two(shop_project: Workspace, tmp_path: Path) -> None:
    shutil.copytree(shop_project.root, tmp_path / "p")
    project = Workspace.open(tmp_path / "p")
    add_orders(project)
    held = project.snapshots.current()
    nodes = held.num_nodes("orders")
    pipeline.snapshot(project)
    assert held.rows("orders").num_rows == nodes
    assert SnapshotStore(project.machine / "snapshots").current().num_nodes("orders") > nodes
