"""Charts as SVG without scripts or styles of their own: pages give them colours, and readers without eyes a text."""

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
