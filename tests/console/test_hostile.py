"""Whatever a database holds stays text."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from forekey.workspace import Workspace
from tests.console.conftest import COLUMN, KEYS, RTL, SCRIPT, TABLE
from tests.support.browser import Opened, looking

PLACES = [
    "/", "/console/task/quiet", "/console/task/quiet/entities", "/console/graph", f"/console/graph/table?name={quote(TABLE, safe='')}",
    "/console/monitor", "/console/ask", f"/console/ask?q={quote(SCRIPT)}", f"/console/task/{quote(SCRIPT, safe='')}",
    f"/console/graph/table?name={quote(SCRIPT, safe='')}", f"/console/task/quiet/entities?q={quote(SCRIPT)}&from=9e9&order=%3Cb%3E",
]  # fmt: skip


def is_harmless(opened: Opened) -> bool:
    page = opened.page
    found = page.evaluate(
        "[window.pwned, document.querySelectorAll('main script, img, svg[onload], main [onerror]').length]"
    )
    return bool(found == [None, 0])


@pytest.mark.parametrize("place", PLACES)
def test_markup_in_names_and_values_is_shown_as_it_is(browser: Any, hostile_url: str, place: str) -> None:
    with looking(browser, hostile_url) as opened:
        opened.go(place)
        assert is_harmless(opened)
        assert [e for e in opened.errors if "status of 4" not in e] == []  # a page that is not there says so


@pytest.mark.parametrize("key", KEYS)
def test_an_entity_of_any_key_has_its_page(browser: Any, hostile_url: str, key: str) -> None:
    with looking(browser, hostile_url) as opened:
        page = opened.go("/console/task/quiet/entities")
        page.get_by_label("Key begins with").fill(key[:150])
        page.get_by_role("button", name="Show").click()
        page.locator("tbody a").first.click()
        page.wait_for_load_state("networkidle")
        assert page.locator("h1").inner_text().startswith("people ")
        assert page.locator(".prediction").count() == 1
        assert is_harmless(opened)
        assert opened.errors == []


def test_hostile_names_are_readable(browser: Any, hostile_url: str) -> None:
    with looking(browser, hostile_url) as opened:
        opened.go("/console/graph")
        assert TABLE in opened.text()
        opened.go(f"/console/graph/table?name={quote(TABLE, safe='')}")
        assert COLUMN in opened.text()
        opened.go(f"/console/task/quiet/entity?key={quote(RTL, safe='')}")
        assert RTL in opened.page.content()


def test_a_long_text_does_not_break_a_page(browser: Any, hostile: Workspace, hostile_url: str) -> None:
    with looking(browser, hostile_url, viewport={"width": 360, "height": 740}) as opened:
        page = opened.go(f"/console/task/quiet/entity?key={quote(KEYS[1], safe='')}")
        assert "yyyy" in opened.text()
        assert "y" * 1_000 not in opened.text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
