"""Looking for better settings of the network within a time budget, on validation only.

Optuna's tree-structured Parzen estimator proposes (Akiba et al. 2019); what does worse than the median of others at
the same epoch is stopped. The settings that one started with are the first to be tried, so that the outcome is never
worse by the measure that chooses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from forekey.errors import ModelError, TaskError
from forekey.objectives import Objective
from forekey.sampling import NeighborPlan
from forekey.training.config import TrainConfig
from forekey.training.epochs import Epoch

_MAX_TRIALS = 30
_TRIAL_EPOCHS = 15
_TRIAL_BATCHES = 100
_TRIAL_PATIENCE = 3
_LARGEST_TRIAL = 0.25
"""Of the whole budget."""
_PLANS = {"16,8": (16, 8), "24,12": (24, 12), "32,16": (32, 16), "48": (48,), "16,8,4": (16, 8, 4)}


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings that were tried, their best score on validation, how many epochs that took, and seconds."""

    settings: dict[str, Any]
    metric: str
    score: float | None
    epochs: int
    seconds: float
    stopped: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def search(
    kind: type[Objective],
    config: TrainConfig,
    train: Callable[[TrainConfig, Callable[[Epoch], None]], object],
    progress: Callable[[str], None],
) -> tuple[TrainConfig, list[Trial]]:
    """Return the settings that did best on validation within ``config.search_seconds``, and all that were tried.

    ``train`` trains a network from scratch by some settings and calls its argument with each epoch as it ends.
    """
    optuna = _optuna()
    metric, higher = kind.metric, kind.higher_is_better
    study = optuna.create_study(
        direction="maximize" if higher else "minimize",
        sampler=optuna.samplers.TPESampler(seed=config.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    )
    study.enqueue_trial(_as_asked(config))
    deadline = time.perf_counter() + config.search_seconds
    tried: list[Trial] = []

    def attempt(trial: Any) -> float:
        started, seen = time.perf_counter(), list[Epoch]()
        settings = _draw(trial)
        seconds = min(_LARGEST_TRIAL * config.search_seconds, max(deadline - started, 1.0))
        own = replace(
            applied(config, settings), max_epochs=min(config.max_epochs, _TRIAL_EPOCHS), patience=_TRIAL_PATIENCE,
            max_batches=min(config.max_batches, _TRIAL_BATCHES), max_seconds=seconds,
        )  # fmt: skip

        def report(epoch: Epoch) -> None:
            seen.append(epoch)
            if epoch.score is not None:
                trial.report(epoch.score, epoch.number)
                if trial.should_prune():
                    raise optuna.TrialPruned

        stopped = True
        try:
            train(own, report)
            stopped = False
        except ModelError as error:  # a loss that is not finite: these settings will not do
            raise optuna.TrialPruned from error
        finally:
            best = [e for e in seen if e.best]
            score = best[-1].score if best else None
            spent = round(time.perf_counter() - started, 1)
            tried.append(Trial(settings, metric, score, best[-1].number if best else 0, spent, stopped))
            progress(
                f"tried {len(tried)}: {in_words(settings)}: {metric} {score if score is None else round(score, 4)}"
            )
        if score is None:
            raise optuna.TrialPruned
        return score

    study.optimize(attempt, n_trials=_MAX_TRIALS, timeout=config.search_seconds)
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    return (applied(config, study.best_params) if complete else config), tried


def searched(tried: list[Trial], config: TrainConfig) -> list[str]:
    """Say what a search tried and chose."""
    if not tried:
        return []
    seconds, stopped = sum(t.seconds for t in tried), sum(t.stopped for t in tried)
    plan = ",".join(map(str, config.neighbors.num_neighbors))
    chosen = {n: getattr(config, n) for n in tried[0].settings if n != "neighbors"} | {"neighbors": plan}
    return [
        f"Tried {len(tried)} settings of the network in {seconds:.0f} s, {stopped} of them stopped early; chosen by "
        f"{tried[0].metric} on validation: {in_words(chosen)}."
    ]


def applied(config: TrainConfig, settings: dict[str, Any]) -> TrainConfig:
    """Return a configuration with the settings of a trial."""
    plain = {k: v for k, v in settings.items() if k != "neighbors"}
    return replace(config, neighbors=NeighborPlan(_PLANS[settings["neighbors"]]), **plain)


def in_words(settings: dict[str, Any]) -> str:
    """Return settings as people read them."""
    shown = {k.replace("_", " "): f"{v:.3g}" if isinstance(v, float) else v for k, v in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _draw(trial: Any) -> dict[str, Any]:
    return {
        "aggregation": trial.suggest_categorical("aggregation", ["mean", "moments", "attention", "transformer"]),
        "channels": trial.suggest_categorical("channels", [32, 64, 128]),
        "neighbors": trial.suggest_categorical("neighbors", list(_PLANS)),
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        "dropout": trial.suggest_categorical("dropout", [0.0, 0.1, 0.3]),
    }


def _as_asked(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration as a trial: the nearest plan of those that are tried."""
    plans = {v: k for k, v in _PLANS.items()}
    return {
        "aggregation": config.aggregation,
        "channels": config.channels,
        "neighbors": plans.get(tuple(config.neighbors.num_neighbors), "24,12"),
        "learning_rate": config.learning_rate,
        "dropout": config.dropout,
    }


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise TaskError("The preset 'best' searches with optuna. Run `pip install 'forekey[best]'`.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
