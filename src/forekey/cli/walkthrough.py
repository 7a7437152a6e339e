"""``forekey demo``: the whole way on real data, step by step."""

from __future__ import annotations

import resource
import shutil
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from forekey import demo as data
from forekey import pipeline
from forekey.cli import files, monitored, render, schema
from forekey.cli.listening import listening
from forekey.errors import ForekeyError, ProjectError
from forekey.project import PQLTask, TaskConfig
from forekey.workspace import Workspace

_MARKER = ".forekey-demo"
_PRESET = "fast"
_REST_OF_YEAR = datetime(2018, 1, 2)


def run_demo(root: Path, *, households: int | None, serve: bool, port: int, drift: bool, as_json: bool) -> None:
    """Run every step in ``root``; a folder of an earlier run is built anew."""
    with ExitStack() as stack:
        if serve:
            from forekey.serving import listen

            # Know now, not in four minutes, that the port is taken.
            stack.enter_context(listen("127.0.0.1", port))
        _clear(root)
        story = _Story(root, households, as_json, drift=drift)
        story.run()
    if as_json:
        render.show(render.Shown(story.facts, Text()), as_json=True)
    if serve:
        story.serve(port)


def load_only(new: Path | None, there: Path | None, households: int | None) -> render.Shown:
    """Write the demo's data up to December into a ``new`` file, or insert the four weeks after it into one."""
    if (database := new or there) is None or (new is not None and there is not None):
        raise ForekeyError("Write the data or let rows arrive: --data or --arrive, not both.")
    if new is not None:
        if new.exists():
            raise ForekeyError(f"'{new}' exists already. Name a new file.")
        loaded = data.load(new, data.FIRST_LOAD_UNTIL, households=households)
    else:
        loaded = data.arrive(database, data.FIRST_LOAD_UNTIL, _REST_OF_YEAR)
    said = ", ".join(f"{name} {rows:,}" for name, rows in loaded.rows.items())
    return render.Shown({"database": str(database), "rows": loaded.rows}, Text(f"{database}: {said}."))


def _clear(root: Path) -> None:
    """Empty the folder if an earlier demo made it; refuse any other folder that holds something."""
    if root.exists() and any(root.iterdir()):
        if not (root / _MARKER).exists():
            raise ProjectError(f"'{root}' holds other files. Name an empty folder with --project.")
        for place in root.iterdir():  # the marker stays until the rest is gone: a kill in between may not lock us out
            if place.is_dir():
                shutil.rmtree(place)
            elif place.name != _MARKER:
                place.unlink()
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARKER).touch()


