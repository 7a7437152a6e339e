"""Passwords and tokens: where they stand in a URL, how they get into one, and how they are kept out of every message.

A URL may be written as RFC 3986 wants it, or as people type it, with ``@ : / % # ?`` or blanks in the password: what
stands between the first ``:`` after ``://`` and the last ``@`` is the password. Parameters such as ``?password=…``
and ``&sslpassword=…`` are secrets too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

HIDDEN = "***"

Span = tuple[int, int]

_NAME = r"[A-Za-z_][\w.-]*"
_SECRET_NAME = r"(?:[\w.-]*(?:password|passwd|passphrase|secret|token|credential)\w*|pwd|pass|(?:api|access)[_-]?key)"
_PARAMETER = re.compile(
    rf"(?<![\w.-])(?P<name>{_SECRET_NAME})\s*=\s*(?P<value>'(?:[^'\\]|\\.)*'|.*?)(?=[&;]{_NAME}=|\s+{_NAME}\s*=|\s*$)",
    re.IGNORECASE | re.DOTALL,
)
_QUERY = re.compile(rf"\?(?={_NAME}=)")
_PLACE = re.compile(r"(?:[\w.,-]+|\[[^\]]*\])?(?::\d+)?(?:/[^?]*)?")  # host:port/database
_MAY_HOLD_AT = re.compile(
    rf"{_SECRET_NAME}|(?:fallback_)?application_name|options|user|username|host|hostaddr|service|passfile|sslcert|sslkey"
    r"|sslrootcert|sslmode|connect_timeout|client_name|db",
    re.IGNORECASE,
)
_NO_PORT = re.compile(r"[^/?#:\[]+:(?!\d+(?:[/?,]|$))([^/?]+)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ESCAPED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_QUOTED = re.compile(r"""(["'`])(.+?)\1""")
_SHORTEST = 4
"""A secret of fewer characters is not searched for in messages at large: it would only make them unreadable."""

_known: set[str] = set()
"""Secrets of every URL that this process has seen, in each spelling."""


def without_password(url: str) -> str:
    """Return a URL as it may be shown and kept: every secret is ``***``."""
    return _replaced(url, _places(url, widest=True).secrets, lambda _: HIDDEN)


def without_secrets(text: str) -> str:
    """Return a message without the secrets of any URL that :func:`remember` was given."""
    for secret in sorted(_known, key=len, reverse=True):
        if secret in text:
            text = _whole_word(secret).sub(HIDDEN, text)
    return text


def remember(url: str) -> None:
    """Keep the secrets of a URL out of every message of this process from now on."""
    shown = set(re.split(r"\W+", without_password(url)))
    _known.update(s for s in _spellings(url) if len(s) >= _SHORTEST and s not in shown)


def remember_word(secret: str) -> None:
    """Keep a secret that stands in no URL out of every message of this process from now on."""
    if len(secret) >= _SHORTEST:
        _known.add(secret)


def reason_without(text: str, url: str) -> str:
    """Return what a driver said of a URL, without its secrets and without any piece of them that the driver quotes."""
    secrets = sorted(_spellings(url), key=len, reverse=True)
    text = text.replace(url, without_password(url))
    for secret in secrets:
        text = text.replace(secret, HIDDEN) if len(secret) >= _SHORTEST else _whole_word(secret).sub(HIDDEN, text)
    text = _QUOTED.sub(lambda m: f"{m[1]}{HIDDEN}{m[1]}" if any(m[2] in s for s in secrets) else m[0], text)
    pieces = {piece for secret in secrets for piece in re.split(r"\W+", secret) if len(piece) > 1}
    for piece in sorted(pieces, key=len, reverse=True):
        text = _whole_word(piece).sub(HIDDEN, text)
    return text


def encoded(url: str) -> str:
    """Return a URL whose user and secrets are percent-encoded, as drivers want it.

    What is percent-encoded already stays; a secret with a ``%`` that begins no code is taken as it is.
    """
    places = _places(url)
    return _replaced(url, [places.user, *places.secrets], lambda span: _percent(url[slice(*span)]))


def with_variables(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL with ``${FOREKEY_PASSWORD}`` and the like for its secrets, and what each variable stands for.

    A secret that is such a variable already stays.
    """
    places, names = _places(url), {}
    for span in places.secrets:
        if not _VARIABLE.fullmatch(url[slice(*span)]):
            parameter = re.search(rf"({_NAME})\s*=\s*$", url[: span[0]]) if span != places.password else None
            names[span] = f"FOREKEY_{re.sub(r'[^A-Z0-9]', '_', parameter[1].upper()) if parameter else 'PASSWORD'}"
    values = {name: decoded(url[slice(*span)]) for span, name in names.items()}
    return _replaced(url, names, lambda span: f"${{{names[span]}}}"), values


def substituted(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of ``${NAME}``; one that is a secret of a URL is percent-encoded on its way.

    ``KeyError`` names a variable that has no value.
    """
    secrets = _places(text).secrets if _SCHEME.match(text) else []

    def value(match: re.Match[str]) -> str:
        is_secret = any(start <= match.start() and match.end() <= end for start, end in secrets)
        return _quote(values[match[1]]) if is_secret else values[match[1]]

    return _VARIABLE.sub(value, text)


def looks_encoded(url: str) -> bool:
    """Whether a secret still has percent codes in it once it is decoded: it may have been encoded twice."""
    return any(re.search(r"%[0-9A-Fa-f]{2}", decoded(url[slice(*span)])) for span in _places(url).secrets)


def decoded(secret: str) -> str:
    """Return a secret as it is; one with a ``%`` that begins no code is not encoded."""
    return unquote(secret, errors="surrogateescape") if _ESCAPED.fullmatch(secret) else secret


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things stand in a URL; what is not there is an empty span."""

    user: Span
    password: Span
    parameters: tuple[Span, ...]

    @property
    def secrets(self) -> list[Span]:
        return [span for span in (self.password, *self.parameters) if span[0] < span[1]]


def _places(url: str, *, widest: bool = False) -> _Places:
    """Find user and secrets; the ``widest`` password ends at the last ``@`` of all, though it be in the query."""
    scheme = _SCHEME.match(url)
    start = scheme.end() if scheme else 0
    query = _query_start(url, start) if scheme else 0
    parameters = tuple(m.span("value") for m in _PARAMETER.finditer(url, query))
    end = parameters[0][0] if parameters else len(url)
    at = url.rfind("@", start, end if widest or not scheme else min(query, end))
    if at < 0 or url.startswith(("/", "["), start):
        # A password where the host was forgotten stands in the place of a port.
        odd = _NO_PORT.match(url, start) if scheme and at < 0 else None
        return _Places((0, 0), odd.span(1) if odd else (0, 0), parameters)
    colon = url.find(":", start, at)
    if colon >= 0:
        return _Places((start, colon), (colon + 1, at), parameters)
    if url[:4].lower() == "http":
        return _Places((0, 0), (start, at), parameters)  # a token in the place of the user
    return _Places((start, at), (0, 0), parameters)


def _query_start(url: str, start: int) -> int:
    """Return where the query begins: after a host, and with an ``@`` in it only in parameters that may have one."""
    for mark in _QUERY.finditer(url, start):
        before, query = url[start : mark.start()], url[mark.end() :]
        if "@" not in before and not _PLACE.fullmatch(before):
            continue
        holders = [part.partition("=")[0] for part in re.split(rf"&(?={_NAME}=)", query) if "@" in part]
        if all(_MAY_HOLD_AT.fullmatch(name) for name in holders):
            return mark.start()
    return len(url)


def _spellings(url: str) -> set[str]:
    """Return the secrets of a URL as they are written, as they are, and encoded."""
    spans = {*_places(url).secrets, *_places(url, widest=True).secrets}
    written = {url[slice(*span)] for span in spans}
    plain = {decoded(secret) for secret in written}
    return {s for s in written | plain | {_quote(p) for p in plain} if not _VARIABLE.fullmatch(s)}


def _replaced(url: str, spans: Iterable[Span], by: Callable[[Span], str]) -> str:
    for start, end in sorted(set(spans), reverse=True):
        url = f"{url[:start]}{by((start, end))}{url[end:]}"
    return url


def _whole_word(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")


def _quote(plain: str) -> str:
    return quote(plain, safe="", errors="surrogateescape")


def _percent(written: str) -> str:
    return quote(written, safe="%" if _ESCAPED.fullmatch(written) else "", errors="surrogateescape")
