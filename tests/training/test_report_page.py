"""The report as a page: whole in one file, plain about the comparison, with the plots of its task type."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forekey.training import TrainReport
from forekey.workspace import Workspace


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        assert tag != "script"
        assert not any(name in {"src", "href"} for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("task", "titles"),
    [
        ("churn", ["auroc by anchor time", "ROC (test)", "Precision and recall", "Calibration"]),
        ("spend", ["mae by anchor time", "Predicted against actual"]),
        ("next_channel", ["accuracy by anchor time", "Actual (rows) and predicted"]),
        ("channels", ["macro_auprc by anchor time", "ROC (test)"]),
        ("weeks", ["mae by anchor time", "Predicted against actual"]),
    ],
)
def test_a_page_is_whole_and_shows_what_its_task_needs(
    trained_project: Workspace, task: str, titles: list[str]
) -> None:
    report = TrainReport.from_version(trained_project.registry.champion(task))
    assert report.page is not None
    page = Path(report.page).read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    for title in titles:
        assert title in page
    assert report.verdict.split(",")[0] in page
    for baseline in report.baselines:
        assert baseline.replace("_", " ") in page
    assert not re.search(r"\bnan\b|\binf\b", page)


def test_the_report_tells_how_sure_it_is(trained_project: Workspace) -> None:
    report = TrainReport.from_version(trained_project.registry.champion("spend"))
    low, high = report.intervals["model"]
    assert low < (report.metrics["test"]["mae"] or 0) < high
    assert report.comparison is not None
    assert report.comparison["baseline"] == report.best_baseline


def test_what_counts_is_named_after_what_was_measured(trained_project: Workspace) -> None:
    pages = {
        task: (trained_project.registry.champion(task).folder / "report.html").read_text()
        for task in ("churn", "baskets")
    }
    assert "change of the raw prediction without: tables" in pages["churn"]
    assert "change of how far items stand out without: tables" in pages["baskets"]
