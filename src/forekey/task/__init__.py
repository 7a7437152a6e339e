"""Tasks: what is predicted, for whom, when; labels, temporal splits and metrics."""

from forekey.query import TaskType
from forekey.task.doubts import label_doubts, task_doubts
from forekey.task.labels import SPLITS, Examples, LabelTable
from forekey.task.lagged_labels import LAGS, LaggedLabels, lagged_labels, stored_lagged_labels
from forekey.task.splits import AnchorPlan, plan_anchors, split_by_time
from forekey.task.target_leakage import leaking_target_columns
from forekey.task.task import Task, define_task

__all__ = [
    "LAGS",
    "SPLITS",
    "AnchorPlan",
    "Examples",
    "LabelTable",
    "LaggedLabels",
    "Task",
    "TaskType",
    "define_task",
    "label_doubts",
    "lagged_labels",
    "leaking_target_columns",
    "plan_anchors",
    "split_by_time",
    "stored_lagged_labels",
    "task_doubts",
]
