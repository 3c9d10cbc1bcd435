"""Mean, spread and bounds, in two passes: the second around the mean of the first, so that no digits get lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import daft
from daft import DataType, Expression, lit

from services.data.domain.pipeline.columns import ColumnType
from services.data.processor.daft_engine.batches import without_nan
from services.data.processor.summary import Moments, Summary, merged

AT_ONCE = 256
"""Columns of one query."""


def summaries(data: daft.DataFrame, schema: Mapping[str, ColumnType], columns: Sequence[str]) -> dict[str, Summary]:
    """Of all rows; nulls and NaN are left out."""
    found: dict[str, Summary] = {}
    for start in range(0, len(columns), AT_ONCE):
        names = columns[start : start + AT_ONCE]
        values = {name: without_nan(name, schema[name]).cast(DataType.float64()) for name in names}
        first = one_row(data, [each for place, name in enumerate(names) for each in _first(str(place), values[name])])
        means = [_mean(first, str(place)) for place in range(len(names))]
        second = one_row(
            data, [each for place, name in enumerate(names) for each in _second(str(place), values[name], means[place])]
        )
        moments = [_moments(first, second, str(place), mean) for place, mean in enumerate(means)]
        found |= {name: merged([one]) for name, one in zip(names, moments, strict=True)}
    return found


def one_row(data: daft.DataFrame, sums: Sequence[Expression]) -> dict[str, Any]:
    """What sums over all rows come to, by name."""
    told = data.agg(*sums).to_pydict()
    return {name: values[0] for name, values in told.items()}


def _first(place: str, values: Expression) -> Iterator[Expression]:
    yield values.count().alias(f"count{place}")
    yield values.sum().alias(f"sum{place}")
    yield values.min().alias(f"least{place}")
    yield values.max().alias(f"greatest{place}")


def _second(place: str, values: Expression, mean: float) -> Iterator[Expression]:
    apart = values - lit(mean)
    yield apart.sum().alias(f"sum{place}")
    yield (apart * apart).sum().alias(f"squares{place}")


def _mean(first: Mapping[str, Any], place: str) -> float:
    return float(first[f"sum{place}"] / first[f"count{place}"]) if first[f"count{place}"] else 0.0


def _moments(first: Mapping[str, Any], second: Mapping[str, Any], place: str, mean: float) -> Moments:
    count = first[f"count{place}"]
    if not count:
        return Moments(0, 0.0, 0.0, math.inf, -math.inf)
    left, squares = second[f"sum{place}"], second[f"squares{place}"]
    if math.isfinite(mean):  # what the first pass lost by rounding
        mean += left / count
        squares = max(0.0, squares - left * left / count)
    return Moments(count, mean, squares, float(first[f"least{place}"]), float(first[f"greatest{place}"]))
