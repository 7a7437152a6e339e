"""What a check reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should look at: where it is, what was seen, how to mend it."""

    where: str
    what: str
    how: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)
