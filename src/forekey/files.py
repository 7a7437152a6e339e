"""Writing files whole: readers see the old contents or the new ones, never a part, also after a power cut.

A file is written beside its place as a draft, its contents are flushed to the disk, the draft is renamed into its
place, and the folder, which holds the name, is flushed too. Without the first flush a name may survive a power cut and
its contents not; without the second the name itself may be lost.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = ".draft-"


def write_whole(path: Path, contents: str | bytes | memoryview, *, flush_name: bool = True) -> None:
    """Write a file in one step; text is encoded as UTF-8. Its folder is made if need be.

    Without ``flush_name`` the folder is not flushed: for many files, whose names count only once another file lists
    them. Call :func:`flush_folder` before that one is written.
    """
    with whole(path, flush_name=flush_name) as draft, draft.open("wb") as handle:
        handle.write(contents.encode() if isinstance(contents, str) else contents)


@contextmanager
def whole(path: Path, *, flush_name: bool = True) -> Iterator[Path]:
    """Yield the path of a draft to write to; it becomes ``path`` when the block ends, and goes away if it fails.

    The draft's name ends as that of ``path`` does, so that a library which looks at the ending writes the same format.
    A draft of the same file that a killed process left goes away first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if flush_name:
        sweep_drafts(path.parent, path.name)
    draft = draft_of(path)
    try:
        yield draft
        _flush(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    if flush_name:
        flush_folder(path.parent)


def create_whole(path: Path, contents: str | bytes, mode: int = 0o600) -> None:
    """Write a file that is not there yet, in one step; of several processes that do so at once, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    try:
        draft.touch(mode)
        draft.write_bytes(contents.encode() if isinstance(contents, str) else contents)
        _flush(draft)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    flush_folder(path.parent)


def publish_folder(draft: Path, place: Path) -> None:
    """Move a folder of finished files into its place in one step; :class:`OSError` if something is there already."""
    for folder, _, names in os.walk(draft):
        for name in names:
            _flush(Path(folder) / name)
        flush_folder(Path(folder))
    draft.rename(place)
    flush_folder(place.parent)


def draft_of(path: Path) -> Path:
    """Return a path beside ``path`` that is this process's own and that :func:`sweep_drafts` knows for a draft."""
    return path.with_name(f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}-{_ending(path.name)}")


def _ending(name: str) -> str:
    """Return as much of a name's end as leaves room for what a draft's name begins with: systems take 255 bytes."""
    return name[-50:]


def is_draft(path: Path) -> bool:
    """Whether a path is one of :func:`draft_of`."""
    return path.name.startswith(_PREFIX)


def sweep_drafts(folder: Path, name: str = "") -> int:
    """Delete the drafts in a folder whose processes are gone, those of one file or of all; return how many."""
    gone = 0
    for path in folder.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).split("-")[0]
        if not pid.isdigit() or not path.name.endswith(_ending(name)) or process_alive(int(pid)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        gone += 1
    return gone


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where its file system can do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(handle)


def process_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine: a draft of one that does not is abandoned."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
