"""Looking without touching: drift, realized quality, graph statistics, freshness, latency."""

from forekey.monitoring.drift import ColumnDrift, column_drift, population_stability
from forekey.monitoring.graph import TableStatistics
from forekey.monitoring.quality import RealizedQuality
from forekey.monitoring.report import MonitorReport, observe

__all__ = [
    "ColumnDrift",
    "MonitorReport",
    "RealizedQuality",
    "TableStatistics",
    "column_drift",
    "observe",
    "population_stability",
]
