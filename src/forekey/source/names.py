"""What the names of tables and columns suggest about keys and times."""

from __future__ import annotations

import re
from collections.abc import Iterable

_KEY_WORDS = ("id", "key", "pk", "uuid", "guid", "code", "upc", "sku", "isbn", "number", "no", "num")
_GENERIC_KEYS = frozenset({"id", "key", "pk", "uuid", "guid", "code", "number", "no", "num"})
_EVENT_WORDS = ("created", "placed", "ordered", "occurred", "happened", "event", "purchase", "transaction", "posted")
_TIME_WORDS = ("timestamp", "datetime", "date", "time", "at", "on", "ts", "start", "started", "signup", "registered")
_NOT_EVENT_WORDS = (
    "birth", "birthday", "dob", "born", "end", "ended", "expiry", "expires", "expired", "expiration", "due", "updated",
    "modified", "deleted", "cancelled", "canceled", "closed", "last", "until", "maturity", "matures", "deadline",
    "expire", "estimated", "planned", "scheduled", "promised", "next", "to", "final", "finish", "finished", "death",
    "died", "deceased", "retired", "resolved",
)  # fmt: skip
_PLANNED_WORDS = frozenset({
    "due", "expiry", "expires", "expired", "expiration", "expire", "until", "maturity", "matures", "deadline",
    "estimated", "planned", "scheduled", "promised", "next", "to", "target", "valid", "appointment", "arrival",
    "arrives", "begin", "begins", "booked", "check", "checkin", "checkout", "departure", "departs", "ends", "event",
    "reserved", "start", "starts", "travel",
})  # fmt: skip
_YEAR_WORDS = frozenset({"year", "yr", "yyyy", "yearid", "fy", "season", "jahr", "annee", "anno"})
_MONTH_WORDS = frozenset({"month", "mon", "mo", "mm", "mnth", "monthid", "monat", "mois"})
_DAY_WORDS = frozenset({"day", "dayofmonth", "tag", "jour"})
_NEUTRAL_WORDS = frozenset(
    {"id", "no", "num", "number", "key", "fiscal", "calendar", "of", "the", "school", "academic"}
)
_CLOCK_WORDS = frozenset({
    "ts", "timestamp", "datetime", "date", "time", "epoch", "unix", "at", "on", "when", "day", "dt", "dob", "since",
    "birth", "birthday", "born", "jd", "julian", "ym", "ymd", "yyyymm", "yyyymmdd", "month", "period", "periode",
    "start", "end", "from", "until", "seen", "tm", "stamp", "datum", "fecha", "zeit",
})  # fmt: skip
_ORDINAL_WORDS = frozenset({
    "line", "lineno", "linenumber", "seq", "sequence", "stint", "position", "index", "idx", "round", "step", "lap",
    "row", "leg", "version", "revision", "ordinal",
})  # fmt: skip
_PART_WORDS = frozenset({
    "line", "lines", "item", "items", "part", "parts", "detail", "details", "position", "positions", "entry", "entries",
    "component", "components", "leg", "legs",
})  # fmt: skip


_SELF_WORDS = (
    "parent", "manager", "supervisor", "boss", "leader", "mentor", "referrer", "referred", "reply", "previous", "next",
    "original", "root", "ancestor", "successor", "predecessor", "superior", "reports",
)  # fmt: skip


def names_itself(column: str) -> bool:
    """Whether a column is named like a reference to another row of its own table: ``manager_id``, ``parent``."""
    return any(w in _SELF_WORDS for w in words(column))


def names_key(column: str) -> bool:
    """Whether a column is named like a key of any table: ``teamID``, ``zip_code``."""
    parts = words(column)
    return bool(parts) and parts[-1] in _KEY_WORDS


def names_ordinal(column: str) -> bool:
    """Whether a column is named like the number of a row among others: ``line_no``, ``stint``, ``seq``."""
    return any(w in _ORDINAL_WORDS for w in words(column))


def names_moment(column: str) -> bool:
    """Whether a column is named like a moment of any kind: a birthday, a deadline, the time of an event."""
    return any(w in _CLOCK_WORDS or w in _EVENT_WORDS or w in _NOT_EVENT_WORDS for w in words(column))


