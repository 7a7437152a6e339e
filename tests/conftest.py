"""Databases and projects that several rooms' tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.loops import compiled_loops

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes share two cores
os.environ.setdefault("NUMBA_CACHE_DIR", str(compiled_loops()))

import pytest
from hypothesis import HealthCheck, settings

from forekey import pipeline
from forekey.project import PQLTask
from forekey.testing import SHOP_TASKS, write_shop
from forekey.workspace import Workspace
from tests.support.browser import NO_BROWSER
from tests.support.examples import examples
from tests.support.servers import Postgres, running_postgres

settings.register_profile(
    "forekey",
    deadline=None,
    max_examples=examples(60),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    # The same examples every time, so that a change is judged by what it changed; FOREKEY_FUZZ=1 looks for new ones.
    derandomize=not os.environ.get("FOREKEY_FUZZ"),
)
settings.load_profile("forekey")

RELBENCH_F1 = Path(__file__).resolve().parents[2] / "shared" / "data" / "rel-f1"


@pytest.fixture(scope="session")
def relbench_f1() -> Path:
    """The RelBench Formula 1 folder, where this machine has it."""
    if not RELBENCH_F1.is_dir():
        pytest.skip("the RelBench rel-f1 folder is not on this machine")
    return RELBENCH_F1


@pytest.fixture(scope="session")
def shop_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated shop in a DuckDB file; read only."""
    return write_shop(tmp_path_factory.mktemp("shop") / "shop.duckdb")


@pytest.fixture(scope="session")
def _built_shop(shop_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    shutil.copy(shop_database, root / "shop.duckdb")
    tasks = {name: PQLTask(query=pql) for name, pql in SHOP_TASKS.items()}
    project = pipeline.init(str(root / "shop.duckdb"), root, tasks=tasks).workspace
    pipeline.snapshot(project)
    return root


@pytest.fixture(scope="session")
def shop_project(_built_shop: Path) -> Workspace:
    """A project on the shop with a snapshot; shared, so only to be read."""
    return Workspace.open(_built_shop)


@pytest.fixture(scope="session")
def _trained_shop(_built_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(_built_shop, root)
    project = Workspace.open(root)
    for task in SHOP_TASKS:
        pipeline.train(project, task, preset="fast")
        pipeline.embed(project, task)
    return root


@pytest.fixture(scope="session")
def trained_project(_trained_shop: Path) -> Workspace:
    """A project whose tasks are trained and embedded; shared, so only to be read."""
    return Workspace.open(_trained_shop)


@pytest.fixture
def own_project(_trained_shop: Path, tmp_path: Path) -> Workspace:
    """A trained project that a test may change."""
    shutil.copytree(_trained_shop, tmp_path / "project")
    return Workspace.open(tmp_path / "project")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real Postgres server, one a test process."""
    with running_postgres() as server:
        yield server


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly where the pages could not be tested."""
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if NO_BROWSER in str(r.longrepr)]
    if skipped:
        terminalreporter.section("NOT RUN: the pages in a browser", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{len(skipped)} tests of the console were skipped: {NO_BROWSER}. Install Debian's chromium."
        )
