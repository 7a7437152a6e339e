"""A file or folder is written whole or not at all, and what names it is written after it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from forekey.files import draft_of, is_draft, publish_folder, sweep_drafts, whole, write_whole

Log = list[tuple[str, str]]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What is flushed and moved, in order."""
    log: Log = []
    flush, move, rename = os.fsync, Path.replace, Path.rename

    def fsync(handle: int) -> None:
        log.append(("flush", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", lambda self, to: (log.append(("move", to.name)), move(self, to))[1])
    monkeypatch.setattr(Path, "rename", lambda self, to: (log.append(("move", to.name)), rename(self, to))[1])
    return log


def test_contents_are_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path: Path, disk: Log) -> None:
    write_whole(tmp_path / "a" / "x.json", "{}")
    assert (tmp_path / "a" / "x.json").read_text() == "{}"
    assert [what for what, _ in disk] == ["flush", "move", "flush"]
    assert disk[0][1].endswith("x.json")
    assert disk[2] == ("flush", "a")


def test_all_files_of_a_folder_are_on_the_disk_before_its_name(tmp_path: Path, disk: Log) -> None:
    draft = draft_of(tmp_path / "v1")
    (draft / "trees").mkdir(parents=True)
    for name in ("weights", "manifest", "trees/0.txt"):
        (draft / name).write_text(name)
    publish_folder(draft, tmp_path / "v1")
    before = {name for what, name in disk[: disk.index(("move", "v1"))]}
    assert before >= {"weights", "manifest", "0.txt", "trees", draft.name}
    assert disk[-1] == ("flush", tmp_path.name)


def test_a_folder_does_not_replace_another(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "mine").write_text("")
    draft = draft_of(tmp_path / "v1")
    draft.mkdir()
    with pytest.raises(OSError, match="not empty"):
        publish_folder(draft, tmp_path / "v1")
    assert (tmp_path / "v1" / "mine").exists()


def test_a_write_that_fails_leaves_the_old_contents_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_whole(path, "old")

    def fail() -> None:
        with whole(path) as draft:
            draft.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_drafts_of_processes_that_are_gone_are_swept(tmp_path: Path) -> None:
    mine, theirs = draft_of(tmp_path / "a.npy"), tmp_path / ".draft-99999999-0a0a-b.npy"
    folder = tmp_path / ".draft-99999999-0b0b-v2"
    folder.mkdir()
    for path in (mine, theirs, folder / "c"):
        path.write_text("")
    assert is_draft(mine)
    assert mine.suffix == ".npy"
    assert sweep_drafts(tmp_path) == 2
    assert list(tmp_path.iterdir()) == [mine]


def test_names_as_long_as_a_system_takes_them_are_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 240}.parquet"
    with whole(path) as draft:
        assert draft.suffix == ".parquet"
        draft.write_text("x")
    assert path.read_text() == "x"


def test_what_a_killed_write_left_goes_with_the_next_one_and_nothing_else_does(tmp_path: Path) -> None:
    left, other, foreign = (tmp_path / f".draft-{n}" for n in ("99999999-0a-x.csv", "99999999-0b-y.csv", "notes"))
    for path in (left, other, foreign):
        path.write_text("")
    write_whole(tmp_path / "x.csv", "1")
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, foreign.name, "x.csv"]
    assert sweep_drafts(tmp_path) == 1
    assert foreign.exists()


def test_a_file_system_that_cannot_flush_folders_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def fsync(handle: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{handle}")).is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "x", "1")
    assert (tmp_path / "x").read_text() == "1"


def test_nobody_writes_files_whole_in_another_way() -> None:
    source = Path(__file__).parents[1] / "src" / "forekey"
    for path in source.rglob("*.py"):
        if path.name != "files.py":
            text = path.read_text(encoding="utf-8")
            assert "fsync" not in text, path
            assert "os.replace" not in text, path
            assert "draft.replace(" not in text, path
            assert "draft.rename(" not in text, path
