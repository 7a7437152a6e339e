"""A league of 27 tables, a century of seasons: many tables that all refer to one, dated by integer years."""

from __future__ import annotations

from pathlib import Path

import duckdb

_PLAYED = "COUNT(batting.*, -1, 0, years) > 0"
LEAGUE_TASKS = {
    "plays_next_year": f"PREDICT COUNT(batting.*, 0, 1, years) > 0 FOR EACH people.pid WHERE {_PLAYED}",
    "hits_next_year": f"PREDICT SUM(batting.c1, 0, 1, years) FOR EACH people.pid WHERE {_PLAYED}",
}
_KINDS = (
    "batting", "pitching", "fielding", "catching", "running", "appearances", "salaries", "awards", "votes", "injuries",
    "transfers", "training", "travel", "interviews", "sponsors", "fines", "insurance", "scouting", "fitness", "diet",
    "practice", "video", "charity", "school", "housing",
)  # fmt: skip
"""Tables of seasons; with the people and the teams there are 27 tables."""


def write_league(path: Path, rows: int = 600_000, columns: int = 9) -> Path:
    """Write a DuckDB file of about ``rows`` rows: people whose skill fades with age, and what they did each year.

    Only some tables say anything about who goes on playing; the columns of the others are noise.
    """
    each = rows // (len(_KINDS) + 1)
    people = max(each // 4, 20)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SELECT setseed(0.42)")
        connection.execute(
            "CREATE TABLE people AS SELECT i AS pid, 1900 + (random() * 95)::INTEGER AS born, random() AS skill, "
            "(170 + 30 * random())::INTEGER AS height, ['left', 'right'][1 + (i % 2)] AS hand "
            f"FROM range({people}) t(i)"
        )
        connection.execute("CREATE TABLE teams AS SELECT i AS team_id, 'Team ' || i AS name FROM range(30) t(i)")
        connection.execute(
            "CREATE TEMP TABLE seasons AS "
            "SELECT pid, born + 19 + k AS yr, skill, k, (pid * 7 + k // 3) % 30 AS team_id FROM people, range(25) t(k) "
            "WHERE born + 19 + k <= 2020 AND random() < skill * exp(-0.004 * k * k) + 0.15"
        )
        for number, kind in enumerate(_KINDS):
            noise = 0.1 if number < 6 else 1.0
            values = ", ".join(
                f"round({1 - noise} * skill * (30 - k) + {noise} * 30 * random(), 1) AS c{i + 1}"
                for i in range(columns)
            )
            connection.execute(
                f"CREATE TABLE {kind} AS SELECT pid, yr, team_id, {values} FROM seasons ORDER BY "
                f"{'yr' if number == 0 else f'hash(pid * 31 + yr * {number})'} LIMIT {each}"
            )
        connection.execute("ALTER TABLE people DROP COLUMN skill")
        connection.execute("ALTER TABLE people ADD PRIMARY KEY (pid)")
        connection.execute("ALTER TABLE teams ADD PRIMARY KEY (team_id)")
    return path
