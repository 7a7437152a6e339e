"""Runs logged in MLflow, where a project names a tracking server; what is registered here does not depend on it."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

from forekey.errors import TrackingError
from forekey.registry import ModelManifest, ModelVersion
from forekey.secrets import encoded, reason_without, remember, without_password

_LONGEST = 500


def log_version(uri: str, version: ModelVersion, artifacts: Path) -> str:
    """Log a version as one run of the experiment ``forekey/<task>``; return the run's id.

    Parameters are the settings and where the version comes from, metrics those of validation, test and baselines,
    artifacts the manifest and the report; where the tracker is a local database, these lie in the folder ``artifacts``.
    """
    try:
        import mlflow
    except ImportError as error:
        raise TrackingError("mlflow: in forekey.yaml needs MLflow. Run `pip install 'forekey[mlflow]'`.") from error
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    name = f"forekey/{version.task}"
    # MLflow warns of the ways of its own libraries, which nobody here can mend.
    with warnings.catch_warnings(action="ignore"):
        return _log(mlflow, uri, name, version, artifacts)


def _log(mlflow: Any, uri: str, name: str, version: ModelVersion, artifacts: Path) -> str:
    facts = version.manifest
    remember(uri)
    try:
        mlflow.set_tracking_uri(encoded(uri))
        if uri.startswith("sqlite:") and mlflow.get_experiment_by_name(name) is None:
            mlflow.create_experiment(name, artifact_location=artifacts.resolve().as_uri())
        mlflow.set_experiment(name)
        with mlflow.start_run(run_name=version.name) as run:
            mlflow.log_params(_parameters(facts))
            mlflow.log_metrics(_metrics(facts))
            for epoch in facts.history:
                scored = {} if epoch["score"] is None else {f"epoch/{epoch['metric']}": epoch["score"]}
                mlflow.log_metrics({"epoch/loss": epoch["loss"], **scored}, step=epoch["number"])
            mlflow.log_text(json.dumps(facts.to_dict(), indent=1), "manifest.json")
            mlflow.log_artifact(str(version.folder / "report.html"))
            return str(run.info.run_id)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        reason = reason_without((str(error).strip() or type(error).__name__).splitlines()[0], uri)
        raise TrackingError(
            f"MLflow at '{without_password(uri)}' did not take the run: {reason}. "
            "The version is registered all the same."
        ) from error


def _parameters(facts: ModelManifest) -> dict[str, str]:
    shown = {k: getattr(facts, k) for k in ("task_type", "snapshot", "snapshot_as_of", "code_version", "parameters")}
    flat = {**shown, **{f"config.{k}": v for k, v in facts.config.items()}}
    return {k: str(v)[:_LONGEST] for k, v in flat.items()}


def _metrics(facts: ModelManifest) -> dict[str, float]:
    scored = {split: m for split, m in facts.metrics.items()}
    scored |= {f"{name}/{split}": m for name, splits in facts.baselines.items() for split, m in splits.items()}
    logged = {f"{where}/{name}": value for where, m in scored.items() for name, value in m.items() if value is not None}
    return {**logged, "seconds": facts.seconds}
