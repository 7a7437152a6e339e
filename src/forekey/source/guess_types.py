"""What columns mean, guessed from how they are stored, what they are called, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping

from forekey.project import ColumnConfig, MomentConfig
from forekey.schema import DType, Stype
from forekey.source.dates import READS, WrittenMoments
from forekey.source.names import calendar_part, words
from forekey.source.profile import ColumnProfile
from forekey.source.protocol import ColumnInfo

_CODE_WORDS = frozenset({"id", "code", "type", "status", "class", "zip", "category", "no", "phone", "postcode"})
_LISTS = 0.3
_REPEATED = 5  # texts per word, if the words are categories


def guess_type(
    column: ColumnInfo, profile: ColumnProfile, moments: Mapping[str, WrittenMoments | MomentConfig] | None = None
) -> tuple[ColumnConfig, str]:
    """Guess what a column means and how its values are written, and say why.

    ``moments`` has the columns that hold moments though they are not stored as such.
    """
    if profile.non_null == 0:
        stype, reason = _stype_of_empty(column)
        return ColumnConfig(type=stype), reason
    found = (moments or {}).get(column.name)
    if isinstance(found, WrittenMoments) and found.chosen:
        return ColumnConfig(type=Stype.TIMESTAMP, format=found.told.format), found.reason
    if isinstance(found, MomentConfig):
        return ColumnConfig(type=Stype.TIMESTAMP, unit=found.unit), f"every value reads as {found.unit}"
    if column.dtype is DType.TEXT and profile.distinct > 1:
        told, reason = _type_of_text(column, profile)
        return told, reason if found is None else f"{reason}; {found.reason}"
    stype, reason = _stype_of(column, profile)
    return ColumnConfig(type=stype), reason


def _stype_of(column: ColumnInfo, profile: ColumnProfile) -> tuple[Stype, str]:
    if column.dtype is DType.BOOLEAN:
        return Stype.BOOLEAN, "stored as boolean"
    if column.dtype is DType.TIMESTAMP:
        return Stype.TIMESTAMP, f"stored as {column.sql_type}"
    if profile.distinct <= 1:
        return Stype.IGNORE, "constant"
    if column.dtype is DType.FLOAT:
        return Stype.NUMERICAL, f"stored as {column.sql_type}"
    if column.dtype is DType.INTEGER:
        return _stype_of_integer(column, profile)
    if column.dtype is DType.LIST:
        return _stype_of_list(column)
    return Stype.IGNORE, f"{column.sql_type} has no encoder"


def _stype_of_empty(column: ColumnInfo) -> tuple[Stype, str]:
    by_dtype = {
        DType.INTEGER: Stype.NUMERICAL,
        DType.FLOAT: Stype.NUMERICAL,
        DType.BOOLEAN: Stype.BOOLEAN,
        DType.TIMESTAMP: Stype.TIMESTAMP,
        DType.TEXT: Stype.CATEGORICAL,
    }
    return by_dtype.get(column.dtype, Stype.IGNORE), "no values yet; judged by its type"


def _stype_of_integer(column: ColumnInfo, profile: ColumnProfile) -> tuple[Stype, str]:
    is_year = calendar_part("", column.name) == "year"
    if _CODE_WORDS.intersection(words(column.name)[-1:]) and not is_year:
        return Stype.CATEGORICAL, f"an integer named like a code; about {profile.distinct:,} distinct values"
    return Stype.NUMERICAL, f"an integer; about {profile.distinct:,} distinct values"


def _type_of_text(column: ColumnInfo, profile: ColumnProfile) -> tuple[ColumnConfig, str]:
    if profile.answers == 1.0 and profile.distinct == 2 and profile.plain == 0:
        return ColumnConfig(type=Stype.BOOLEAN), f"two words for yes and no: {' and '.join(_first_two(profile))}"
    number = _number(column, profile)
    if number is not None:
        return number
    if profile.lists >= _LISTS and 2 <= profile.parts * _REPEATED <= profile.non_null:
        listed = f"{profile.lists:.0%} of the texts are lists (a|b or a;b)"
        return ColumnConfig(type=Stype.MULTICATEGORICAL), f"{listed} of {profile.parts:,} different words"
    share = profile.distinct / profile.non_null
    seen = f"about {profile.distinct:,} distinct values in {profile.non_null:,}"
    if profile.distinct <= 30 or (share <= 0.5 and profile.distinct <= 20_000 and profile.mean_length <= 60):
        return ColumnConfig(type=Stype.CATEGORICAL), seen
    return ColumnConfig(type=Stype.TEXT), f"{seen}, {profile.mean_length:.0f} characters on average"


def _number(column: ColumnInfo, profile: ColumnProfile) -> tuple[ColumnConfig, str] | None:
    """Return how the numbers of a text column are written; None if it does not hold numbers."""
    if (
        max(profile.numbers, profile.commas) < READS
        or profile.padded > 0
        or _CODE_WORDS.intersection(words(column.name))
    ):
        return None
    signs = profile.plain < READS  # a currency, a decimal comma, separated thousands: no code is written so
    if not signs and profile.distinct <= 30:
        return None
    comma = profile.commas > profile.numbers
    share = profile.commas if comma else profile.numbers
    reason = f"text of which {share:.1%} reads as a number"
    if not signs:
        return ColumnConfig(type=Stype.NUMERICAL), reason
    example = next((t for t in profile.texts if not _is_plain(t)), profile.texts[0])
    reason += f" with a decimal {'comma' if comma else 'point'}, such as {example.strip()[:40]}"
    if profile.commas == profile.numbers:
        reason += "; every value reads with a decimal comma too: set decimal: ',' if that is meant"
    return ColumnConfig(type=Stype.NUMERICAL, decimal="," if comma else "."), reason


def _is_plain(text: str) -> bool:
    return text.strip().lstrip("+-").replace(".", "", 1).isdigit()


def _first_two(profile: ColumnProfile) -> list[str]:
    return list(dict.fromkeys(t.strip() for t in profile.texts))[:2]


def _stype_of_list(column: ColumnInfo) -> tuple[Stype, str]:
    inner = column.sql_type.upper().split("[")[0]
    if inner.startswith(("FLOAT", "DOUBLE", "DECIMAL", "REAL", "NUMERIC", "VECTOR")):
        return Stype.EMBEDDING, f"a list of {inner.lower()}"
    if inner.startswith(("VARCHAR", "CHAR", "TEXT", "ENUM", "INTEGER", "BIGINT", "SMALLINT", "UUID")):
        return Stype.MULTICATEGORICAL, f"a list of {inner.lower()}"
    return Stype.IGNORE, f"{column.sql_type} has no encoder"
