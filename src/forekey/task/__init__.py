"""Tasks: what is predicted, for whom, when; labels, temporal splits and metrics."""

from forekey.query import TaskType
from forekey.task.doubts import label_doubts, task_doubts
from forekey.task.labels import SPLITS, Examples, LabelTable
from forekey.task.past import LAGS, PastLabels, past_labels, remembered_past
from forekey.task.restating import restating_columns
from forekey.task.splits import AnchorPlan, plan_anchors, split_by_time
from forekey.task.task import Task, define_task

__all__ = [
    "LAGS",
    "SPLITS",
    "AnchorPlan",
    "Examples",
    "LabelTable",
    "PastLabels",
    "Task",
    "TaskType",
    "define_task",
    "label_doubts",
    "past_labels",
    "plan_anchors",
    "remembered_past",
    "restating_columns",
    "split_by_time",
    "task_doubts",
]
