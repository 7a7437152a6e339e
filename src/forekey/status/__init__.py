"""What the state of a project is: read models that the command line, the HTTP service and pages print alike."""

from forekey.status.graph import ColumnStatus, EdgeStatus, GraphStatus, TableStatus, graph_status
from forekey.status.project import (
    NextStep,
    ProjectStatus,
    QualityPoint,
    SnapshotStatus,
    TaskStatus,
    last_report,
    project_status,
)

__all__ = [
    "ColumnStatus",
    "EdgeStatus",
    "GraphStatus",
    "NextStep",
    "ProjectStatus",
    "QualityPoint",
    "SnapshotStatus",
    "TableStatus",
    "TaskStatus",
    "graph_status",
    "last_report",
    "project_status",
]
