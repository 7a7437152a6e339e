"""What a database does not declare is guessed, each guess with its evidence; what it declares is taken."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from forekey import pipeline
from forekey.schema import DType, Stype
from forekey.source import ColumnInfo, infer_schema, open_source
from forekey.source.duck import DuckDBSource
from forekey.source.guess_types import guess_type
from forekey.source.names import key_name_score, names_parent, singular, time_name_score
from forekey.source.profile import ColumnProfile
from forekey.testing import shop_tables
from tests.support.databases import source_of


def test_keys_times_and_references_of_an_undeclared_shop_are_found() -> None:
    schema = infer_schema(source_of(shop_tables(50, 100))).schema
    assert {t.name: t.primary_key for t in schema.tables} == {
        "customers": "customer_id",
        "products": "sku",
        "orders": "order_id",
        "order_lines": None,
    }
    assert {str(e) for e in schema.edge_types} == {
        "orders.customer_id->customers",
        "order_lines.order_id->orders",
        "order_lines.sku->products",
    }
    assert schema.table("orders").time_column == "placed_at"
    assert schema.table("order_lines").time_column == "added_at"
    assert schema.table("customers").time_column is None


def test_the_formula_1_files_alone_give_the_declared_schema(relbench_f1: Path, tmp_path: Path) -> None:
    guessed = infer_schema(open_source(str(relbench_f1 / "db"), tmp_path)).schema
    declared = infer_schema(open_source(str(relbench_f1), tmp_path)).schema
    for table in declared.tables:
        found = guessed.table(table.name)
        assert (found.primary_key, found.time_column) == (table.primary_key, table.time_column)
        assert set(found.foreign_keys) == set(table.foreign_keys)


def test_declared_keys_win_over_names() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE people (code VARCHAR PRIMARY KEY, people_id BIGINT)")
    connection.execute("CREATE TABLE visits (visit BIGINT, who VARCHAR REFERENCES people(code), seen TIMESTAMP)")
    inference = infer_schema(DuckDBSource("memory", connection))
    assert inference.schema.table("people").primary_key == "code"
    assert [str(e) for e in inference.schema.edge_types] == ["visits.who->people"]
    assert not [g for g in inference.guesses if g.what in {"primary_key", "foreign_key"}]


def test_a_table_without_rows_keeps_its_time_column_and_irregular_plurals_their_key() -> None:
    people = pa.table({"person_id": [1, 2], "x": [1.0, 2.0]})
    visits = pa.table({"person_id": pa.array([], pa.int64()), "seen_at": pa.array([], pa.timestamp("us"))})
    ages = pa.table({"person_id": [2, 1], "age": [3.0, 4.0]})
    schema = infer_schema(source_of({"people": people, "visits": visits, "ages": ages})).schema
    assert schema.table("people").primary_key == "person_id"
    assert schema.table("visits").time_column == "seen_at"


def test_a_one_to_one_extension_refers_to_what_it_extends() -> None:
    households = pa.table({"household_id": [1, 2, 3]})
    demographics = pa.table({"household_id": [1, 2], "age": ["old", "young"]})
    schema = infer_schema(source_of({"households": households, "demographics": demographics})).schema
    assert [str(e) for e in schema.edge_types] == ["demographics.household_id->households"]


def test_a_reference_needs_the_values_not_only_the_name() -> None:
    users = pa.table({"user_id": [1, 2, 3]})
    other = pa.table({"user_id": [100, 200, 300, 400], "x": [1.0, 2.0, 3.0, 4.0]})
    schema = infer_schema(source_of({"users": users, "others": other})).schema
    assert schema.edge_types == ()


def test_every_guess_says_why() -> None:
    for guess in infer_schema(source_of(shop_tables(30, 60))).guesses:
        assert guess.reason
        assert guess.what in {"primary_key", "foreign_key", "time_column", "stype"}


@pytest.mark.parametrize(
    ("dtype", "sql_type", "profile", "stype"),
    [
        (DType.TEXT, "VARCHAR", ColumnProfile(1000, 1000, 4, 3.0), Stype.CATEGORICAL),
        (DType.TEXT, "VARCHAR", ColumnProfile(1000, 1000, 990, 80.0), Stype.TEXT),
        (DType.TEXT, "VARCHAR", ColumnProfile(1000, 0, 0, 0.0), Stype.CATEGORICAL),
        (DType.INTEGER, "BIGINT", ColumnProfile(1000, 1000, 500, 0.0), Stype.NUMERICAL),
        (DType.FLOAT, "DOUBLE", ColumnProfile(1000, 900, 800, 0.0), Stype.NUMERICAL),
        (DType.FLOAT, "DOUBLE", ColumnProfile(1000, 1000, 1, 0.0), Stype.IGNORE),
        (DType.BOOLEAN, "BOOLEAN", ColumnProfile(10, 10, 1, 0.0), Stype.BOOLEAN),
        (DType.TIMESTAMP, "DATE", ColumnProfile(10, 10, 9, 0.0), Stype.TIMESTAMP),
        (DType.LIST, "FLOAT[8]", ColumnProfile(10, 10, 2, 0.0), Stype.EMBEDDING),
        (DType.LIST, "VARCHAR[]", ColumnProfile(10, 10, 2, 0.0), Stype.MULTICATEGORICAL),
        (DType.UUID, "UUID", ColumnProfile(10, 10, 10, 0.0), Stype.IGNORE),
    ],
)
def test_column_meanings(dtype: DType, sql_type: str, profile: ColumnProfile, stype: Stype) -> None:
    assert guess_type(ColumnInfo("value", dtype, sql_type), profile)[0].type is stype


def test_an_integer_named_like_a_code_is_a_category_and_grid_is_not() -> None:
    profile = ColumnProfile(1000, 1000, 100, 0.0)
    assert guess_type(ColumnInfo("statusId", DType.INTEGER, "BIGINT"), profile)[0].type is Stype.CATEGORICAL
    assert guess_type(ColumnInfo("grid", DType.INTEGER, "BIGINT"), profile)[0].type is Stype.NUMERICAL


def test_names() -> None:
    assert singular("categories") == "category"
    assert singular("boxes") == "box"
    assert singular("addresses") == "address"
    assert singular("class") == "class"
    assert key_name_score("drivers", "driverId") == key_name_score("drivers", "id") == 1.0
    assert key_name_score("orders", "customer_id") < 0.5
    assert names_parent("home_team_id", "teams", "team_id")
    assert names_parent("customer", "customers", "id")
    assert not names_parent("id", "customers", "id")
    assert time_name_score("order", "placed_at") > time_name_score("order", "date") > 0
    assert time_name_score("driver", "dob") < 0 < time_name_score("event", "happened_at")


def test_an_attribute_in_time_is_not_the_moment_of_the_row() -> None:
    people = pa.table({"person_id": [1, 2], "birth_date": [datetime(1970, 1, 1), datetime(1980, 1, 1)]})
    assert infer_schema(source_of({"people": people})).schema.table("people").time_column is None


@pytest.mark.parametrize(
    ("name", "share", "expected"),
    [
        ("amount", {"numbers": 1.0, "plain": 1.0}, Stype.NUMERICAL),
        ("house", {"numbers": 1.0, "plain": 1.0, "padded": 0.1}, Stype.CATEGORICAL),
        ("zip code", {"numbers": 1.0, "plain": 1.0}, Stype.CATEGORICAL),
        ("phone", {"numbers": 0.99, "plain": 0.99}, Stype.CATEGORICAL),
        ("note", {"numbers": 0.9}, Stype.CATEGORICAL),
    ],
)
def test_text_that_reads_as_numbers_is_taken_as_such_unless_it_is_a_code(
    name: str, share: dict[str, float], expected: Stype
) -> None:
    told, reason = guess_type(ColumnInfo(name, DType.TEXT, "VARCHAR"), ColumnProfile(1000, 1000, 100, 5.0, **share))
    assert told.type is expected
    assert reason


def test_texts_that_are_lists_are_taken_apart() -> None:
    genres = ["Action|Comedy", "Drama", "Comedy|Drama|War", None, "Action; War"] * 20
    titles = [f"{i}; a tale | of {i * 7} words" for i in range(100)]
    films = pa.table({"film_id": range(100), "genres": genres, "title": titles})
    schema = infer_schema(source_of({"films": films})).schema
    assert schema.table("films").column("genres").stype is Stype.MULTICATEGORICAL
    assert schema.table("films").column("title").stype is not Stype.MULTICATEGORICAL


def test_declared_foreign_keys_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute("CREATE TABLE countries (id INTEGER PRIMARY KEY, code VARCHAR UNIQUE)")
        connection.execute("CREATE TABLE regions (id INTEGER PRIMARY KEY)")
        connection.execute(
            "CREATE TABLE people (id INTEGER PRIMARY KEY, lives_in VARCHAR REFERENCES countries(code), "
            "place INTEGER REFERENCES countries(id), FOREIGN KEY (place) REFERENCES regions(id))"
        )
    made = pipeline.init(str(tmp_path / "a.duckdb"), tmp_path)
    unused = [g for g in made.inference.guesses if g.what == "not_used"]
    assert [(g.table, g.column) for g in unused] == [("people", "lives_in"), ("people", "place")]
    assert "it refers to countries (code), whose primary key is id" in (tmp_path / "forekey.yaml").read_text()
    assert [str(e) for e in made.inference.schema.edge_types] == ["people.place->countries"]
