"""A database of fourteen tables with everything that goes wrong, on Postgres and on DuckDB: found, counted, kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from forekey import pipeline
from forekey.graph import EdgeManifest, Snapshot, SnapshotStore, build_snapshot
from forekey.source import ConfiguredSource, configured_schema, open_source
from forekey.testing import Market, make_market, write_market_duckdb, write_market_postgres
from forekey.workspace import Workspace
from tests.support.servers import Postgres

EVERY_REFERENCE = {
    "addresses.customer_id->customers",
    "categories.parent_id->categories",
    "customers.favourite_product_id->products",
    "events.session_id->sessions",
    "order_lines.order_id->orders",
    "order_lines.product_id->products",
    "orders.billing_address_id->addresses",
    "orders.coupon_code->coupons",
    "orders.customer_id->customers",
    "orders.shipping_address_id->addresses",
    "payments.order->orders",
    "products.category_id->categories",
    "products.supplier_id->suppliers",
    "returns.order_id->orders",
    "reviews.customer_id->customers",
    "reviews.product_id->products",
    "sessions.customer_id->customers",
    "shipments.order_id->orders",
    "suppliers.contact_customer_id->customers",
}


@pytest.fixture(scope="module")
def market() -> Market:
    return make_market(600)


@pytest.fixture(scope="module", params=["postgres", "duckdb"])
def project(request: pytest.FixtureRequest, market: Market, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("market")
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
        write_market_postgres(url, market)
    else:
        url = str(write_market_duckdb(root / "market.duckdb", market))
    project = pipeline.init(url, root).workspace
    pipeline.snapshot(project)
    return project


def edges(snapshot: Snapshot) -> dict[str, EdgeManifest]:
    return dict(snapshot.manifest.edges)


def test_every_reference_is_found(project: Workspace) -> None:
    found = set(edges(project.snapshots.current()))
    assert EVERY_REFERENCE - found == set()
    assert found - EVERY_REFERENCE == {"returns.order_id, line_no->order_lines"}


def test_what_was_planted_is_counted(project: Workspace, market: Market) -> None:
    snapshot = project.snapshots.current()
    tables, planted = snapshot.manifest.tables, market.planted
    assert tables["shipments"].quarantined == {"no time": planted["shipments without a time"]}
    assert tables["reviews"].nodes == len(market.tables["reviews"]) - planted["reviews from the future"]
    assert tables["order_lines"].quarantined == {"no time": planted["lines of orders that are gone"]}
    assert edges(snapshot)["payments.order->orders"].orphans == planted["payments of unknown orders"]
    assert edges(snapshot)["sessions.customer_id->customers"].null_keys == planted["anonymous sessions"]
    assert tables["coupons"].quarantined == {"duplicate key": planted["repeated coupons"]}
    assert all(planted.values())
    assert edges(snapshot)["orders.coupon_code->coupons"].orphans == 0
    assert edges(snapshot)["reviews.product_id->products"].orphans == 0
    assert edges(snapshot)["events.session_id->sessions"].orphans == 0
    if "returns.order_id, line_no->order_lines" in edges(snapshot):
        lost = edges(snapshot)["returns.order_id, line_no->order_lines"].orphans
        assert lost == planted["returns of unknown lines"]


def test_the_books_balance(project: Workspace) -> None:
    snapshot = project.snapshots.current()
    for entry in snapshot.manifest.tables.values():
        assert entry.read == entry.nodes + entry.left_out
    for name, entry in edges(snapshot).items():
        child = snapshot.manifest.tables[name.split(".")[0]].nodes
        assert child == entry.edges + entry.null_keys + entry.orphans


def test_postgres_and_duckdb_give_the_same_graph(postgres: Postgres, market: Market, tmp_path: Path) -> None:
    """The same rows, whatever database they came from: compared under one schema."""
    url = postgres.database()
    write_market_postgres(url, market)
    write_market_duckdb(tmp_path / "market.duckdb", market)
    config = pipeline.init(url, tmp_path / "project").workspace.config
    built = []
    for number, place in enumerate((url, str(tmp_path / "market.duckdb"))):
        with ConfiguredSource(open_source(place, tmp_path), config) as source:
            schema = configured_schema(source, config)
            built.append(build_snapshot(source, schema, SnapshotStore(tmp_path / str(number))))
    one, two = built
    for table in one.schema.names:
        assert one.rows(table).equals(two.rows(table)), table
    for edge in one.edge_types:
        assert one.parents(edge).tolist() == two.parents(edge).tolist(), str(edge)


def test_new_rows_and_columns_arrive_and_the_update_equals_a_build_from_scratch(
    postgres: Postgres, tmp_path: Path
) -> None:
    whole = make_market(400, seed=1)
    first = {name: rows.slice(0, max(1, len(rows) * 9 // 10)) for name, rows in whole.tables.items()}
    url = postgres.database()
    write_market_postgres(url, Market(first, {}))
    project = pipeline.init(url, tmp_path).workspace
    pipeline.snapshot(project)
    import adbc_driver_postgresql.dbapi as adbc

    from forekey.testing.market import append_market_postgres

    with adbc.connect(url) as connection, connection.cursor() as cursor:
        for name in ("customers", "addresses", "orders", "order_lines", "sessions", "events"):
            append_market_postgres(cursor, name, whole.tables[name].slice(len(first[name])))
        cursor.execute("UPDATE products SET price = price + 1 WHERE supplier_id = 3")
        cursor.execute("DELETE FROM reviews WHERE rating = 1")
        connection.commit()
    updated = pipeline.snapshot(project)
    with ConfiguredSource(open_source(url, tmp_path), project.config) as source:
        scratch = build_snapshot(source, updated.schema, SnapshotStore(tmp_path / "scratch"))
    assert updated.manifest.read["orders"] == "new rows"
    assert updated.manifest.read["events"] == "new rows"
    assert updated.manifest.read["order_lines"] == "new rows"
    assert updated.manifest.read["reviews"] == "full"
    for table in updated.schema.names:
        assert updated.rows(table).equals(scratch.rows(table)), table
    for edge in updated.edge_types:
        assert updated.parents(edge).tolist() == scratch.parents(edge).tolist(), str(edge)
    versions = updated.versions("products")
    assert versions is not None
    assert len(versions) == sum(s == 3 for s in first["products"].column("supplier_id").to_pylist())
