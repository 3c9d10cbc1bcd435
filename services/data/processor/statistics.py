"""Statistics of a column, as protojson of ColumnStatistics. NaN counts as null; infinite values are left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from services.data.processor.summary import CHUNK, Moments, moments_of

BINS = 20
FINE = 512
"""Each bin is counted in so many finer ones, in which quantiles are looked for."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 20
LARGE: dict[type, float] = {np.float32: 1e38, np.float64: 1e308}
"""Below it there are numbers of that type."""
MAX_TEXT = 200
Numbers = npt.NDArray[Any]


def column_statistics(values: pl.Series) -> dict[str, Any]:
    """Nulls and distinct values; bounds, mean, quantiles and histogram of numbers, frequent values of others."""
    found: dict[str, Any] = {"column": values.name, "nulls": nulls(values), "distinct": distinct(values)}
    if values.dtype.is_numeric():
        return found | _numeric(_finite(values))
    return found | {"top": _top(values)}


def nulls(values: pl.Series) -> int:
    """Rows without a value."""
    values = values.fill_nan(None) if values.dtype.is_float() else values
    return values.null_count()


def distinct(values: pl.Series) -> int:
    """How many different values there are but null, estimated."""
    found = int(values.to_frame().select(pl.first().approx_n_unique()).item())
    return max(0, found - (values.null_count() > 0))


def _finite(values: pl.Series) -> Numbers:
    array: Numbers = values.drop_nulls().to_numpy() if values.null_count() else values.to_numpy()
    if values.dtype.is_float():
        good = np.isfinite(array)
        return array if good.all() else array[good]
    return array


def _numeric(array: Numbers) -> dict[str, Any]:
    if not len(array):
        return {}
    found = moments_of(array)
    least, greatest = found.least, found.greatest
    mean, std = _mean_and_std(array, found)
    if least == greatest:
        one = least
        return {
            "min": one, "max": one, "mean": one, "std": 0.0, "quantiles": [one] * len(QUANTILES),
            "histogram": {"edges": [one, one], "counts": [len(array)]},
        }  # fmt: skip
    places, fine = _placed(array, least, greatest)
    counts = fine.reshape(BINS, FINE).sum(axis=1)
    halved = np.linspace(least / 2, greatest / 2, BINS + 1)  # the span itself may be more than a number can be
    quantiles = _quantiles(array, places, fine)
    return {
        "min": least,
        "max": greatest,
        "mean": mean,
        "std": std,
        "quantiles": quantiles,
        "histogram": {
            "edges": [least, *(2 * halved[1:-1]).tolist(), greatest],
            "counts": [int(count) for count in counts],
        },
    }


def _mean_and_std(array: Numbers, found: Moments) -> tuple[float, float]:
    if math.isfinite(found.squares):
        return found.mean, math.sqrt(found.squares / found.count)
    scale = max(abs(found.least), abs(found.greatest))  # squares that are more than a number can be
    small = moments_of(array / scale)
    return small.mean * scale, math.sqrt(small.squares / small.count) * scale


def _placed(array: Numbers, least: float, greatest: float) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
    """The fine bin of each value, a rising function of it, so that ranks can be counted in bins; and their counts."""
    places = np.empty(len(array), np.int16)
    bins = BINS * FINE
    fine = np.zeros(bins, np.int64)
    # The span of floats may be more than a float can be: half of it is not.
    low, half = least / 2, greatest / 2 - least / 2
    if not half:  # so near to zero that there is nothing between them
        places[:] = np.where(array > least, bins - 1, 0)
        return places, np.bincount(places, minlength=bins)
    kind = np.float32 if array.dtype == np.float32 else np.float64
    simple = max(bins / (2 * half), 2 * half) < LARGE[kind]
    shift, factor = kind(least), kind(bins / (2 * half) if simple else 0)
    for start in range(0, len(array), CHUNK):
        chunk = array[start : start + CHUNK]
        scaled: Numbers = (chunk - shift) * factor if simple else (chunk.astype(np.float64) / 2 - low) / half * bins
        placed = places[start : start + CHUNK]
        placed[:] = np.minimum(scaled, bins - 1)
        fine += np.bincount(placed, minlength=bins)
    return places, fine


def _quantiles(array: Numbers, places: npt.NDArray[np.int16], fine: npt.NDArray[np.int64]) -> list[float]:
    """Exact, on the line between neighbours: only the bins that hold a wanted rank are looked into."""
    ranks = np.array(QUANTILES) * (len(array) - 1)
    low, high = np.floor(ranks).astype(np.int64), np.ceil(ranks).astype(np.int64)
    ends = np.cumsum(fine)
    wanted = np.unique(np.searchsorted(ends, np.concatenate((low, high)), side="right"))
    chosen = np.zeros(len(fine), bool)
    chosen[wanted] = True
    inside = np.sort(array[chosen[places]]).astype(np.float64)
    # A rank among all values becomes one among the chosen: what lies in bins between them is not there.
    skipped = np.cumsum(np.where(chosen, 0, fine))
    bins = np.searchsorted(ends, low, side="right"), np.searchsorted(ends, high, side="right")
    below, above = inside[low - skipped[bins[0]]], inside[high - skipped[bins[1]]]
    share = ranks - low
    return [float(one) for one in below * (1 - share) + above * share]


def _top(values: pl.Series) -> list[dict[str, Any]]:
    counted = values.drop_nulls().value_counts(name="__count")
    column = counted.columns[0]
    first = counted.sort(["__count", column], descending=[True, False]).head(TOP)
    texts = first[column].cast(pl.String).to_list()
    return [
        {"value": text[:MAX_TEXT], "count": count}
        for text, count in zip(texts, first["__count"].to_list(), strict=True)
    ]
