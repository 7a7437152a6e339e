"""What the state of a project is: read models that the command line, the HTTP service and pages print alike."""

from forekey.status.entity import EntityRows, RelatedRows, entity_rows
from forekey.status.graph import ColumnStatus, EdgeStatus, GraphStatus, TableStatus, graph_status
from forekey.status.project import (
    NextStep,
    ProjectStatus,
    QualityPoint,
    Question,
    SnapshotStatus,
    TaskStatus,
    last_report,
    project_status,
    question,
)
from forekey.status.schema_drawing import schema_drawing, schema_svg
from forekey.status.series import Episode, MeasuredSeries, Timing, episodes, series_of, timings
from forekey.status.task import (
    Calibration,
    Distribution,
    Promotion,
    TaskDetail,
    VersionStatus,
    task_detail,
)

__all__ = [
    "Calibration",
    "ColumnStatus",
    "Distribution",
    "EdgeStatus",
    "EntityRows",
    "Episode",
    "GraphStatus",
    "MeasuredSeries",
    "NextStep",
    "ProjectStatus",
    "Promotion",
    "QualityPoint",
    "Question",
    "RelatedRows",
    "SnapshotStatus",
    "TableStatus",
    "TaskDetail",
    "TaskStatus",
    "Timing",
    "VersionStatus",
    "entity_rows",
    "episodes",
    "graph_status",
    "last_report",
    "project_status",
    "question",
    "schema_drawing",
    "schema_svg",
    "series_of",
    "task_detail",
    "timings",
]
