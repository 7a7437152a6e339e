"""What `forekey init` infers of databases that declare nothing: keys, references and times, against what a person says.

Databases of ten houses: seven generated ones that each show a convention (natural keys, roles, years, keys of several
columns, dates as numbers, no keys at all), the two that Forekey's own tests use, RelBench's Formula 1 and the demo's
retail data where they are on this machine. Declarations are stripped. Run:

    python benchmarks/inference.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from forekey import __version__
from forekey.source import Inference, infer_schema, open_source
from forekey.source.duck import DuckDBSource
from forekey.testing import make_market, write_market_duckdb, write_shop
from forekey.testing.houses import HOUSES, House, open_house

RELBENCH = Path(__file__).resolve().parents[2] / "shared" / "data" / "rel-f1"
KINDS = ("keys", "references", "times")


@dataclass(frozen=True)
class Count:
    """How many were found rightly, how many were found, how many there are."""

    right: int
    found: int
    there: int

    def __add__(self, other: Count) -> Count:
        return Count(self.right + other.right, self.found + other.found, self.there + other.there)

    def __str__(self) -> str:
        extra = self.found - self.right
        return f"{self.right} of {self.there}" + (f", {extra} not so" if extra else "")


def main() -> None:
    """Infer each database and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="without the demo's data")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    given = parser.parse_args()
    total = dict.fromkeys(KINDS, Count(0, 0, 0))
    print(f"{'database':<12}{'keys':>22}{'references':>26}{'times':>22}")
    for house, found in databases(quick=given.quick):
        counts = judge(house, found)
        total = {kind: total[kind] + counts[kind] for kind in KINDS}
        print(f"{house.name:<12}{counts['keys']!s:>22}{counts['references']!s:>26}{counts['times']!s:>22}")
        for said in differences(house, found):
            print(f"    {said}")
    rows = []
    for kind, count in total.items():
        precision, recall = count.right / max(count.found, 1), count.right / max(count.there, 1)
        print(f"{kind}: precision {precision:.3f}, recall {recall:.3f} ({count})")
        for name, value in (("precision", precision), ("recall", recall)):
            row = {"name": f"{name} of {kind}", "ours": value, "peer": None, "ratio": None, "unit": "share"}
            rows.append(row | {"target": None, "better": "higher"})
    if given.json:
        facts = {"machine": platform.platform(), "versions": {"forekey": __version__, "duckdb": duckdb.__version__}}
        given.json.write_text(json.dumps({**facts, "rows": rows}, indent=1))


def databases(*, quick: bool) -> Iterator[tuple[House, Inference]]:
    """Yield each database's truth, and what is inferred of it."""
    for house in HOUSES:
        yield house, infer_schema(DuckDBSource(house.name, open_house(house)))
    with tempfile.TemporaryDirectory() as folder:
        yield SHOP, infer_schema(_stripped("shop", write_shop(Path(folder) / "shop.duckdb")))
        yield MARKET, infer_schema(_stripped("market", write_market_duckdb(Path(folder) / "m.duckdb", make_market())))
    if RELBENCH.is_dir():
        yield _formula_1(), infer_schema(open_source(str(RELBENCH / "db"), Path()))
    else:
        print(f"rel-f1: left out, there is no {RELBENCH}")
    if not quick:
        yield from _retail()


def judge(house: House, found: Inference) -> dict[str, Count]:
    """Count what was found of each kind, and how much of it is right."""
    keys, foreign, times = as_sets(found)
    truth = (set(house.primary.items()), set(house.foreign), {*house.times.items(), *house.parts.items()})
    pairs = zip(KINDS, (keys, foreign, times), truth, strict=True)
    return {kind: Count(len(mine & theirs), len(mine), len(theirs)) for kind, mine, theirs in pairs}


def differences(house: House, found: Inference) -> Iterator[str]:
    """Name what was not found, and what was found and is not so."""
    keys, foreign, times = as_sets(found)
    for what, mine, theirs in (
        ("key", {f"{t}.{c}" for t, c in keys}, {f"{t}.{c}" for t, c in house.primary.items()}),
        ("reference", foreign, set(house.foreign)),
        ("time", {f"{t}.{c}" for t, c in times}, {f"{t}.{c}" for t, c in {**house.times, **house.parts}.items()}),
    ):
        yield from (f"{what} not found: {name}" for name in sorted(theirs - mine))
        yield from (f"{what} that is none: {name}" for name in sorted(mine - theirs))


