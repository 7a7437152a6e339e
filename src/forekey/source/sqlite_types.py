"""What a column of SQLite holds: by its declared type's affinity, and by its values, which may be of any type.

Affinity: https://www.sqlite.org/datatype3.html, section 3.1. SQLite has no type for moments: they are texts, Julian
days or seconds since 1970 (section 2.2), and programs write milliseconds, or days as 20240131; a column holds one kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MOSTLY = 0.98
_MOMENT = (
    "{c} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND date(substr({c}, 1, 10)) IS NOT NULL "
    "AND substr({c} || ' ', 11, 1) IN ('T', ' ')"
)
_DAY = (
    "typeof({c}) = 'integer' AND {c} BETWEEN 10000101 AND 99991231 AND ({c} / 100) % 100 BETWEEN 1 AND 12 "
    "AND {c} % 100 BETWEEN 1 AND 31"
)
_SCALES = {"s": (0, 1e11), "ms": (1e11, 1e14), "us": (1e14, 1e17), "ns": (1e17, 9.3e18)}
"""How large numbers are that count seconds since 1970, or parts of them, in the years 1973 to 5138."""
_NUMBER = "typeof({c}) IN ('integer', 'real')"
_FITS_UNIT = {
    "julian": f"{_NUMBER} AND {{c}} BETWEEN 1721059.5 AND 5373484.5",
    "yyyymmdd": _DAY,
    **{u: f"{_NUMBER} AND ({{c}} = 0 OR abs({{c}}) BETWEEN {lo:.0f} AND {hi:.0f})" for u, (lo, hi) in _SCALES.items()},
}
"""In SQLite's SQL: whether a value may be a moment of a unit."""
COUNTED = {
    "there": "{c} IS NOT NULL",
    "integers": "typeof({c}) = 'integer'",
    "reals": "typeof({c}) = 'real'",
    "texts": "typeof({c}) = 'text'",
    "blobs": "typeof({c}) = 'blob'",
    "iso": f"typeof({{c}}) = 'text' AND length({{c}}) BETWEEN 10 AND 35 AND {_MOMENT}",
    "years": "typeof({c}) = 'integer' AND {c} BETWEEN 1000 AND 2999",
    **_FITS_UNIT,
}
"""What is counted of a column's values, as conditions in SQLite's SQL."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The DuckDB type that a column is read as; of moments that are numbers, what these count."""

    name: str
    unit: str | None = None

    def __str__(self) -> str:
        return f"{self.name}, of numbers that count {self.unit}" if self.unit else self.name

    def fits(self, column: str) -> str | None:
        """Write, in SQLite's SQL, whether DuckDB reads a value as it is; None if every value does."""
        conditions = {
            "VARCHAR": "typeof({c}) <> 'blob'",
            "UUID": "typeof({c}) = 'text' AND length({c}) IN (32, 36, 38)",
            "BIGINT": "typeof({c}) = 'integer'",
            "BOOLEAN": "typeof({c}) = 'integer'",
            "DOUBLE": _NUMBER,
            "TIMESTAMP": f"typeof({{c}}) = 'text' AND {_MOMENT} AND {{c}} NOT GLOB '*[+Zz]*'",
        }
        return conditions[self.name].format(c=column) if self.name in conditions else None


def kind_of(declared: str, counts: Mapping[str, int]) -> Kind:
    """Return what a column holds, from its declared type and counts of its values (see :data:`COUNTED`)."""
    word, there = declared.upper(), counts["there"]
    if "UUID" in word or "GUID" in word:
        return Kind("UUID")
    if "BOOL" in word:
        return Kind("VARCHAR" if 2 * counts["texts"] > there else "BOOLEAN")
    if "DATE" in word or "TIMESTAMP" in word:
        return _moments(counts)
    affinity = _affinity(word)
    if affinity == "TEXT":
        return Kind("TIMESTAMP" if there and counts["iso"] >= _MOSTLY * there else "VARCHAR")
    if not there:
        return Kind(
            {"INTEGER": "BIGINT", "REAL": "DOUBLE", "NUMERIC": "DOUBLE", "BLOB": "BLOB"}.get(affinity, "VARCHAR")
        )
    return _by_values(affinity, word, counts)


def _affinity(word: str) -> str:
    rules = (
        ("INT", "INTEGER"), ("CHAR", "TEXT"), ("CLOB", "TEXT"), ("TEXT", "TEXT"), ("BLOB", "BLOB"), ("REAL", "REAL"),
        ("FLOA", "REAL"), ("DOUB", "REAL"),
    )  # fmt: skip
    return next((kind for part, kind in rules if part in word), "NUMERIC" if word else "NONE")


def _by_values(affinity: str, word: str, counts: Mapping[str, int]) -> Kind:
    """Return the type of a column whose affinity does not decide: a number unless its values are not."""
    numbers, there = counts["integers"] + counts["reals"], counts["there"]
    if affinity in {"BLOB", "NONE"} and counts["blobs"] > there / 2:
        return Kind("BLOB")
    if affinity in {"BLOB", "NONE"} and counts["iso"] >= _MOSTLY * there:
        return Kind("TIMESTAMP")
    if numbers < _MOSTLY * there and (affinity in {"BLOB", "NONE", "NUMERIC"} or not numbers):
        return Kind("VARCHAR")
    scaled = affinity == "REAL" or re.search(r",\s*[1-9]", word) is not None
    return Kind("DOUBLE" if scaled or counts["reals"] else "BIGINT")


def _moments(counts: Mapping[str, int]) -> Kind:
    """Return how the values of a column that is declared as a date or timestamp are moments."""
    numbers = counts["integers"] + counts["reals"]
    if counts["texts"] >= max(numbers, 1) and 2 * counts["iso"] < counts["texts"]:
        return Kind("VARCHAR")
    if not numbers:
        return Kind("TIMESTAMP")
    if counts["years"] == numbers == counts["there"]:
        return Kind("BIGINT")
    for unit in ("julian", "yyyymmdd"):
        if counts[unit] >= _MOSTLY * numbers:
            return Kind("TIMESTAMP", unit)
    return Kind("TIMESTAMP", max(_SCALES, key=lambda unit: (counts[unit], -list(_SCALES).index(unit))))


def fits_unit(column: str, unit: str) -> str:
    """Write, in SQLite's SQL, whether a number may be a moment of a unit."""
    return _FITS_UNIT[unit].format(c=column)
