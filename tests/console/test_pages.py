"""What people see in a real browser: the same as --json says, on any screen, by any means, offline."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

from forekey.console.words import number
from forekey.status import last_report, project_status
from forekey.workspace import Workspace
from tests.support.browser import looking, served

PAGES = {
    "overview": "/", "task": "/console/task/churn", "entities": "/console/task/churn/entities",
    "entity": "/console/task/churn/entity?key=7", "why": "/console/task/churn/explain?key=7", "graph": "/console/graph",
    "table": "/console/graph/table?name=orders", "monitor": "/console/monitor", "ask": "/console/ask", "none": "/console/nothing",
}  # fmt: skip
SPEND = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_no_accessibility_violation(browser: Any, shop_url: str, name: str, scheme: str) -> None:
    with looking(browser, shop_url, color_scheme=scheme) as opened:
        page = opened.go(PAGES[name])
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_signing_in_by_hand_has_no_violation_and_leads_on(browser: Any, monitored_shop: Workspace) -> None:
    with served(monitored_shop, ("k1",)) as url, looking(browser, url) as opened:
        page = opened.go("/console/graph")
        assert Axe().run(page).violations_count == 0
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        assert "not one of the keys" in page.get_by_role("alert").inner_text()
        assert Axe().run(page).violations_count == 0
        page.get_by_label("API key").fill("k1")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/console/graph")
        assert [e for e in opened.errors if "401" not in e] == []


@pytest.mark.parametrize("name", [n for n in PAGES if n != "none"])
def test_a_page_asks_nobody_else_and_breaks_no_rule(browser: Any, shop_url: str, name: str) -> None:
    with looking(browser, shop_url) as opened:
        opened.go(PAGES[name])
        assert opened.errors == []
        assert {urlsplit(u).netloc for u in opened.asked} == {urlsplit(shop_url).netloc}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(browser: Any, shop_url: str, name: str) -> None:
    with looking(browser, shop_url, viewport={"width": 360, "height": 740}) as opened:
        page = opened.go(PAGES[name])
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_without_scripts(browser: Any, shop_url: str, name: str) -> None:
    with looking(browser, shop_url) as with_scripts, looking(browser, shop_url, java_script_enabled=False) as without:
        assert with_scripts.go(PAGES[name]).title() == without.go(PAGES[name]).title()
        assert without.page.locator("main h1").count() == 1
        without_parts = "main svg:not([data-part] svg):not(.neighborhood)"
        if name != "entity":  # of which a part is a link where no script asks for it
            assert without.page.locator("main svg").count() == with_scripts.page.locator("main svg").count()
        else:
            assert without.page.locator(without_parts).count() > 0
            assert without.page.locator("[data-part] a").count() == 2


def test_the_overview_shows_what_status_says(browser: Any, shop_url: str, monitored_shop: Workspace) -> None:
    said = json.loads(json.dumps(project_status(monitored_shop).to_dict(), default=str))
    with looking(browser, shop_url) as opened:
        page = opened.go("/")
        assert said["state"] == "critical"
        assert page.locator("h1").inner_text() == "Something is wrong"
        shown = page.locator(".alert")
        assert shown.count() == min(len(said["alerts"]), 5) > 0
        for i, alert in enumerate(said["alerts"][:5]):
            text = shown.nth(i).inner_text()
            assert alert["subject"] in text
            assert alert["what"] in text
            assert alert["state"] in text
        for task in said["tasks"]:
            card = page.locator(".card", has=page.get_by_role("link", name=task["task"], exact=True)).inner_text()
            for part in (task["words"], task["query"], number(task["promised"]), task["champion"]):
                assert part in card
            now = task["realized"] if task["realized"] is not None else task["estimated"]
            assert ("not known yet" if now is None else number(now)) in card
        for step in said["next"]:
            assert page.get_by_text(step["command"], exact=True).count() >= 1


def test_a_task_shows_its_quality_versions_and_drift(browser: Any, shop_url: str, monitored_shop: Workspace) -> None:
    found = httpx.get(f"{shop_url}/tasks/churn").json()
    with looking(browser, shop_url) as opened:
        page = opened.go(PAGES["task"])
        page.get_by_text("The same as a table").click()
        text = opened.text()
        assert len(found["quality"]) >= 2
        for point in found["quality"]:
            assert number(point["estimated"] if point["realized"] is None else point["realized"]) in text
        for version in found["versions"]:
            assert number(version["score"]) in text
        page.get_by_text("columns that the champion reads").click()
        report = last_report(monitored_shop)
        assert report is not None
        for line in report.drift_of("churn"):
            assert line.name in opened.text()
        page.get_by_role("link", name="Report of v1").click()
        page.wait_for_url("**/report/v1")
        assert "churn" in page.content()
        assert opened.errors == []


def test_entities_are_ranked_found_and_paged(browser: Any, shop_url: str) -> None:
    with looking(browser, shop_url) as opened:
        page = opened.go(PAGES["entities"])
        rows = page.locator("tbody tr")
        assert rows.count() == 50
        shares = [float(rows.nth(i).locator("td").nth(2).inner_text().rstrip(" %")) for i in range(50)]
        assert shares == sorted(shares, reverse=True)
        page.get_by_role("link", name="Next").click()
        assert page.locator("tbody tr").first.locator("td").first.inner_text() == "51"
        page.get_by_label("Key begins with").fill("7")
        page.get_by_role("button", name="Show").click()
        keys = page.locator("tbody tr td:nth-child(2)").all_inner_texts()
        assert keys
        assert all(key.startswith("7") for key in keys)
        page.get_by_label("Key begins with").fill("no such key")
        page.get_by_role("button", name="Show").click()
        assert "No key begins so." in opened.text()


def test_an_entity_shows_its_prediction_its_rows_and_why(browser: Any, shop_url: str) -> None:
    stored = httpx.get(f"{shop_url}/predict/churn/7", params={"mode": "stored"}).json()
    similar = httpx.get(f"{shop_url}/similar/churn/7").json()["similar"]
    with looking(browser, shop_url) as opened:
        page = opened.go(PAGES["entity"])
        assert page.locator(".prediction").inner_text() == f"{stored['prediction'] * 100:.1f} %"
        assert page.locator("figure svg.neighborhood").count() == 1  # computed after the page, put in its place
        assert page.locator("svg .bar").count() > 3
        assert page.locator("table.timeline tbody tr").count() > 0
        assert str(similar[0]["entity_id"]) in page.locator(".chips").inner_text()
        assert opened.errors == []


def test_looking_at_an_entity_is_not_logged_as_served(shop_url: str, monitored_shop: Workspace) -> None:
    before = monitored_shop.predictions.counts()
    httpx.get(f"{shop_url}/console/task/churn/entity?key=9").raise_for_status()
    assert monitored_shop.predictions.counts() == before


def test_the_graph_marks_faults_and_leads_to_tables(browser: Any, shop_url: str) -> None:
    found = httpx.get(f"{shop_url}/graph").json()
    with looking(browser, shop_url) as opened:
        page = opened.go(PAGES["graph"])
        for table in found["tables"]:
            row = page.locator("tr", has=page.get_by_role("link", name=table["table"], exact=True)).first.inner_text()
            assert number(table["nodes"]) in row
            assert table["state"] in row
        assert page.locator("svg.schema .b.critical, svg.schema .b.warning").count() > 0
        page.locator("svg.schema a", has_text="orders").first.click()
        assert page.locator("h1").inner_text().startswith("orders")
        assert page.locator(".multiples svg").count() > 0


def test_the_monitor_page_shows_the_report(browser: Any, shop_url: str, monitored_shop: Workspace) -> None:
    report = last_report(monitored_shop)
    assert report is not None
    httpx.get(f"{shop_url}/predict/churn/7")
    with looking(browser, shop_url) as opened:
        page = opened.go(PAGES["monitor"])
        assert page.locator(".alert").count() == len(report.alerts)
        assert page.locator("#moved ~ .multiples svg").count() > 0
        assert page.locator("section", has=page.locator("#episodes")).locator("tbody tr").count() >= len(report.alerts)


def test_a_question_is_checked_labelled_and_answered(browser: Any, shop_url: str) -> None:
    with looking(browser, shop_url) as opened:
        page = opened.go(PAGES["ask"])
        page.locator("#pql").fill("PREDICT SUM(order.amount, 0, 30, days) FOR EACH customers.customer_id")
        page.get_by_role("button", name="Show labels").click()
        said = page.locator(".caret").inner_text()
        assert "did you mean 'orders'?" in said
        assert said.splitlines()[-1].index("^") - 2 == "PREDICT SUM(".__len__()
        page.locator("#pql").fill(SPEND)
        page.get_by_role("button", name="Show labels").click()
        text = opened.text()
        for part in ("What will be the sum of orders.amount", "regression", "5 examples", "Statistics of the labels"):
            assert part in text
        assert "SELECT" in page.locator("pre.sql").text_content()
        page.get_by_role("button", name="Quick answer").click()
        assert "/console/answers/" in page.url
        page.locator("th", has_text="what drives it").wait_for(timeout=240_000)
        assert page.locator("tbody tr").count() > 5


def test_names_are_completed_by_keyboard(browser: Any, shop_url: str) -> None:
    with looking(browser, shop_url) as opened:
        page = opened.go(PAGES["ask"])
        page.locator("#pql").press_sequentially("PREDICT SUM(orders.am")
        assert page.locator("#completions button").first.inner_text() == "orders.amount"
        page.keyboard.press("Tab")
        assert page.locator("#pql").input_value() == "PREDICT SUM(orders.amount"
        page.keyboard.press("Tab")  # nothing to complete: the keyboard is not trapped
        assert page.evaluate("document.activeElement.id") != "pql"


def test_every_page_is_reached_by_keyboard(browser: Any, shop_url: str) -> None:
    with looking(browser, shop_url) as opened:
        page = opened.go("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        seen = set()
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("document.activeElement.textContent.trim()"))
        assert {"Overview", "Graph", "Ask", "Monitor"} <= seen
