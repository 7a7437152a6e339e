"""Dates in text: one order of day and month a column, over all parts, said where both fit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.project import TimeConfig
from forekey.source import Inference, infer_schema, open_source
from forekey.workspace import Workspace
from tests.support.databases import source_of


def folder(path: Path, texts: dict[str, list[str]]) -> Path:
    """Write a table ``visits`` of parts, each a list of dates, and a table of accounts."""
    (path / "visits").mkdir(parents=True)
    (path / "accounts.csv").write_text("account_id,plan\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(1, 9)))
    number = 0
    for part, dates in texts.items():
        lines = ["visit_id,account_id,seen"]
        for text in dates:
            number += 1
            lines.append(f'{number},{1 + number % 8},"{text}"')
        (path / "visits" / f"{part}.csv").write_text("\n".join(lines) + "\n")
    return path


def inferred(path: Path) -> Inference:
    with open_source(f"files:///{path}", path) as source:
        return infer_schema(source)


def days(start: datetime, count: int, written: str) -> list[str]:
    return [(start + timedelta(days=i)).strftime(written) for i in range(count)]


@pytest.mark.parametrize(
    "written",
    ["%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y", "%m/%d/%Y %H:%M", "%d.%m.%y"],
)
def test_a_format_that_fits_every_part_is_found(tmp_path: Path, written: str) -> None:
    parts = {"a": days(datetime(2024, 1, 1), 12, written), "b": days(datetime(2024, 3, 1), 60, written)}
    made = pipeline.init(f"files:///{folder(tmp_path / 'd', parts)}", tmp_path)
    assert made.workspace.config.tables["visits"].time_column == TimeConfig(column="seen", format=written)
    times = pipeline.snapshot(made.workspace).rows("visits").column("seen").to_pylist()
    expected = [datetime(2024, 1, 1) + timedelta(days=i) for i in range(12)]
    assert times == [*expected, *(datetime(2024, 3, 1) + timedelta(days=i) for i in range(60))]


def test_iso_dates_are_timestamps_and_one_that_is_none_is_counted(tmp_path: Path) -> None:
    good = days(datetime(2024, 1, 1), 99, "%Y-%m-%d")
    assert inferred(folder(tmp_path / "a", {"x": good})).tables()["visits"].time_column == "seen"
    made = pipeline.init(f"files:///{folder(tmp_path / 'b', {'x': [*good, 'never']})}", tmp_path)
    assert made.workspace.config.tables["visits"].time_column == "seen"
    built = pipeline.snapshot(made.workspace)
    assert built.manifest.tables["visits"].quarantined == {"no time": 1}


def test_first_days_of_months_are_told_from_first_days_of_a_year(tmp_path: Path) -> None:
    monthly = [f"{m:02d}/01/{y}" for y in (2022, 2023) for m in range(1, 13)]
    made = pipeline.init(f"files:///{folder(tmp_path / 'd', {'x': monthly})}", tmp_path)
    guess = next(g for g in made.inference.guesses if g.what == "time_column")
    assert "every value reads as %m/%d/%Y and as %d/%m/%Y; taken as %m/%d/%Y" in guess.reason
    assert pipeline.snapshot(made.workspace).as_of == datetime(2023, 12, 1)
    found = pipeline.check(made.workspace).warnings
    assert [f.what for f in found if f.where == "visits.seen"] == [
        "every value reads as %m/%d/%Y and as %d/%m/%Y; it is read as %m/%d/%Y"
    ]


def test_rows_in_the_order_of_time_tell_the_order_of_day_and_month(tmp_path: Path) -> None:
    texts = [f"{d:02d}/{m:02d}/2024" for m in range(1, 13) for d in range(1, 13)]
    entry = inferred(folder(tmp_path / "d", {"x": texts})).tables()["visits"]
    assert entry.time_column == TimeConfig(column="seen", format="%d/%m/%Y")


def test_where_nothing_tells_the_order_the_column_stays_text_and_init_says_so(tmp_path: Path) -> None:
    texts = [f"{1 + i * 7 % 12:02d}/{1 + i * 5 % 12:02d}/2024" for i in range(144)]
    found = inferred(folder(tmp_path / "d", {"x": texts}))
    assert found.tables()["visits"].time_column is None
    reason = next(g.reason for g in found.guesses if (g.column, g.what) == ("seen", "reading"))
    assert "nothing tells which is meant: state it as {type: timestamp, format:" in reason


def test_parts_that_disagree_are_named_and_not_guessed(tmp_path: Path) -> None:
    parts = {"us": days(datetime(2024, 1, 1), 60, "%m/%d/%Y"), "eu": days(datetime(2024, 3, 1), 60, "%d/%m/%Y")}
    source = folder(tmp_path / "d", parts)
    with open_source(f"files:///{source}", source) as opened:
        # Named like a moment, or nothing is said of it.
        table = next(t for t in opened.tables() if t.name == "visits")
        assert table.columns[2].dtype == "text"
        found = infer_schema(opened)
    assert found.tables()["visits"].time_column is None
    assert "no one order of day and month fits all" in next(
        g.reason for g in found.guesses if (g.column, g.what) == ("seen", "reading")
    )


def test_a_stated_format_is_kept(tmp_path: Path) -> None:
    texts = [f"{1 + i % 12:02d}/{1 + i // 12:02d}/2024" for i in range(144)]
    made = pipeline.init(f"files:///{folder(tmp_path / 'd', {'x': texts})}", tmp_path)
    path = tmp_path / "forekey.yaml"
    path.write_text(path.read_text().replace("%d/%m/%Y", "%m/%d/%Y"))
    entry = Workspace.open(tmp_path).config.tables["visits"]
    assert entry.time_column == TimeConfig(column="seen", format="%m/%d/%Y")
    assert made.workspace.config.tables["visits"].time_column == TimeConfig(column="seen", format="%d/%m/%Y")


def test_a_line_far_down_decides_and_a_file_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    texts = [f"{1 + i // 3000:02d}/01/2024" for i in range(30_000)] + ["01/13/2024"]
    path = folder(tmp_path / "d", {"x": texts})
    (path / "broken.csv").write_text("a,b\n1,2\n3\n")
    found = inferred(path)
    assert found.tables()["visits"].time_column == TimeConfig(column="seen", format="%m/%d/%Y")
    assert "line 3 of 'broken.csv' has 1 fields" in found.unreadable["broken"]


Make = Callable[[list[str]], pa.Table]


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ("part_no", [f"4-{1 + i % 12}-{10 + i % 18}" for i in range(200)]),
        ("version", [f"{i % 9}.{i % 12}.{i % 20}" for i in range(200)]),
        ("phone", [f"{1000 + i}-{10 + i % 12}-{10 + i % 18}" for i in range(200)]),
        ("shelf", [f"{1 + i % 12}/{1 + i % 28}" for i in range(200)]),
        ("ratio", [f"{1 + i % 12}/{1 + i % 28}/{i % 10}" for i in range(200)]),
        ("order_ref", [f"2024-{1 + i % 12:02d}-{i:04d}" for i in range(200)]),
    ],
)
def test_codes_that_look_like_dates_are_not_times(column: str, texts: list[str]) -> None:
    found = infer_schema(source_of({"parts": pa.table({"id": range(200), column: texts})}))
    assert found.schema.table("parts").time_column is None
