"""An official RelBench task, end to end, by the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-c", "from forekey.cli import main; main()"]


def test_driver_dnf_beats_the_published_lightgbm(relbench_f1: Path, tmp_path: Path) -> None:
    """Published: 68.56 test AUROC for LightGBM, 72.62 for RDL's graph network, history ending at the test timestamp."""
    at = ["--project", str(tmp_path)]
    subprocess.run([*COMMAND, "init", str(relbench_f1), *at], check=True, capture_output=True)
    done = subprocess.run([*COMMAND, "train", "driver-dnf", *at, "--json"], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["metrics"]["test"]["auroc"] > 0.68
    built = subprocess.run([*COMMAND, "snapshot", *at, "--json"], check=True, capture_output=True, text=True)
    facts = json.loads(built.stdout)
    assert facts["as_of"] == "2010-01-01T00:00:00"
    assert facts["nodes"]["results"] < 25_860
