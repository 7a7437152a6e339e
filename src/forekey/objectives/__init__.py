"""Kinds of tasks, one class a kind, and what is predicted, one class a kind of prediction."""

from typing import Any

from forekey.objectives.binary import BinaryObjective
from forekey.objectives.bootstrap import Bootstrap
from forekey.objectives.forecast import ForecastObjective
from forekey.objectives.held_out import HeldOut
from forekey.objectives.multiclass import MulticlassObjective
from forekey.objectives.multilabel import MultilabelObjective
from forekey.objectives.objective import Loss, Metrics, Objective, PointwiseObjective, Raw, Score
from forekey.objectives.predictions import Classes, Forecast, LabelSets, Numbers, Predictions, Ranking, Reply
from forekey.objectives.ranking import RankingObjective, average_precision, hits
from forekey.objectives.ready_made import finite, read_times
from forekey.objectives.regression import RegressionObjective
from forekey.query import TaskType

_KINDS: dict[TaskType, type[Objective]] = {
    kind.task_type: kind
    for kind in (
        BinaryObjective,
        MulticlassObjective,
        MultilabelObjective,
        RegressionObjective,
        ForecastObjective,
        RankingObjective,
    )
}

__all__ = [
    "BinaryObjective",
    "Bootstrap",
    "Classes",
    "Forecast",
    "ForecastObjective",
    "HeldOut",
    "LabelSets",
    "Loss",
    "Metrics",
    "MulticlassObjective",
    "MultilabelObjective",
    "Numbers",
    "Objective",
    "PointwiseObjective",
    "Predictions",
    "Ranking",
    "RankingObjective",
    "Raw",
    "RegressionObjective",
    "Reply",
    "Score",
    "average_precision",
    "finite",
    "hits",
    "objective_from",
    "objective_of",
    "read_times",
]


def objective_of(task_type: TaskType | str) -> type[Objective]:
    """Return the class of a kind of task."""
    return _KINDS[TaskType(task_type)]


def objective_from(data: dict[str, Any]) -> Objective:
    """Read what :meth:`Objective.to_dict` wrote."""
    return objective_of(data["task_type"]).from_dict(data)
