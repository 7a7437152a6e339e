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
    table = grid(found.entity, "prediction", _confidence_head(found), "what drives it", right=("prediction",))
    for prediction in found.predictions:
        drivers = _drivers(prediction["drivers"])
        flag = "" if prediction["eligible"] else " (left out by WHERE)"
        table.add_row(f"{prediction['entity_id']}{flag}", _shown(prediction), _confidence(prediction), drivers)
    shown = len(found.predictions)
    more = f"The first {shown} of {found.total:,} by prediction." if shown < found.total else ""
    written = f"All {found.table.num_rows:,} were written to {out}." if out is not None else ""
    lines = [
        " ".join(part for part in (more, written) if part),
        _quality(found),
        *found.notes,
        f"As of {found.as_of[:16].replace('T', ' ')}, snapshot {found.snapshot}, model {found.task}/"
        f"{found.model_version}; {found.seconds:.1f} s.",
    ]
    warnings = [Text(f"Warning: {w}", style="yellow") for w in found.warnings]
    return Shown(found.to_dict(), Group(*warnings, table, Text(""), *(Text(line) for line in lines if line)))


def _shown(prediction: dict[str, Any]) -> str:
    value = prediction["prediction"]
    return ", ".join(_short(v) for v in value) if isinstance(value, list) else _short(value)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _confidence_head(found: Reply) -> str:
    if any("low" in p for p in found.predictions):
        return "4 of 5 lie in"
    if any("calibration" in p for p in found.predictions):
        return "of those alike"
    return "probability" if any("probabilities" in p for p in found.predictions) else ""


def _confidence(prediction: dict[str, Any]) -> str:
    if "low" in prediction:
        return f"{_short(prediction['low'])} to {_short(prediction['high'])}"
    if "calibration" in prediction:
        alike = prediction["calibration"]
        return f"{alike['happened']:.0%} of {alike['examples']:,}"
    return f"{max(prediction['probabilities']):.0%}" if prediction.get("probabilities") else ""


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
    text = f"Test {found.metric} {number(found.metrics['test'].get(found.metric))}"
    if found.interval is not None:
        text += f" (95 % interval {found.interval[0]:.4g} to {found.interval[1]:.4g})"
    if found.baseline:
        name = found.baseline["name"].replace("_", " ")
        text += f"; best baseline ({name}) {number(found.baseline['test'].get(found.metric))}"
    return f"{text}."
