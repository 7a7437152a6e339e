"""Which planted faults the monitors name, and how often they cry wolf (no peer).

Run:

    python benchmarks/drift.py [--quick] [--json FILE]

A shop of two years is loaded and a model trained. Then weeks arrive, each with one fault, and the monitors look once:
the fault must be named by the monitor that it belongs to. Two more shops have no fault, one with strong seasons and one
that grows; their model is trained again every quarter. In weekly looks over a year (`--quick`: a quarter), every alert
that appears is a false one. Last, 500 columns that never change are looked at daily for a year (`--quick`: two months),
rows being drawn independently or with weeks that differ by chance: at most two warnings a year may appear.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forekey import __version__, pipeline
from forekey.monitoring import Alert, MonitorReport
from forekey.monitoring.periods import Periods
from forekey.monitoring.shift import discover, distribution_shift
from forekey.project import PQLTask
from forekey.testing.seasons import QUERY, SeasonalShop, Tables, moment, plant, seasonal_shop
from forekey.workspace import Workspace

TRAINED_AT = 2 * 364
YEAR, QUARTER = 52, 13


def main() -> None:
    """Plant, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a quarter of weekly looks instead of a year")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    looks = 13 if options.quick else YEAR
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        rows += faults(Path(folder) / "faults")
        for name, season, growth in (("seasons", 0.4, 0.0), ("growth", 0.1, 1.0)):
            rows += [quiet(Path(folder) / name, name, season, growth, looks)]
    days = 60 if options.quick else 365
    rows += [unchanged(spread, days) for spread in (0.0, 200.0)]
    detected = sum(r["kind"] == "fault" and r["detected"] for r in rows)
    missed = sum(r["kind"] == "fault" and not r["detected"] for r in rows)
    false = sum(r["false"] for r in rows)
    print(f"\ndetected {detected}, missed {missed}, false {false}")
    if options.json is not None:
        machine = {"machine": platform.processor() or platform.machine(), "versions": {"forekey": __version__}}
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the rows of a week, and which monitor must name which subject."""

    name: str
    monitor: str
    subject: str
    plant: Callable[[Tables], Tables]


def _changed(table: str, column: str, change: Callable[[pa.Table], Any]) -> Callable[[Tables], Tables]:
    def apply(tables: Tables) -> Tables:
        rows = tables[table]
        at = rows.column_names.index(column)
        values = pa.array(change(rows), from_pandas=True)
        return {**tables, table: rows.set_column(at, column, values.cast(rows.schema.field(column).type))}

    return apply


def _numbers(rows: pa.Table, column: str) -> np.ndarray[Any, Any]:
    return rows.column(column).to_numpy()


def _some(rows: pa.Table, share: float) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).random(len(rows)) < share


def _stopped(tables: Tables) -> Tables:
    return {**tables, "order_lines": tables["order_lines"].slice(0, 0)}


def _day_twice(tables: Tables) -> Tables:
    """Load one day again, under new keys, as a load without a key of its own does."""
    orders, lines = tables["orders"], tables["order_lines"]
    day = pc.floor_temporal(orders.column("placed_at"), unit="day")
    third = pc.equal(day, pc.unique(day)[2])
    again = orders.filter(third)
    shift = 10_000_000
    keys = pa.array(_numbers(again, "order_id") + shift)
    own = lines.filter(pc.is_in(lines.column("order_id"), value_set=again.column("order_id").combine_chunks()))
    lines_again = own.set_column(0, "line_id", pa.array(_numbers(own, "line_id") + shift))
    lines_again = lines_again.set_column(1, "order_id", pa.array(_numbers(own, "order_id") + shift))
    return {
        **tables,
        "orders": pa.concat_tables([orders, again.set_column(0, "order_id", keys)]),
        "order_lines": pa.concat_tables([lines, lines_again]),
    }


FAULTS = (
    Fault("prices rise by 30 %", "column drift", "order_lines.price",
          _changed("order_lines", "price", lambda r: _numbers(r, "price") * 1.3)),
    Fault("cents for euros", "column drift", "orders.amount",
          _changed("orders", "amount", lambda r: _numbers(r, "amount") * 100)),
    Fault("a broken join: a tenth of the keys name nobody", "orphans", "orders.customer_id",
          _changed("orders", "customer_id", lambda r: np.where(
              _some(r, 0.1), 9_000_000 + np.arange(len(r)), _numbers(r, "customer_id")))),
    Fault("a table stops silently", "age of newest row", "order_lines", _stopped),
    Fault("a fifth of the channels are NULL", "missing values", "orders.channel",
          _changed("orders", "channel", lambda r: np.where(
              _some(r, 0.2), None, np.array(r.column("channel").to_pylist(), object)))),
    Fault("customers of a new country", "new values", "customers.country",
          _changed("customers", "country", lambda r: np.where(
              _some(r, 0.5), "PT", np.array(r.column("country").to_pylist(), object)))),
    Fault("a day is loaded twice", "rows per day", "orders", _day_twice),
)  # fmt: skip


def faults(home: Path) -> list[dict[str, Any]]:
    """Plant each fault in the week after training, and look once; then let behaviour change."""
    shop = seasonal_shop(TRAINED_AT + 7, season=0.3)
    trained = _trained(home / "trained", shop)
    print(f"{'fault':48} {'the right monitor says':60} others")
    print(f"{'none':48} {'':60} {_names(_week(trained, home / 'none', shop, lambda t: t).alerts)}")
    rows = [_look_for(fault, _week(trained, home / f"fault-{i}", shop, fault.plant)) for i, fault in enumerate(FAULTS)]
    return [*rows, _decay(home / "decay")]


def _look_for(fault: Fault, report: MonitorReport) -> dict[str, Any]:
    own = [a for a in report.alerts if (a.monitor, a.subject) == (fault.monitor, fault.subject)]
    others = [a for a in report.alerts if a not in own]
    said = f"{own[0].state} {own[0].what}" if own else "MISSED"
    print(f"{fault.name:48} {said[:60]:60} {_names(others)}")
    return {"name": fault.name, "kind": "fault", "detected": bool(own), "said": said, "others": len(others), "false": 0}


def _decay(folder: Path) -> dict[str, Any]:
    """Let customers order at rates that the model cannot know; labels come four weeks later."""
    shop = seasonal_shop(TRAINED_AT + 30, season=0.3, decays_at=TRAINED_AT)
    project = _trained(folder, shop)
    plant(project.root / "shop.duckdb", shop.between(moment(TRAINED_AT), moment(TRAINED_AT + 30)))
    pipeline.snapshot(project)
    fault = Fault("customers behave otherwise", "quality", "churn", lambda t: t)
    return _look_for(fault, pipeline.monitor(project))


def quiet(folder: Path, name: str, season: float, growth: float, looks: int) -> dict[str, Any]:
    """Let faultless weeks arrive, and count the alerts that appear."""
    shop = seasonal_shop(TRAINED_AT + 7 * looks, season=season, growth=growth)
    project = _trained(folder, shop)
    new: list[Alert] = []
    seconds = 0.0
    for week in range(looks):
        _arrive(project, shop, week, lambda t: t)
        if week % QUARTER == QUARTER - 1:
            _train_again(project)
        started = time.perf_counter()
        report = pipeline.monitor(project)
        seconds += time.perf_counter() - started
        fresh = [a for a in report.alerts if a.is_new]
        for alert in fresh:
            print(f"  week {week + 1}: {alert.state} {alert.monitor} {alert.subject}: {alert.what}")
        new += fresh
    print(f"{name + ', no fault':48} {looks} weekly looks of {seconds / looks:.1f} s, {len(new)} false alerts")
    return {"name": name, "kind": "quiet", "looks": looks, "false": len(new), "detected": False}


def unchanged(concentration: float, looks: int, columns: int = 500) -> dict[str, Any]:
    """Look daily at columns whose distribution stays; with a concentration, that of each week varies around it."""
    random, rows, weeks, bins = np.random.default_rng(0), 300, 60, 11
    days = 7 * weeks + looks
    shares = random.dirichlet(np.full(bins, 2.0), size=columns)
    daily = np.stack([_daily(random, shares[c], days, rows // 7, concentration) for c in range(columns)])
    total = np.concatenate([np.zeros((columns, 1, bins), np.int64), daily.cumsum(axis=1)], axis=1)
    reference = np.arange(weeks) < weeks - 1
    before, appeared = np.zeros(columns, bool), 0
    for look in range(looks):
        edges = 7 * weeks + look - 7 * np.arange(weeks, -1, -1)
        periods = Periods(7, edges, np.arange(weeks + 1) * rows, reference, (6, 7, 8))
        counts = total[:, edges[1:]] - total[:, edges[:-1]]
        found = discover([distribution_shift(counts[c], periods, 0.1) for c in range(columns)])
        now = np.array([s.significant and s.size >= s.allowed for s in found])
        appeared, before = appeared + int((now & ~before).sum()), now
    name = f"{columns} columns without drift" + (", restless weeks" if concentration else "")
    print(f"{name:48} {looks} daily looks, {appeared} warnings")
    return {"name": name, "kind": "unchanged", "looks": looks, "false": appeared, "detected": False}


def _daily(
    random: np.random.Generator, shares: np.ndarray[Any, Any], days: int, rows: int, concentration: float
) -> np.ndarray[Any, Any]:
    if not concentration:
        return random.multinomial(rows, shares, size=days)
    weekly = random.dirichlet(shares * concentration, size=days // 7 + 1)
    return np.stack([random.multinomial(rows, weekly[d // 7]) for d in range(days)])


def _train_again(project: Workspace) -> None:
    report = pipeline.train(project, "churn", preset="fast")
    project.registry.promote("churn", report.model_version, "a quarter has passed")
    pipeline.embed(project, "churn")


def _trained(folder: Path, shop: SeasonalShop) -> Workspace:
    folder.mkdir(parents=True)
    plant(folder / "shop.duckdb", shop.between(moment(-9), moment(TRAINED_AT)))
    tasks = {"churn": PQLTask(query=QUERY)}
    project = pipeline.init(str(folder / "shop.duckdb"), folder, tasks=tasks).workspace
    pipeline.train(project, "churn", preset="fast")
    pipeline.embed(project, "churn")
    return project


def _week(trained: Workspace, folder: Path, shop: SeasonalShop, fault: Callable[[Tables], Tables]) -> MonitorReport:
    shutil.copytree(trained.root, folder)
    text = (folder / "forekey.yaml").read_text(encoding="utf-8")
    (folder / "forekey.yaml").write_text(text.replace(str(trained.root), str(folder)), encoding="utf-8")
    project = Workspace.open(folder)
    _arrive(project, shop, 0, fault)
    return pipeline.monitor(project)


def _arrive(project: Workspace, shop: SeasonalShop, week: int, fault: Callable[[Tables], Tables]) -> None:
    since = TRAINED_AT + 7 * week
    plant(project.root / "shop.duckdb", fault(shop.between(moment(since), moment(since + 7))))
    pipeline.snapshot(project)
    pipeline.embed(project, "churn")


def _names(alerts: list[Alert] | tuple[Alert, ...]) -> str:
    return ", ".join(f"{a.monitor} {a.subject}" for a in alerts) or "–"


if __name__ == "__main__":
    main()
