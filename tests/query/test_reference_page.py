"""Every example of the language's reference page is a query that makes labels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forekey import pipeline
from forekey.errors import PQLError
from forekey.query import bind, parse
from forekey.workspace import Workspace

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "pql.md"
EXAMPLES = re.findall(r"```pql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 15


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_makes_labels(shop_project: Workspace, text: str) -> None:
    made = pipeline.labels(shop_project, text)
    assert made.table.num_rows > 0
    assert made.sql is not None


def test_the_error_is_the_one_that_is_shown(shop_project: Workspace) -> None:
    text = "PREDICT SUM(orders.amuont, 0, 30) FOR EACH customers.customer_id"
    with pytest.raises(PQLError) as caught:
        bind(parse(text), shop_project.snapshots.current().schema)
    for line in caught.value.with_caret().splitlines():
        assert line.strip() in PAGE.read_text(encoding="utf-8")
