"""Guess with evidence what a database does not declare: keys, times, what columns mean, what must not be learnt from.

Declared facts win. Each guess carries the reason a person needs to overrule it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from forekey.errors import SourceError
from forekey.project import ColumnConfig, Config, ForeignKeyConfig, TableConfig
from forekey.schema import Schema, Stype, key_parts
from forekey.source.configured import ConfiguredSource
from forekey.source.dates import WrittenMoments
from forekey.source.guess_keys import Keys, guess_keys
from forekey.source.guess_leaks import written_later
from forekey.source.guess_times import Moments, guess_time, guess_wholes, has_time_of_its_own, hidden_moments
from forekey.source.guess_types import guess_type
from forekey.source.guesses import SURE, Guess
from forekey.source.overlay import configured_schema
from forekey.source.profile import ColumnProfile, profile_table
from forekey.source.protocol import Source, TableInfo

_REVIEWED = frozenset({"primary_key", "foreign_key", "time_column", "time_from"})


@dataclass(frozen=True)
class Inference:
    """The schema as declared and guessed, the guesses, and the number of rows per table.

    ``configured`` is what is written to forekey.yaml, ``untimed`` are the tables that have no time.
    """

    schema: Schema
    guesses: tuple[Guess, ...]
    rows: dict[str, int]
    configured: dict[str, TableConfig]
    unreadable: dict[str, str] = field(default_factory=dict)
    """Tables that are there and cannot be read, and why: they take no part."""
    exports: dict[str, str] = field(default_factory=dict)
    """Tables that Forekey wrote itself, which are no data, and what to do if they are."""

    def tables(self) -> dict[str, TableConfig]:
        """Return the schema as it is written to forekey.yaml."""
        return self.configured

    @property
    def untimed(self) -> tuple[str, ...]:
        """The tables whose rows have no time: they count as known at every moment."""
        return tuple(t.name for t in self.schema.tables if t.time_column is None)

    def comments(self) -> dict[tuple[str, ...], str]:
        """Return the reason of each guess by its place in forekey.yaml."""
        places = {"foreign_key": "foreign_keys", "stype": "columns", "reading": "columns", "leak": "columns"}
        unused: dict[tuple[str, ...], str] = {}
        for guess in (g for g in self.guesses if g.what == "not_used"):
            place = ("tables", guess.table)
            unused[place] = f"{unused[place]}; {guess.reason}" if place in unused else f"not used: {guess.reason}"
        return unused | {
            (
                "tables",
                g.table,
                *((places[g.what], g.column) if g.what in places else (g.what,)),
            ): g.reason if g.what == "leak" else f"guessed: {g.reason}"
            for g in self.guesses
            if g.what != "not_used"
        }


def infer_schema(source: Source, accepts: Callable[[Guess], bool] | None = None) -> Inference:
    """Introspect a source and complete what it does not declare.

    ``accepts`` is asked about each key, reference and time that is not sure; one that it refuses is not taken.
    """
    there = source.tables()
    unreadable = {t.name: t.unreadable for t in there if t.unreadable is not None}
    exports = {t.name: "Forekey wrote it; name it under tables: to read it." for t in there if t.export}
    infos: dict[str, TableInfo] = {}
    profiles: dict[str, dict[str, ColumnProfile]] = {}
    for table in (t for t in there if t.unreadable is None and not t.export):
        try:
            profiles[table.name] = profile_table(source, table)
        except SourceError as error:
            unreadable[table.name] = str(error)
        else:
            infos[table.name] = table
        if source.dialect == "postgres":
            source.release()  # no transaction stands still while a sample is measured
    source.release()
    guesses: list[Guess] = []
    keys = guess_keys(source, infos, profiles, guesses)
    source.release()
    tables: dict[str, TableConfig] = {}
    timeless: dict[str, bool] = {}
    for name, table in infos.items():
        moments = hidden_moments(source, table, profiles[name])
        tables[name] = _table(source, table, profiles[name], moments, keys, guesses)
        timeless[name] = not has_time_of_its_own(table, profiles[name], moments)
    for name, column, reason in guess_wholes(source, infos, tables, timeless):
        guesses.append(Guess(name, column, "time_from", reason, certainty=0.7))
        tables[name] = tables[name].model_copy(update={"time_from": column})
    if accepts is not None:
        source.release()
        tables = _reviewed(infos, tables, guesses, accepts)
    for name in tables:
        tables[name] = _without_leaks(source, infos, tables, name, guesses)
    config = Config(source=source.url, tables=tables)
    schema = configured_schema(ConfiguredSource(source, config, tuple(infos.values())), config)
    return Inference(schema, tuple(guesses), {n: t.rows for n, t in infos.items()}, tables, unreadable, exports)


def _table(
    source: Source,
    table: TableInfo,
    profile: Mapping[str, ColumnProfile],
    moments: Moments,
    keys: Keys,
    guesses: list[Guess],
) -> TableConfig:
    """Put the configuration of one table together."""
    primary, foreign = keys.primary[table.name], keys.foreign[table.name]
    single = {c.name for c in table.columns if c.name == primary or c.name in foreign}
    time = guess_time(source, table, profile, {c: m for c, m in moments.items() if c != primary}, primary, foreign)
    columns: dict[str, ColumnConfig] = {}
    for column in table.columns:
        if column.name not in single:
            told, reason = guess_type(column, profile[column.name], moments)
            found = moments.get(column.name)
            doubtful = isinstance(found, WrittenMoments) and not found.chosen
            what = "stype" if told.is_plain and not doubtful else "reading"
            columns[column.name] = told
            sure = 0.4 if doubtful else 0.9 if told.is_plain else 0.75
            guesses.append(Guess(table.name, column.name, what, f"{told.type}: {reason}", certainty=sure))
    if time is not None and table.time_column is None:
        guesses.append(
            Guess(table.name, ", ".join(time.time.columns), "time_column", time.reason, certainty=time.certainty)
        )
    return TableConfig(
        primary_key=primary,
        time_column=(time.time.column if time.time.is_plain else time.time) if time is not None else None,
        foreign_keys={c: ForeignKeyConfig(table=p) for c, p in foreign.items()},
        columns={c: told.type if told.is_plain else told for c, told in columns.items()},
    )


def _reviewed(
    infos: Mapping[str, TableInfo],
    tables: dict[str, TableConfig],
    guesses: list[Guess],
    accepts: Callable[[Guess], bool],
) -> dict[str, TableConfig]:
    """Return the tables without the guesses that are refused, which leave ``guesses`` too.

    A refused key is ignored, a refused reference a category; references to a key that is gone go with it.
    """
    asked = [g for g in guesses if g.what in _REVIEWED and g.certainty < SURE]
    refused = [g for g in sorted(asked, key=lambda g: g.certainty) if not accepts(g)]
    guesses[:] = [g for g in guesses if g not in refused]
    found = dict(tables)
    for guess in refused:
        entry = found[guess.table]
        parts = key_parts(guess.column, {c.name for c in infos[guess.table].columns}) or ()
        match guess.what:
            case "primary_key":
                kept = {**entry.columns, **{p: Stype.IGNORE for p in parts if p not in entry.columns}}
                found[guess.table] = entry.model_copy(update={"primary_key": None, "columns": kept})
            case "foreign_key":
                references = {c: r for c, r in entry.foreign_keys.items() if c != guess.column}
                kept = {**entry.columns, **{p: Stype.CATEGORICAL for p in parts if p not in entry.columns}}
                found[guess.table] = entry.model_copy(update={"foreign_keys": references, "columns": kept})
            case "time_column":
                found[guess.table] = entry.model_copy(update={"time_column": None})
            case _:
                found[guess.table] = entry.model_copy(update={"time_from": None})
    for name, entry in found.items():
        gone = {c for c, r in entry.foreign_keys.items() if found[r.table].primary_key is None}
        references = {c: r for c, r in entry.foreign_keys.items() if c not in gone}
        guesses[:] = [g for g in guesses if (g.table, g.what) != (name, "foreign_key") or g.column not in gone]
        columns = {**entry.columns, **{c: Stype.CATEGORICAL for c in gone if "," not in c}}
        found[name] = entry.model_copy(update={"foreign_keys": references, "columns": columns})
    return found


def _without_leaks(
    source: Source,
    infos: Mapping[str, TableInfo],
    tables: Mapping[str, TableConfig],
    name: str,
    guesses: list[Guess],
) -> TableConfig:
    """Set columns aside that seem to have been written after their rows came to be; parts of keys stay."""
    entry, known = tables[name], {c.name for c in infos[name].columns}
    keys = {p for k in (entry.primary_key or "", *entry.foreign_keys) for p in key_parts(k, known) or ()}
    aside = {c: reason for c, reason in written_later(source, infos, tables, name) if c not in keys}
    replaced = {(name, c, what) for c in aside for what in ("stype", "reading")}
    guesses[:] = [g for g in guesses if (g.table, g.column, g.what) not in replaced]
    guesses += [Guess(name, c, "leak", reason, certainty=0.75) for c, reason in aside.items()]
    return entry.model_copy(update={"columns": {**entry.columns, **dict.fromkeys(aside, Stype.IGNORE)}})
