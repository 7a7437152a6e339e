"""Progress of long work on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn
from rich.progress import Task as ProgressTask
from rich.text import Text

from forekey.progress import Listener, in_words


@contextmanager
def listening(as_json: bool) -> Iterator[Listener]:
    """Show progress on standard error: a bar with the time left on a terminal, plain lines elsewhere, none for JSON."""
    if as_json:
        yield Listener()
        return
    errors = Console(stderr=True, highlight=False)
    if not errors.is_terminal:

        def line(text: str) -> None:
            errors.print(f"  {text}", markup=False, soft_wrap=True)

        yield Listener(line, lambda e: line(_epoch(e)), note=line)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), _Remaining())
    with Progress(*columns, console=errors, transient=True) as progress:
        bar = progress.add_task("starting", total=None)

        def keep(text: str) -> None:
            progress.console.print(f"  {text}", markup=False)

        yield Listener(
            lambda step: progress.reset(bar, total=None, description=step),
            lambda epoch: keep(_epoch(epoch)),
            lambda done, total: progress.update(bar, total=max(total, 1e-9), completed=min(done, total)),
            keep,
        )


class _Remaining(ProgressColumn):
    """The seconds that a phase has taken, and once it is known how far it is, about how many it will still take."""

    def render(self, task: ProgressTask) -> Text:
        """Return the text of the column."""
        spent = task.elapsed or 0.0
        if not task.total or not 0.0 < task.completed < task.total or spent < 1.0:
            return Text(f"{spent:.0f} s")
        # By the whole phase so far: steadier than the newest steps, which differ much.
        left = spent * (task.total - task.completed) / task.completed
        return Text(f"{spent:.0f} s, {in_words(left)} left")


def _epoch(epoch: Any) -> str:
    score = "–" if epoch.score is None else f"{epoch.score:.4f}"
    star = "  best" if epoch.best else ""
    figures = f"loss {epoch.loss:.4f}  val {epoch.metric} {score}  {epoch.seconds:.0f} s"
    return f"epoch {epoch.number:>2}/{epoch.of}  {figures}{star}"