class _Story:
    """The steps, in order. ``facts`` collects what ``--json`` prints."""

    def __init__(self, root: Path, households: int | None, as_json: bool, *, drift: bool = False) -> None:
        self.root, self.households, self.as_json, self.drift = root, households, as_json, drift
        self.database = root / "shop.duckdb"
        self.facts: dict[str, Any] = {}
        self._started = time.perf_counter()
        self._step = 0

    def run(self) -> None:
        """Tell the story up to the point where it can be served."""
        self._load()
        project = self._init()
        self._snapshot(project)
        for task in data.TASKS:
            self._train(project, task)
        self._embed(project)
        self._four_weeks_later(project)
        if self.drift:
            self._faults(project)
        seconds, memory = time.perf_counter() - self._started, _peak_gigabytes()
        self.facts |= {"seconds": round(seconds, 1), "peak_gigabytes": round(memory, 2)}
        self._say(f"The whole way took {seconds:.0f} s and {memory:.1f} GB of memory at most.")
        self._say(f"Next: `forekey serve --project {self.root}`, or `forekey explain churn 1 --project {self.root}`.")

    def serve(self, port: int) -> None:
        """Print three requests that work, and serve until interrupted."""
        from forekey.console import create_app
        from forekey.serving import serve

        project = Workspace.open(self.root)
        first = project.snapshots.current().keys("households")[0].as_py()
        url = f"http://127.0.0.1:{port}"
        self._heading("Serving")
        self._say(f"Console: {url}/   API: {url}/docs   Ctrl-C ends. Try:")
        self._say(f"  curl {url}/predict/churn/{first}")
        self._say(
            f"  curl {url}/predict/spend -H 'content-type: application/json' "
            f'-d \'{{"entity_ids": [{first}, 1001, 2000], "mode": "online"}}\''
        )
        self._say(f"  curl '{url}/similar/churn/{first}?k=5'")
        serve(project, "127.0.0.1", port, make_app=create_app)

    def _load(self) -> None:
        until = data.FIRST_LOAD_UNTIL
        self._heading(f"Loading the Complete Journey retail data up to {until:%Y-%m-%d} into {self.database}")
        loaded = data.load(self.database, until, households=self.households)
        self.facts["loaded"] = loaded.rows
        self._say("  " + ", ".join(f"{name} {rows:,}" for name, rows in loaded.rows.items()))

    def _init(self) -> Workspace:
        self._heading("forekey init: inferring keys, foreign keys, times and column types")
        tasks: dict[str, TaskConfig] = {name: PQLTask(query=pql) for name, pql in data.TASKS.items()}
        done = pipeline.init(f"duckdb:///{self.database.resolve()}", self.root, tasks=tasks)
        self._show("init", schema.initialized(done))
        return done.workspace

    def _snapshot(self, project: Workspace) -> None:
        self._heading("forekey snapshot: tables become node types, foreign keys edge types, rows nodes")
        with listening(self.as_json) as listener:
            built = pipeline.snapshot(project, listener=listener)
        self._show("snapshot", render.snapshot(built))

    def _train(self, project: Workspace, task: str) -> None:
        self._heading(f"forekey train {task}: {data.TASKS[task]}")
        with listening(self.as_json) as listener:
            report = pipeline.train(project, task, preset=_PRESET, listener=listener)
        self._show(f"train_{task}", render.report(report))

    def _embed(self, project: Workspace) -> None:
        self._heading("forekey embed, forekey predict: every household, into the store and to Parquet")
        for task in data.TASKS:
            self._show(f"embed_{task}", render.embedded(pipeline.embed(project, task)))
            out = self.root / f"{task}.parquet"
            batch = pipeline.predict(project, task)
            rows = batch.table()
            files.write_table(rows, out)
            self._show(f"predict_{task}", render.exported(task, batch, len(rows), str(out), batch.as_of))

    def _four_weeks_later(self, project: Workspace) -> None:
        self._heading("Four weeks later: new rows arrive in the shop's database")
        arrived = data.arrive(self.database, data.FIRST_LOAD_UNTIL, _REST_OF_YEAR)
        grown = {t: n - self.facts["loaded"][t] for t, n in arrived.rows.items() if n != self.facts["loaded"][t]}
        self.facts["arrived"] = grown
        self._say("  " + ", ".join(f"{name} +{rows:,}" for name, rows in grown.items()))
        self._snapshot(project)
        self._heading("forekey monitor: drift, and what became of the predictions made four weeks ago")
        self._show("monitor", self._monitored(project))
        self._heading("forekey retrain churn: a challenger against the champion, on the newest window")
        with listening(self.as_json) as listener:
            found = pipeline.retrain(project, "churn", preset=_PRESET, listener=listener)
        self._show("retrain_churn", render.challenge(found))
        self._show("embed_spend", render.embedded(pipeline.embed(project, "spend")))
        self.facts["monitor_summary"] = [q.to_dict() for q in pipeline.monitor(project).quality]

    def _faults(self, project: Workspace) -> None:
        self._heading("Three faults happen to the rows of the last week")
        for fault in data.FAULTS:
            self._say(f"  {fault.what}")
        data.plant_faults(self.database)
        pipeline.snapshot(project, full=True)  # rows that change without saying so are read again only when asked
        self._heading("forekey monitor: are they found?")
        report = pipeline.monitor(project)
        self._show("monitor_drift", monitored.monitored(report, pipeline.advise(project, report)))
        named = {(a.monitor, a.subject) for a in report.alerts}
        found = [f.what for f in data.FAULTS if (f.monitor, f.subject) in named]
        self.facts["faults_found"] = found
        self._say(f"{len(found)} of {len(data.FAULTS)} faults were named.")

    def _monitored(self, project: Workspace) -> render.Shown:
        report = pipeline.monitor(project)
        return monitored.monitored(report, pipeline.advise(project, report))

    def _heading(self, text: str) -> None:
        self._step += 1
        if not self.as_json:
            seconds = time.perf_counter() - self._started
            render.console().print(
                Text(f"\n{self._step}. {text}", style="bold"), Text(f"[{seconds:.0f} s]", style="dim")
            )

    def _say(self, text: str) -> None:
        if not self.as_json:
            render.console().print(Text(text), soft_wrap=True)

    def _show(self, name: str, shown: render.Shown) -> None:
        self.facts[name] = shown.data
        if not self.as_json:
            render.show(shown, as_json=False)


def _peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
