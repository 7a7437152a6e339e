"""Numbers and values as pages write them."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from forekey.console import words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.84432, "0.8443"), (9999.6, "10,000"), (999.96, "1,000"), (1234567, "1,234,567"), (1234567.8, "1,234,568"),
        (0.000123456, "0.0001235"), (6.96e-05, "6.960e-05"), (1e15, "1.000e+15"), (1.7e308, "1.700e+308"), (-12.5, "-12.5"),
        (float("nan"), "–"), (float("inf"), "–"), (None, "–"), (100.0, "100"), (0.1, "0.1"),
    ],
)  # fmt: skip
def test_a_number_has_four_digits_that_count(value: float | None, shown: str) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 %"), (1.0, "100.0 %"), (0.7506, "75.1 %"), (0.00012, "0.012 %"), (1e-9, "< 0.001 %"), (None, "–")],
)
def test_a_share_is_percent_and_never_a_zero_that_is_none(value: float | None, shown: str) -> None:
    assert words.percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "NULL"), (True, "yes"), (1000000.01, "1,000,000.01"), (0.1 + 0.2, "0.30000000000000004"), (3.0, "3"), (1e300, "1e+300"),
        (datetime(2020, 1, 2, 3, 4), "2020-01-02 03:04"), (datetime(2020, 1, 2), "2020-01-02"), (date(2020, 1, 2), "2020-01-02"),
        ([1, None], "1, NULL"), ("x" * 400, "x" * 299 + "…"), (list(range(30)), ", ".join(map(str, range(20))) + " …"),
    ],
)  # fmt: skip
def test_a_value_of_the_database_is_shown_as_it_is(value: object, shown: str) -> None:
    assert words.value(value) == shown


def test_an_effect_on_a_probability_is_in_points() -> None:
    assert words.effect(0.267, "binary_classification") == "+26.7 points"
    assert words.effect(-0.0001, "binary_classification") == "-0.01 points"
    assert words.effect(32.61, "regression") == "+32.6"
    assert words.prediction(0.7506, "binary_classification") == "75.1 %"
    assert words.prediction("web", "multiclass_classification") == "web"


def test_what_stands_between_backquotes_is_code_and_nothing_is_markup() -> None:
    assert (
        words.with_commands("run `forekey <b>` & see") == 'run <code class="command">forekey &lt;b&gt;</code> &amp; see'
    )
    assert words.with_commands("a ` alone <b>") == "a ` alone &lt;b&gt;"
