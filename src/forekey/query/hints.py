"""What someone may have meant where a query does not parse: a name that needs backquotes, a unit that is misspelt."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

from forekey.query.tree import Unit

UNITS = f"{', '.join(list(Unit)[:-1])} or {list(Unit)[-1]}"
_ABBREVIATED = {
    **dict.fromkeys(("s", "sec", "secs"), Unit.SECONDS),
    **dict.fromkeys(("min", "mins"), Unit.MINUTES),
    **dict.fromkeys(("h", "hr", "hrs"), Unit.HOURS),
    **dict.fromkeys(("d",), Unit.DAYS),
    **dict.fromkeys(("w", "wk", "wks"), Unit.WEEKS),
    **dict.fromkeys(("mo", "mon"), Unit.MONTHS),
    **dict.fromkeys(("y", "yr", "yrs", "annual"), Unit.YEARS),
}

_KEYWORD = "|".join(
    rf"{word}|{word.lower()}"
    for word in (
        *("PREDICT", "FOR", "EACH", "WHERE", "ASSUMING", "FORECAST", "TIMEFRAMES", "RANK", "TOP", "CLASSIFY", "VIA"),
        *("AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "CONTAINS", "STARTS", "ENDS", "WITH", "BETWEEN"),
    )
)
_PLAIN = re.compile(r"[_A-Za-z][_A-Za-z0-9]*|\*")
_OTHERWISE = r"""`[^`\n]+`|"[^"\n]+"|\[[^\]\n]+\]"""
_WORDS = rf"(?:[ \t]+(?!(?:{_KEYWORD})\b)\w+)*"
_TABLE = rf"{_OTHERWISE}|(?!(?:{_KEYWORD}|DISTINCT|ALL)\b)[^\s`'\"\[\](),.;=<>!#]+{_WORDS}"
_QUALIFIED = re.compile(rf"(?<!\w)(?P<table>{_TABLE})\s*\.\s*(?P<column>{_OTHERWISE}|[^\s`'\"\[\](),;=<>!#]+{_WORDS})")
_NUMBER = re.compile(r"[+-]?[\d.]+([eE][+-]?\d+)?")
_NAME = re.compile(r"[^\s`'\"(),.;=<>!#]+")


def hint_at(text: str, position: int, expected: Collection[str]) -> tuple[str, int] | None:
    """Return what is wrong where a query stops parsing, and where it begins; None if that is not known.

    ``expected`` names the tokens that could have stood at ``position``.
    """
    if "UNIT" in expected:
        return _unit(text, position)
    if _is_misspelt_keyword(text, position, expected):
        return None
    for found in _QUALIFIED.finditer(text):
        if found.start() <= position <= found.end() and not _NUMBER.fullmatch(found[0]):
            names = found["table"], found["column"]
            if position > found.end("table") and "_VIA" not in expected and " " in names[1]:
                continue  # after the entity's key a word is rather one too many than a part of the name
            if reasons := [reason for name in names if (reason := _needs_quotes(name))]:
                return _quoting(found[0], reasons[0], ".".join(map(_quoted, names))), found.start()
    name = _NAME.match(text, position)
    if "NAME" in expected and name is not None and (reason := _needs_quotes(name[0])):
        return _quoting(name[0], reason, _quoted(name[0])), position
    return None


def _is_misspelt_keyword(text: str, position: int, expected: Collection[str]) -> bool:
    word = re.match(r"\w*", text[position:])
    keywords = [token.strip("_") for token in expected if token.startswith("_")]
    return word is not None and bool(get_close_matches(word[0].upper(), keywords, 1, 0.75))


def _unit(text: str, position: int) -> tuple[str, int]:
    word = re.match(r"\w*", text[position:])
    written = word[0] if word else ""
    near = _ABBREVIATED.get(written.lower()) or next(iter(get_close_matches(written.lower(), list(Unit), 1, 0.6)), None)
    if near is None:
        return f"'{written or text[position : position + 1]}' is not a unit: expected {UNITS}", position
    return (
        f"'{written}' is not a unit (did you mean '{near}'?): expected {UNITS}, all in lower or all in upper case",
        position,
    )


def _quoting(written: str, reason: str, right: str) -> str:
    return f"'{written[:80]}' is not understood here: {reason}: {right}"


def _needs_quotes(name: str) -> str | None:
    """Say why a name cannot stand as it is; None if it can."""
    if name.startswith("`") or _PLAIN.fullmatch(name):
        return None
    if name[0] in '"[':
        return "names stand in backquotes, not in quotation marks or brackets"
    if not re.match(r"[^\W\d]|_", name):
        return "names that do not begin with a letter need backquotes"
    odd = next(c for c in name if not re.match(r"[_A-Za-z0-9]", c))
    kind = {" ": "blanks", "\t": "blanks", ".": "dots", "-": "hyphens"}.get(odd, f"'{odd}'")
    return f"names with {kind} need backquotes"


def _quoted(name: str) -> str:
    if name.startswith("`"):
        return name
    bare = re.sub(r'^[\["]|[\]"]$', "", name)
    return bare if _PLAIN.fullmatch(bare) else f"`{bare}`"
