"""A monitored shop and a hostile database, served with their pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.project import PQLTask
from forekey.workspace import Workspace
from tests.support.browser import NO_BROWSER, browser_path, served
from tests.support.months import add_month

SCRIPT = "<script>window.pwned=1</script>"
TABLE, COLUMN = f'we"ird {SCRIPT}', "pri'ce <img src=x onerror=window.pwned=2>"
RTL = "\u202eשלום עולם\u202c"
KEYS = (
    f"{SCRIPT}",
    "a/b?c#d%2F&e",
    '"><svg onload=window.pwned=3>',
    RTL,
    "x" * 200,
    "'; DROP TABLE people; --",
    "..",
    "Ünï 表",
)


@pytest.fixture(scope="session")
def monitored_shop(_trained_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A shop in which prices jumped since training, looked at by the monitors; shared, so only to be read."""
    root = tmp_path_factory.mktemp("monitored") / "project"
    shutil.copytree(_trained_shop, root)
    project = Workspace.open(root)
    pipeline.monitor(project)
    add_month(project)
    pipeline.embed(project, "churn")
    pipeline.monitor(project)
    add_month(project, amount=1e5)
    pipeline.embed(project, "churn")
    pipeline.monitor(project)
    return project


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A trained project whose tables, columns, keys and values try to be markup."""
    root = tmp_path_factory.mktemp("hostile")
    path = root / "shop.duckdb"
    random, start = np.random.default_rng(0), datetime(2020, 1, 1)
    keys = [*KEYS, *(f"p{i}" for i in range(52))]
    people = pa.table({"id": keys, "note": [SCRIPT, "y" * 10_000, RTL, None, *("plain" for _ in keys[4:])]})
    n = 900
    orders = pa.table(
        {
            "number": np.arange(n), "person": [keys[i] for i in random.integers(0, len(keys), n)],
            "at": pa.array([start + timedelta(hours=8 * i) for i in range(n)], pa.timestamp("us")),
            COLUMN: random.uniform(1, 50, n), "kind": [(SCRIPT, RTL, "web")[i % 3] for i in range(n)],
        }
    )  # fmt: skip
    quoted = TABLE.replace('"', '""')
    with duckdb.connect(str(path)) as db:
        db.register("people_rows", people)
        db.register("order_rows", orders)
        db.execute("CREATE TABLE people (id VARCHAR PRIMARY KEY, note VARCHAR)")
        db.execute("INSERT INTO people SELECT * FROM people_rows")
        db.execute(
            f'CREATE TABLE "{quoted}" (number BIGINT PRIMARY KEY, person VARCHAR REFERENCES people (id), "at" TIMESTAMP, '
            f'"{COLUMN}" DOUBLE, kind VARCHAR)'
        )
        db.execute(f'INSERT INTO "{quoted}" SELECT * FROM order_rows')
    query = f"PREDICT COUNT(`{TABLE}`.*, 0, 10, days) = 0 FOR EACH people.id"
    project = pipeline.init(str(path), root, tasks={"quiet": PQLTask(query=query)}).workspace
    pipeline.snapshot(project)
    pipeline.train(project, "quiet", preset="instant")
    pipeline.embed(project, "quiet")
    pipeline.monitor(project)
    return project


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser."""
    path = browser_path()
    if path is None:
        pytest.skip(NO_BROWSER)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def shop_url(monitored_shop: Workspace) -> Iterator[str]:
    with served(monitored_shop) as url:
        yield url


@pytest.fixture(scope="session")
def hostile_url(hostile: Workspace) -> Iterator[str]:
    with served(hostile) as url:
        yield url
