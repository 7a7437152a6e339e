"""What `forekey init` found: one table that fits a screen, guesses marked by how sure they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.text import Text

from forekey.cli.render import Shown, grid

if TYPE_CHECKING:
    from forekey.pipeline import Initialized
    from forekey.schema import TableSchema
    from forekey.source import Guess

_FIRST = 3
_ORDER = ("primary_key", "foreign_key", "time_column", "time_from", "leak", "reading", "not_used")


def initialized(done: Initialized) -> Shown:
    """Show a new project's schema and guesses."""
    from forekey.graph import untimed_note

    schema, rows, guesses = done.inference.schema, done.inference.rows, done.inference.guesses
    marks = {(g.table, g.what, g.column): _mark(g) for g in guesses}
    table = grid("table", "rows", "primary key", "time", "refers to", "columns", right=("rows",))
    for t in schema.tables:
        references = (
            f"{fk.column} → {fk.parent}{marks.get((t.name, 'foreign_key', fk.column), '')}" for fk in t.foreign_keys
        )
        key = f"{t.primary_key}{marks.get((t.name, 'primary_key', t.primary_key), '')}" if t.primary_key else "–"
        table.add_row(t.name, f"{rows[t.name]:,}", key, _time(t, marks), "\n".join(references) or "–", _counted(t))
    note = untimed_note(schema)
    notes = [Text(note)] if note is not None else []
    reasons = {**done.inference.unreadable, **done.inference.exports}
    left_out = [Text(f"Left out: {name}. {why}", style="yellow") for name, why in reasons.items()]
    tasks = f"Tasks: {', '.join(done.tasks)}." if done.tasks else "State a task under tasks: to train it."
    end = Text(
        f"Wrote {done.workspace.root / 'forekey.yaml'}, where each guess stands with its reason, and a drawing of the "
        f"schema to {done.workspace.root / 'schema.svg'}. {tasks}"
    )
    return Shown(_data(done), Group(table, *_legend(guesses), *_look_first(guesses), *notes, *left_out, end))


def asked(guess: Guess) -> bool:
    """Ask a person whether a guess is right."""
    where = f"{guess.table}.{guess.column}"
    what = {
        "primary_key": "is the primary key",
        "foreign_key": "is a foreign key",
        "time_column": "is when a row came to be",
        "time_from": "gives its row the time of the row it refers to",
    }[guess.what]
    return click.confirm(f"{where} {what}: {guess.reason}. Right?", default=True, err=True)


def _mark(guess: Guess) -> str:
    from forekey.source import LIKELY, SURE

    return "" if guess.certainty >= SURE else " ?" if guess.certainty >= LIKELY else " ??"


def _time(table: TableSchema, marks: dict[tuple[str, str, str], str]) -> str:
    """Return a table's time with its mark; what is computed from several columns is guessed under their names."""
    if table.time_column is None:
        return "–"
    found = next(
        (m for (t, what, _), m in marks.items() if t == table.name and what in {"time_column", "time_from"}), ""
    )
    return f"{table.time_column}{found}"


def _counted(table: TableSchema) -> str:
    """Count the other columns by what they mean."""
    computed = table.time_column if table.time_column is not None and " of " in table.time_column else None
    counts = Counter(str(c.stype) for c in table.columns if c.name not in table.keys and c.name != computed)
    return ", ".join(f"{n} {stype}" for stype, n in counts.items()) or "–"


def _legend(guesses: tuple[Guess, ...]) -> list[Text]:
    marked = {_mark(g) for g in guesses if g.what not in {"stype", "not_used"}} - {""}
    if not marked:
        return []
    words = {" ?": "? guessed, probably right", " ??": "?? guessed, look at it"}
    return [Text("; ".join(text for mark, text in words.items() if mark in marked) + ".", style="dim")]


def _look_first(guesses: tuple[Guess, ...]) -> list[Text]:
    """Name the guesses that are least sure, with their reasons."""
    from forekey.source import SURE

    doubtful = [g for g in guesses if g.what != "stype" and (g.certainty < SURE or g.what == "not_used")]
    if not doubtful:
        return []
    doubtful.sort(key=lambda g: (g.certainty, _ORDER.index(g.what)))
    count = {1: "this", 2: "these two"}.get(len(doubtful), "these three")
    found = [Text(f"Look at {count} first:")]
    for g in doubtful[:_FIRST]:
        found.append(Text(f"  {g.table}.{g.column}: {g.what.replace('_', ' ')}; {g.reason}"))
    return found


def _data(done: Initialized) -> dict[str, object]:
    schema, rows = done.inference.schema, done.inference.rows
    return {
        "source": done.url,
        "tables": {
            t.name: {
                "primary_key": t.primary_key,
                "time_column": t.time_column,
                "foreign_keys": {fk.column: fk.parent for fk in t.foreign_keys},
                "columns": {c.name: str(c.stype) for c in t.columns},
                "rows": rows[t.name],
            }
            for t in schema.tables
        },
        "guesses": [{n: v for n, v in asdict(g).items() if n != "score"} for g in done.inference.guesses],
        "unreadable": done.inference.unreadable,
        "exports": done.inference.exports,
    }