def as_sets(found: Inference) -> tuple[set[tuple[str, str]], set[str], set[tuple[str, str]]]:
    """Return keys, references and times as comparable values."""
    schema = found.schema
    keys = {(t.name, t.primary_key) for t in schema.tables if t.primary_key is not None}
    parts = {n: t.time_from for n, t in found.tables().items() if t.time_from is not None}
    times = {(t.name, t.time_column) for t in schema.tables if t.time_column is not None and t.name not in parts}
    return keys, {str(e) for e in schema.edge_types}, {*times, *parts.items()}


def _stripped(name: str, path: Path) -> DuckDBSource:
    """Return the tables of a DuckDB file without their declarations, types kept."""
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{path}' AS declared (READ_ONLY)")
    for (table,) in connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'declared'"
    ).fetchall():
        connection.execute(f'CREATE TABLE "{table}" AS SELECT * FROM declared."{table}"')
    connection.execute("DETACH declared")
    return DuckDBSource(name, connection)


def _formula_1() -> House:
    """Return what RelBench's manifest declares."""
    with open_source(str(RELBENCH), Path()) as source:
        declared = source.tables()
    return House(
        "rel-f1",
        (),
        {t.name: t.primary_key[0] for t in declared if t.primary_key},
        frozenset(f"{t.name}.{fk.columns[0]}->{fk.parent}" for t in declared for fk in t.foreign_keys),
        {t.name: t.time_column for t in declared if t.time_column is not None},
    )


def _retail() -> Iterator[tuple[House, Inference]]:
    """Yield the demo's database with its declarations stripped."""
    from forekey.demo import FIRST_LOAD_UNTIL, load
    from forekey.errors import SourceError

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "retail.duckdb"
        try:
            load(path, FIRST_LOAD_UNTIL, households=300)
        except SourceError as error:
            print(f"retail: left out. {error}")
            return
        yield RETAIL, infer_schema(_stripped("retail", path))


SHOP = House(
    "shop",
    (),
    {"customers": "customer_id", "products": "sku", "orders": "order_id"},
    frozenset({"orders.customer_id->customers", "order_lines.order_id->orders", "order_lines.sku->products"}),
    {"orders": "placed_at", "order_lines": "added_at"},
)
MARKET = House(
    "market",
    (),
    {
        "categories": "category_id", "suppliers": "supplier_id", "products": "product_id", "customers": "customer_id",
        "addresses": "address_id", "coupons": "code", "orders": "order_id", "order_lines": "order_id, line_no",
        "payments": "payment_id", "shipments": "shipment_id", "returns": "return_id", "reviews": "review_id",
        "sessions": "session_id", "events": "event_id",
    },
    frozenset({
        "categories.parent_id->categories", "suppliers.contact_customer_id->customers",
        "products.category_id->categories", "products.supplier_id->suppliers",
        "customers.favourite_product_id->products", "addresses.customer_id->customers",
        "orders.customer_id->customers", "orders.billing_address_id->addresses",
        "orders.shipping_address_id->addresses", "orders.coupon_code->coupons", "order_lines.order_id->orders",
        "order_lines.product_id->products", "payments.order->orders", "shipments.order_id->orders",
        "returns.order_id->orders", "returns.order_id, line_no->order_lines", "reviews.product_id->products",
        "reviews.customer_id->customers", "sessions.customer_id->customers", "events.session_id->sessions",
    }),
    {
        "customers": "joined_at", "coupons": "valid_from", "orders": "placed_at", "payments": "paid_at",
        "shipments": "shipped_at", "returns": "returned_at", "reviews": "created_at", "sessions": "started_at",
        "events": "happened_at",
    },
    {"order_lines": "order_id"},
)  # fmt: skip
RETAIL = House(
    "retail",
    (),
    {
        "households": "household_id", "stores": "store_id", "products": "product_id", "campaigns": "campaign_id",
        "coupons": "coupon_id", "baskets": "basket_id",
    },
    frozenset({
        "mailings.campaign_id->campaigns", "mailings.household_id->households", "coupons.campaign_id->campaigns",
        "coupon_products.coupon_id->coupons", "coupon_products.product_id->products",
        "redemptions.household_id->households", "redemptions.coupon_id->coupons", "promotions.product_id->products",
        "baskets.household_id->households", "baskets.store_id->stores", "transactions.basket_id->baskets",
        "transactions.product_id->products",
    }),
    {
        "campaigns": "starts_at", "mailings": "sent_at", "coupons": "issued_at", "coupon_products": "issued_at",
        "redemptions": "redeemed_at", "promotions": "week_start", "baskets": "placed_at", "transactions": "bought_at",
    },
)  # fmt: skip


if __name__ == "__main__":
    main()