def names_plan(column: str) -> bool:
    """Whether a column is named like a moment that is known before it comes: ``due``, ``valid_to``."""
    return any(w in _PLANNED_WORDS for w in words(column))


def names_year(column: str) -> bool:
    """Whether a column is named like a year: of a birth, a season, a model."""
    return bool(_YEAR_WORDS & set(words(column)))


def names_own_time(table: str, column: str) -> bool:
    """Whether a column is named like the time at which its row came to be, or like its year, month or day."""
    if calendar_part(table, column) is not None:
        return True
    return names_moment(column) and not names_plan(column) and time_name_score(singular(table), column) >= 0


def names_parts(table: str) -> bool:
    """Whether the rows of a table are named like parts of others: ``order_lines``, ``OrderDetails``."""
    parts = words(table)
    return any(w in _PART_WORDS for w in parts) or any("".join(parts).endswith(w) for w in _PART_WORDS if len(w) > 4)


def calendar_part(table: str, column: str) -> str | None:
    """Return ``year``, ``month`` or ``day`` for a column that is named after that part of its row's date, else None.

    A year of birth, or one in which something was founded, is not the row's own.
    """
    parts = set(words(column)) - _NEUTRAL_WORDS - set(words(table)) - {singular(table)}
    named = {"year": _YEAR_WORDS, "month": _MONTH_WORDS, "day": _DAY_WORDS}
    own = set(words(column)) & _NEUTRAL_WORDS.union(*named.values())
    found = [part for part, names in named.items() if own & names]
    return found[0] if len(found) == 1 and not parts - named[found[0]] else None


def words(name: str) -> list[str]:
    """Split a name at underscores, blanks and capitals: ``customerId`` gives customer, id."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [w.lower() for w in re.split(r"[^A-Za-z0-9]+", spaced) if w]


def singular(name: str) -> str:
    """Return the singular of an English table name, in lower case and without separators."""
    return one_of("".join(words(name)))


def one_of(name: str) -> str:
    """Return the singular of an English plural, however it is spelled: ``order_lines`` becomes ``order_line``."""
    lower = name.lower()
    if lower.endswith("ies"):
        return name[:-3] + "y"
    if lower.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if lower.endswith("s") and not lower.endswith("ss") else name


def key_name_score(table: str, column: str, tables: Iterable[str] = ()) -> float:
    """Score from 0 to 1: how much the column is named like the table's own key, and not like that of another table."""
    parts = words(column)
    if not parts or parts[-1] not in _KEY_WORDS:
        return 0.0
    stem = singular("_".join(parts[:-1]))
    own = singular(table)
    if stem in {"", own}:
        return 1.0
    if any(stem == singular(other) for other in tables):
        return 0.2
    # person_id of people: plurals are not always regular, and no other table bears the name.
    related = own.endswith(stem) or stem.endswith(own) or own.startswith(stem) or stem.startswith(own)
    return 0.6 if related else 0.45


def names_parent(column: str, parent: str, key: str) -> bool:
    """Whether the column's name refers to the parent's key: the same name, or ending with it, or with the table."""
    own, theirs = "".join(words(column)), "".join(words(key))
    if theirs not in _GENERIC_KEYS and (own == theirs or own.endswith(theirs)):
        return True
    stem = "".join(words(column)[:-1]) if words(column) and words(column)[-1] in _KEY_WORDS else own
    return bool(stem) and (stem.endswith(singular(parent)) or stem == "".join(words(parent)))


def time_name_score(table: str, column: str) -> float:
    """Score how much a timestamp column is named like the moment its row came to be; below 0, it is not."""
    parts = words(column)
    if any(w in _NOT_EVENT_WORDS for w in parts):
        return -1.0
    return (
        (1.0 if any(w in _EVENT_WORDS for w in parts) else 0.0)
        + (0.5 if any(w in _TIME_WORDS for w in parts) else 0.0)
        + (0.5 if table in "".join(parts) else 0.0)
    )
