"""Generated databases and in-memory twins, for our tests and for those of people who build on Forekey."""

from forekey.testing.league import LEAGUE_TASKS, write_league
from forekey.testing.market import Market, make_market, write_market_duckdb, write_market_postgres
from forekey.testing.memory import MemoryStore
from forekey.testing.shop import (
    SHOP_DDL,
    SHOP_START,
    SHOP_TASKS,
    append_rows,
    shop_tables,
    write_database,
    write_shop,
    write_shop_postgres,
)

__all__ = [
    "LEAGUE_TASKS",
    "SHOP_DDL",
    "SHOP_START",
    "SHOP_TASKS",
    "Market",
    "MemoryStore",
    "append_rows",
    "make_market",
    "shop_tables",
    "write_database",
    "write_league",
    "write_market_duckdb",
    "write_market_postgres",
    "write_shop",
    "write_shop_postgres",
]
