"""What each preset costs and gives: seconds of `forekey train` and the test metric on five databases; no peer.

Run:

python benchmarks/presets.py [--presets instant,fast,normal,best] [--databases demo,league] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from forekey import __version__, pipeline
from training import databases, report_examples

PRESETS = ("instant", "fast", "normal", "best")


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--presets", default=",".join(PRESETS), help="which, separated by commas")
    parser.add_argument("--databases", help="which of rel-f1, demo, league, market, shop, separated by commas")
    parser.add_argument(
        "--quick", action="store_true", help="small generated databases, instant and fast, under two minutes"
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    presets = PRESETS[:2] if options.quick else tuple(options.presets.split(","))
    wanted = set(options.databases.split(",")) if options.databases else None
    rows: list[dict[str, Any]] = []
    print(f"| task | examples | metric | {' | '.join(presets)} |")
    print("|---|---|---|" + "---|" * len(presets))
    with tempfile.TemporaryDirectory() as folder:
        for database in databases(Path(folder), wanted, quick=options.quick):
            for task in database.tasks:
                rows += [trained(database.name, database.project, task, preset) for preset in presets]
                own = rows[-len(presets) :]
                cells = " | ".join(f"{r['score']:.4f}, {r['ours']:.0f} s" for r in own)
                print(f"| {own[0]['name']} | {own[0]['examples']:,} | {own[0]['metric']} | {cells} |", flush=True)
    if options.json:
        told = {"machine": platform.machine(), "versions": {"forekey": __version__}, "rows": rows}
        options.json.write_text(json.dumps(told, indent=1))


def trained(database: str, project: Any, task: str, preset: str) -> dict[str, Any]:
    """Train once; return a row."""
    started = time.perf_counter()
    report = pipeline.train(project, task, preset=preset)
    return {
        "name": f"{database} {task}",
        "preset": preset,
        "examples": report_examples(project, task, report.model_version),
        "ours": time.perf_counter() - started,
        "peer": None,
        "ratio": None,
        "unit": "seconds",
        "target": None,
        "better": "lower",
        "metric": report.default_metric,
        "score": report.metrics["test"][report.default_metric],
        "blend": report.blend,
    }


if __name__ == "__main__":
    main()
