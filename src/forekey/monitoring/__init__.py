"""Looking without touching: quality, drift of data and graph, freshness, latency; and what calls for attention."""

from forekey.monitoring.alerts import Alert
from forekey.monitoring.finding import Finding, State
from forekey.monitoring.graph import EdgeStatistics, TableStatistics
from forekey.monitoring.histogram import Histogram, histograms
from forekey.monitoring.history import Measured, MonitorHistory
from forekey.monitoring.look import observe
from forekey.monitoring.quality import Quality, Segment
from forekey.monitoring.report import DriftLine, LogLine, MonitorReport
from forekey.monitoring.shift import population_stability
from forekey.monitoring.traffic import latency

__all__ = [
    "Alert",
    "DriftLine",
    "EdgeStatistics",
    "Finding",
    "Histogram",
    "LogLine",
    "Measured",
    "MonitorHistory",
    "MonitorReport",
    "Quality",
    "Segment",
    "State",
    "TableStatistics",
    "histograms",
    "latency",
    "observe",
    "population_stability",
]
