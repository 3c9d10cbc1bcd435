"""Drift: the population stability index (PSI) of a column over an earlier version's histogram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

FLOOR = 1e-4
"""An empty bin counts as this share, as is usual: the logarithm needs one."""
Shares = npt.NDArray[np.float64]


def stability_index(values: pl.Series, reference: Mapping[str, Any]) -> float:
    """PSI of values against the statistics of a column. Raises ValueError where these have nothing to compare with."""
    if histogram := reference.get("histogram"):
        return _psi(*_binned(values, histogram))
    if top := reference.get("top"):
        return _psi(*_counted(values, top, reference))
    raise ValueError("it has neither a histogram nor frequent values")


def _binned(values: pl.Series, histogram: Mapping[str, Any]) -> tuple[Shares, Shares]:
    """Counts in the reference's bins, and of what lies below and above them."""
    edges = np.array(histogram["edges"], np.float64)
    expected = np.array([0.0, *(float(count) for count in histogram["counts"]), 0.0], np.float64)
    if not values.dtype.is_numeric():
        raise ValueError("it was a column of numbers")
    numbers = values.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
    places = np.searchsorted(edges, numbers, side="right")
    places[numbers == edges[-1]] = len(edges) - 1  # the last edge belongs to the last bin
    return expected, np.bincount(places, minlength=len(expected)).astype(np.float64)


def _counted(values: pl.Series, top: list[Mapping[str, Any]], reference: Mapping[str, Any]) -> tuple[Shares, Shares]:
    """Counts of the reference's frequent values, and of all others together."""
    known = {str(one["value"]): int(one["count"]) for one in top}
    rows = int(reference.get("rows", 0)) or sum(known.values())
    texts = values.drop_nulls().cast(pl.String)
    found = dict(texts.value_counts(name="__count").iter_rows())
    expected = [*known.values(), max(0, rows - sum(known.values()))]
    actual = [found.get(text, 0) for text in known]
    return np.array(expected, np.float64), np.array([*actual, len(texts) - sum(actual)], np.float64)


def _psi(expected: Shares, actual: Shares) -> float:
    if not actual.sum() or not expected.sum():
        raise ValueError("one of the two has no values")
    before = np.maximum(expected / expected.sum(), FLOOR)
    now = np.maximum(actual / actual.sum(), FLOOR)
    return float(np.sum((now - before) * np.log(now / before)))
