"""Charts as SVG with a text for screen readers; a style sheet gives them their colours, no script is needed."""

from forekey.charts.chart import Axes, Line, Mark, line_chart, sparkline
from forekey.charts.columns import Bar, Heap, bar_chart, column_chart
from forekey.charts.svg import Svg, drawing, node, style
from forekey.charts.ticks import number_ticks, time_ticks

__all__ = [
    "Axes",
    "Bar",
    "Heap",
    "Line",
    "Mark",
    "Svg",
    "bar_chart",
    "column_chart",
    "drawing",
    "line_chart",
    "node",
    "number_ticks",
    "sparkline",
    "style",
    "time_ticks",
]
