"""A label statement as it is shown: what it says for each anchor time, said for the first and the last."""

from __future__ import annotations

from sqlglot import exp

from forekey.query.aggregates import SCAN, anchor_number
from forekey.query.anchors import ANCHORS

_SHORTEST = 4
"""Fewer anchor times than this are all shown."""


def shortened(statement: exp.Expression) -> exp.Expression:
    """Return a copy that leaves out all anchor times but the first and the last; comments say how many.

    What is left out is rows of constants, and per anchor time one fold a scan and one case; the rest stays.
    """
    short = statement.copy()
    values = next((cte.this.find(exp.Values) for cte in short.find_all(exp.CTE) if cte.alias == ANCHORS), None)
    if values is None or len(values.expressions) < _SHORTEST:
        return short
    last = len(values.expressions) - 1
    values.set("expressions", [_followed_by(values.expressions[0], last - 1), values.expressions[-1]])
    for cte in short.find_all(exp.CTE):
        if cte.alias.startswith(SCAN):
            kept = [c for c in cte.this.expressions if anchor_number(c.alias) in {None, 0, last}]
            shown = [_followed_by(c, last - 1) if anchor_number(c.alias) == 0 else c for c in kept]
            cte.this.set("expressions", shown)
    for case in short.find_all(exp.Case):
        if isinstance(case.this, exp.Column) and (case.this.name, case.this.table) == ("number", ANCHORS):
            case.set("ifs", [case.args["ifs"][0], case.args["ifs"][-1]])
    return short


def _followed_by(expression: exp.Expression, count: int) -> exp.Expression:
    expression.add_comments([f" … {count:,} more anchor times … "])
    return expression
