"""The answer to a question as a person reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from forekey.cli.render import Shown, grid, number

if TYPE_CHECKING:
    from forekey.pipeline import Reply


def answered(found: Reply, out: Path | None) -> Shown:
    """Show predictions with what drives them, how good the model is, and how long it took."""
    table = grid(found.entity, "prediction", _sure_head(found), "what drives it", right=("prediction",))
    for told in found.predictions:
        drivers = _drivers(told["drivers"])
        flag = "" if told["eligible"] else " (left out by WHERE)"
        table.add_row(f"{told['entity_id']}{flag}", _prediction(told), _sure(told), drivers)
    shown = len(found.predictions)
    more = f"The first {shown} of {found.total:,} by prediction." if shown < found.total else ""
    written = f"All {found.table.num_rows:,} were written to {out}." if out is not None else ""
    lines = [
        " ".join(part for part in (more, written) if part),
        _quality(found),
        f"As of {found.as_of[:16].replace('T', ' ')}, snapshot {found.snapshot}, model {found.task}/"
        f"{found.model_version}; {found.seconds:.1f} s.",
    ]
    warnings = [Text(f"Warning: {w}", style="yellow") for w in found.warnings]
    return Shown(found.to_dict(), Group(*warnings, table, Text(""), *(Text(line) for line in lines if line)))


def _prediction(told: dict[str, Any]) -> str:
    prediction = told["prediction"]
    if isinstance(prediction, list):
        return ", ".join(_short(p) for p in prediction)
    return _short(prediction)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sure_head(found: Reply) -> str:
    if any("low" in p for p in found.predictions):
        return "4 of 5 lie in"
    if any("calibration" in p for p in found.predictions):
        return "of those alike"
    return "probability" if any("probabilities" in p for p in found.predictions) else ""


def _sure(told: dict[str, Any]) -> str:
    if "low" in told:
        return f"{_short(told['low'])} to {_short(told['high'])}"
    if "calibration" in told:
        alike = told["calibration"]
        return f"{alike['happened']:.0%} of {alike['examples']:,}"
    return f"{max(told['probabilities']):.0%}" if told.get("probabilities") else ""


def _drivers(drivers: list[dict[str, Any]]) -> Table:
    """Return a line for each driver: by how much it raises the prediction, and what it is."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(min_width=8)
    table.add_column(overflow="fold")
    for driver in drivers:
        effect = driver["effect"]
        size = f"{effect:+.2g}" if abs(effect) < 100 else f"{effect:+,.0f}"
        table.add_row(Text(size, style="green" if effect > 0 else "red"), Text(driver["what"]))
    return table


def _quality(found: Reply) -> str:
    """Say how good the model is on the test period, beside the best baseline."""
    score = found.metrics["test"].get(found.metric)
    said = f"Test {found.metric} {number(score)}"
    if found.interval is not None:
        said += f" (95 % interval {found.interval[0]:.4g} to {found.interval[1]:.4g})"
    if found.baseline:
        name = found.baseline["name"].replace("_", " ")
        said += f"; best baseline ({name}) {number(found.baseline['test'].get(found.metric))}"
    return f"{said}. {found.notes[0]}" if found.notes else f"{said}."
