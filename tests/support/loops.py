"""Where compiled loops are kept while tests run."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "forekey"


def compiled_loops() -> Path:
    """Return a folder that is another one as soon as any loop changes.

    Numba looks at the file of a loop alone, and would go on with what it compiled when a loop in another file that is
    called from there is changed.
    """
    loops = sorted(p for p in SOURCE.rglob("*.py") if "njit" in p.read_text(encoding="utf-8"))
    stamp = hashlib.sha256(b"".join(p.read_bytes() for p in loops)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"forekey-loops-{os.getuid()}-{stamp}"
