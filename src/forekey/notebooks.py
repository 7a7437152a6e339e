"""Values as small HTML tables, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any


def as_table(heads: Iterable[str], rows: Iterable[Iterable[Any]], below: str = "") -> str:
    """Return an HTML table of texts and numbers, all of them escaped, and a line below it."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(_short(cell))}</td>' for cell in row)}</tr>" for row in rows)
    end = f"<p>{escape(below)}</p>" if below else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{end}"


def _short(cell: Any) -> str:
    if cell is None:
        return "–"
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}" if isinstance(cell, float) else str(cell)
