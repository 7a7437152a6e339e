"""Queries that once went wrong."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from forekey.errors import PQLError
from forekey.query import bind, label_sql, parse, population_sql
from forekey.schema import ColumnSchema, DType, ForeignKey, Schema, Stype, TableSchema
from tests.support.databases import SHOP_SCHEMA, START, source_of

FOR = "FOR EACH customers.customer_id"


def shop(customers: list[int] | None = None, orders: list[int] | None = None) -> object:
    orders = orders or [1, 2]
    n, customers = len(orders), customers or [1]
    return source_of(
        {
            "customers": pa.table(
                {"customer_id": customers, "region": ["a"] * len(customers), "age": [30.0] * len(customers)}
            ),
            "orders": pa.table(
                {
                    "order_id": orders,
                    "customer_id": [1] * n,
                    "placed_at": pa.array([START + timedelta(days=1)] * n, pa.timestamp("us")),
                    "amount": [10.0] * n,
                    "kind": ["x"] * n,
                }
            ),
            "lines": pa.table(
                {
                    "order_id": [1],
                    "added_at": pa.array([START + timedelta(days=1)], pa.timestamp("us")),
                    "quantity": [5],
                }
            ),
        }
    )


def labels(query: str, source: object, **settings: object) -> list[float]:
    bound = bind(parse(query), SHOP_SCHEMA)
    rows = source.query(label_sql(bound, [START], **settings)).read_all()  # type: ignore[attr-defined, arg-type]
    return [float(v) for v in rows.column("label").to_pylist()]


def test_one_column_may_stand_in_an_aggregations_filter_and_in_the_entitys() -> None:
    query = f"PREDICT COUNT(orders.* WHERE customers.region = 'a', 0, 7) {FOR} WHERE customers.region = 'a'"
    assert labels(query, shop()) == [2.0]


def test_tables_may_be_named_like_parts_of_the_statement() -> None:
    tables = {
        "entities": pa.table({"id": [1]}),
        "anchors": pa.table({"id": [1], "at": pa.array([START + timedelta(days=1)], pa.timestamp("us"))}),
    }
    schema = Schema(
        (
            TableSchema("entities", (ColumnSchema("id", DType.INTEGER, Stype.ID),), "id"),
            TableSchema(
                "anchors",
                (ColumnSchema("id", DType.INTEGER, Stype.ID), ColumnSchema("at", DType.TIMESTAMP, Stype.TIMESTAMP)),
                None,
                "at",
                (ForeignKey("id", "entities"),),
            ),
        )
    )
    bound = bind(parse("PREDICT COUNT(anchors.*, 0, 7) FOR EACH entities.id"), schema)
    assert source_of(tables).query(label_sql(bound, [START])).read_all().column("label").to_pylist() == [1.0]


def test_repeated_keys_do_not_multiply_labels() -> None:
    """The graph keeps the earliest row of each key; so must labels."""
    source = shop(orders=[1, 1, 2])
    assert labels(f"PREDICT SUM(lines.quantity, 0, 7) {FOR}", source, unclean={"orders"}) == [5.0]
    assert labels(f"PREDICT COUNT(orders.*, 0, 7) {FOR}", source, unclean={"orders"}) == [2.0]
    assert labels(f"PREDICT COUNT(orders.*, 0, 7) {FOR}", shop(customers=[1, 1]), unclean={"customers"}) == [2.0]


@pytest.mark.parametrize("condition", ["IN (NULL, 1)", "< NULL", "NOT IN (NULL)", "BETWEEN NULL AND 3"])
def test_comparisons_with_null_that_are_never_true_are_refused(condition: str) -> None:
    with pytest.raises(PQLError, match="use IS NULL"):
        bind(parse(f"PREDICT COUNT(orders.*, 0, 7) {FOR} WHERE customers.age {condition}"), SHOP_SCHEMA)


def test_equals_null_means_is_null() -> None:
    assert labels(f"PREDICT COUNT(orders.*, 0, 7) {FOR} WHERE customers.age = NULL", shop()) == []
    assert labels(f"PREDICT COUNT(orders.*, 0, 7) {FOR} WHERE customers.age != NULL", shop()) == [2.0]


def test_named_ids_are_the_only_ones_predicted_and_all_are_learnt_from() -> None:
    query = "PREDICT COUNT(orders.*, 0, 7) FOR customers.customer_id IN (2, 3)"
    assert len(labels(query, shop(customers=[1, 2, 3, 4]))) == 4
    statement = population_sql(bind(parse(query), SHOP_SCHEMA), START)
    asked = shop(customers=[1, 2, 3, 4]).query(statement).read_all().column("entity").to_pylist()  # type: ignore[attr-defined]
    assert sorted(asked) == [2, 3]


def test_a_target_over_rows_without_a_time_is_refused_because_it_is_known_already() -> None:
    visits = TableSchema(
        "visits",
        (ColumnSchema("customer_id", DType.INTEGER, Stype.ID), ColumnSchema("n", DType.INTEGER, Stype.NUMERICAL)),
        foreign_keys=(ForeignKey("customer_id", "customers"),),
    )
    undated = Schema((SHOP_SCHEMA.table("customers"), visits))
    with pytest.raises(PQLError, match="nothing is left to predict"):
        bind(parse(f"PREDICT SUM(visits.n) {FOR}"), undated)


@pytest.mark.parametrize(
    "condition", ["a.b IS NOTNULL", "a.b STARTS WITHNULL", "a.b ENDS WITHfalse", "a.b NOT CONTAINSTRUE"]
)
def test_a_constant_that_is_a_word_may_follow_its_operator_without_a_blank(condition: str) -> None:
    parse(f"PREDICT {condition} FOR EACH users.id")
