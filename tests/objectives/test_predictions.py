"""Predictions of every kind come back the same from the store, from Arrow, and say the same in JSON."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forekey.objectives import Classes, Forecast, LabelSets, Numbers, Predictions, Ranking

SIZES = st.integers(0, 6)


def numbers(n: int, random: np.random.Generator) -> Predictions:
    return Numbers(random.normal(size=n))


def forecast(n: int, random: np.random.Generator) -> Predictions:
    return Forecast(random.normal(size=(n, 3)))


def classes(n: int, random: np.random.Generator) -> Predictions:
    return Classes(random.dirichlet(np.ones(3), n), ("a", "Ünï", "c"))


def sets(n: int, random: np.random.Generator) -> Predictions:
    return LabelSets(random.random((n, 3)), ("a", "Ünï", "c"))


def ranking(n: int, random: np.random.Generator) -> Predictions:
    items, scores = np.full((n, 4), -1, np.int32), np.full((n, 4), np.nan)
    for row in range(n):
        found = int(random.integers(0, 5))
        items[row, :found] = random.permutation(9)[:found]
        scores[row, :found] = np.sort(random.normal(size=found))[::-1]
    return Ranking(items, scores, pa.chunked_array([np.arange(100, 105), np.arange(105, 109)]))


KINDS = [numbers, forecast, classes, sets, ranking]


@pytest.mark.parametrize("kind", KINDS)
@given(n=SIZES, seed=st.integers(0, 100))
def test_the_store_gives_back_what_it_was_given(kind, n: int, seed: int) -> None:  # type: ignore[no-untyped-def]
    made: Predictions = kind(n, np.random.default_rng(seed))
    stored = made.compact()
    records = [one.tobytes() for one in stored.pack()]
    packed = np.frombuffer(b"".join(records), type(made).dtype(made.width))
    found = type(made).unpack(packed, stored.names)
    assert len(found) == n
    assert [found.reply(i).scores for i in range(n)] == [made.reply(i).scores for i in range(n)]
    assert [found.reply(i).probabilities for i in range(n)] == [made.reply(i).probabilities for i in range(n)]
    texts = [[str(v) for v in np.atleast_1d(p.reply(i).prediction)] for p in (found, made) for i in range(n)]
    assert texts[:n] == texts[n:]  # keys of items are kept as text


@pytest.mark.parametrize("kind", KINDS)
@given(n=SIZES, seed=st.integers(0, 100))
def test_columns_are_read_back_and_say_what_replies_say(kind, n: int, seed: int) -> None:  # type: ignore[no-untyped-def]
    made: Predictions = kind(n, np.random.default_rng(seed))
    table = pa.table(made.columns())
    assert table.column_names[0] == "prediction"
    assert table.column("prediction").to_pylist() == [made.reply(i).prediction for i in range(n)]
    found = type(made).from_columns(table, made.names)
    assert [found.reply(i) for i in range(n)] == [made.reply(i) for i in range(n)]


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(1, 6), seed=st.integers(0, 100), data=st.data())
def test_some_of_them_are_those_of_some(kind, n: int, seed: int, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    made: Predictions = kind(n, np.random.default_rng(seed))
    chosen = data.draw(st.lists(st.integers(0, n - 1)))
    some = made.take(np.array(chosen, np.int64))
    assert [some.reply(i) for i in range(len(chosen))] == [made.reply(i) for i in chosen]
    np.testing.assert_array_equal(some.sizes(), made.sizes()[chosen])


def test_a_ranking_keeps_the_keys_of_ranked_items_alone() -> None:
    made = Ranking(np.array([[7, 2], [2, -1]], np.int32), np.array([[2.0, 1.0], [0.5, np.nan]]), list("abcdefgh"))
    compact = made.compact()
    assert compact.names == ("c", "h")
    assert compact.reply(0).prediction == ["h", "c"]
    assert compact.reply(1).prediction == ["c"]
    assert compact.reply(1).scores == [0.5]


def test_of_a_set_what_is_likelier_than_not_is_predicted_the_likeliest_first() -> None:
    assert LabelSets(np.array([[0.6, 0.2, 0.9]]), ("a", "b", "c")).reply(0).prediction == ["c", "a"]
    assert LabelSets(np.array([[0.1, 0.2, 0.3]]), ("a", "b", "c")).reply(0).prediction == []
