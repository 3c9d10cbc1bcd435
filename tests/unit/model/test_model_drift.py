"""The population stability index, on histograms as the data service has them."""

import math
import random
from collections.abc import Sequence

import pytest

from services.model.domain.registry.drift import ColumnShape, psi, worst_drift


def histogram(values: Sequence[float], bins: int = 30, nulls: int = 0) -> ColumnShape:
    """Equal-width intervals between the least and the greatest value."""
    low, high = min(values), max(values)
    edges = [low + (high - low) * index / bins for index in range(bins)] + [high]
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins)) if high > low else 0] += 1
    return ColumnShape(edges=edges, counts=counts, nulls=nulls, rows=len(values) + nulls)


def normal(mean: float, spread: float = 1.0, count: int = 20_000, seed: int = 1) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(mean, spread) for _ in range(count)]


def test_a_column_has_not_drifted_from_itself() -> None:
    column = histogram(normal(0.0))
    assert psi(column, column) == 0.0


def test_another_sample_of_the_same_is_stable_although_its_range_differs() -> None:
    assert psi(histogram(normal(0.0, seed=1)), histogram(normal(0.0, seed=2))) < 0.01


@pytest.mark.parametrize(
    ("mean", "spread", "least", "most"), [(0.3, 1.0, 0.05, 0.15), (1.0, 1.0, 0.7, 1.4), (0.0, 2.0, 0.3, 1.2)]
)
def test_a_shift_and_a_wider_spread_show(mean: float, spread: float, least: float, most: float) -> None:
    assert least < psi(histogram(normal(mean, spread)), histogram(normal(0.0, seed=2))) < most


def test_values_beyond_the_old_range_show_even_where_the_old_data_was_constant() -> None:
    constant = ColumnShape(edges=(5.0, 5.0), counts=(1000,), rows=1000)
    widened = ColumnShape(edges=(4.5, 5.5), counts=(1000,), rows=1000)
    assert psi(constant, constant) == 0.0
    assert psi(ColumnShape(edges=(6.0, 6.0), counts=(1000,), rows=1000), constant) > 5
    assert psi(histogram(normal(50.0)), histogram(normal(0.0))) > 5
    assert psi(widened, widened) == 0.0


def test_missing_values_show() -> None:
    values = normal(0.0)
    assert psi(histogram(values, nulls=10_000), histogram(values)) > 0.2


def test_categories_are_compared_by_their_shares() -> None:
    old = ColumnShape(top={"a": 500, "b": 500}, rows=1000)
    assert psi(ColumnShape(top={"a": 50, "b": 50}, rows=100), old) == 0.0
    assert psi(ColumnShape(top={"a": 90, "b": 10}, rows=100), old) > 0.2
    assert psi(ColumnShape(top={"c": 100}, rows=100), old) > 5


def test_what_cannot_be_compared_has_no_index() -> None:
    numbers, words, empty = histogram([1.0, 2.0]), ColumnShape(top={"a": 1}, rows=1), ColumnShape()
    assert math.isnan(psi(words, numbers))
    assert math.isnan(psi(numbers, empty))
    assert math.isnan(psi(empty, empty))
    nothing_counted = ColumnShape(edges=(0.0, 1.0), counts=(0,))
    assert math.isnan(psi(nothing_counted, numbers))


def test_the_worst_feature_is_named() -> None:
    old = {"a": histogram(normal(0.0)), "b": histogram(normal(0.0)), "target": histogram(normal(0.0))}
    new = {"a": histogram(normal(0.1)), "b": histogram(normal(2.0)), "target": histogram(normal(9.0))}
    worst = worst_drift(["a", "b"], new, old)
    assert worst.message == "worst feature: b"
    assert worst.value == psi(new["b"], old["b"])


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (["a", "gone"], "the data of this version has no statistics of 'gone'"),
        (["a", "fresh"], "the data of the holder has no statistics of 'fresh'"),
        (["mixed"], "the statistics of 'mixed' are empty, or numeric on one side only"),
        ([], "the version names no features"),
    ],
)
def test_a_feature_that_cannot_be_measured_is_told(features: list[str], told: str) -> None:
    numbers, words = histogram([1.0, 2.0]), ColumnShape(top={"x": 1}, rows=1)
    new = {"a": numbers, "fresh": numbers, "mixed": numbers}
    measured = worst_drift(features, new, {"a": numbers, "gone": numbers, "mixed": words})
    assert math.isnan(measured.value)
    assert measured.message == told
