"""``python -m forekey.testing shop shop.duckdb`` writes a generated database, to try things on."""

from __future__ import annotations

from pathlib import Path

import click

from forekey.testing import (
    make_market,
    write_league,
    write_market_duckdb,
    write_market_postgres,
    write_shop,
    write_shop_postgres,
)


@click.command()
@click.argument("which", type=click.Choice(["shop", "league", "market"]))
@click.argument("target")
def main(which: str, target: str) -> None:
    """Write the generated database WHICH into TARGET, a new DuckDB file or the URL of an empty Postgres database.

    shop has four tables and 10,728 rows, market fourteen tables with everything that makes a schema hard, league
    twenty-seven tables and 600,000 rows.
    """
    file, in_postgres = Path(target), target.startswith("postgresql:")
    if not in_postgres and file.exists():
        raise click.UsageError(f"{target} exists; name a file that does not.")
    match which, in_postgres:
        case "shop", True:
            write_shop_postgres(target)
        case "shop", _:
            write_shop(file)
        case "market", True:
            write_market_postgres(target, make_market())
        case "market", _:
            write_market_duckdb(file, make_market())
        case "league", False:
            write_league(file)
        case _:
            raise click.UsageError("The league is written into a DuckDB file only.")
    click.echo(f"Wrote the {which}.")


if __name__ == "__main__":
    main(prog_name="python -m forekey.testing")
