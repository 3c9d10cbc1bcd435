"""One row for each series, part and interval, by our own sums over ordered rows: the same on every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from services.data.domain.pipeline.steps import Aggregation
from services.data.processor.engine import PART, ROW, Layout
from services.data.processor.windows import run_lengths

Starts = npt.NDArray[np.int64]


def resampled(rows: pl.DataFrame, layout: Layout, every: int, aggregation: Aggregation) -> pl.DataFrame:
    """Rows must be ordered by series and time, and stay so. `every` counts in units of the time column."""
    if not rows.height:
        return rows
    time = rows[layout.time]
    interval = time.to_physical().cast(pl.Int64).to_numpy() // every
    run = _run_numbers(rows, layout)
    part = rows[PART].to_numpy() if PART in rows.columns else np.zeros(rows.height, np.uint8)
    order = np.lexsort((part, interval, run))  # stable: moves rows only where parts alternate inside an interval
    if not np.array_equal(order, np.arange(rows.height)):
        rows, interval, run, part = rows[order], interval[order], run[order], part[order]
    starts = _starts(run, interval, part)
    when = pl.Series(layout.time, interval[starts] * every).cast(time.to_physical().dtype).cast(time.dtype)
    made = {name: _column(rows[name], starts, aggregation, {*layout.keys, ROW, PART}) for name in rows.columns}
    return pl.DataFrame({**made, layout.time: when}).select(rows.columns).sort(*layout.keys, ROW)


def _run_numbers(rows: pl.DataFrame, layout: Layout) -> Starts:
    if not layout.series:
        return np.zeros(rows.height, np.int64)
    starts, lengths = run_lengths(rows[layout.series])
    return np.repeat(np.arange(len(starts), dtype=np.int64), lengths)


def _starts(*keys: npt.NDArray[Any]) -> Starts:
    changed = np.zeros(len(keys[0]) - 1, bool)
    for key in keys:
        changed |= key[1:] != key[:-1]
    return np.concatenate(([0], np.flatnonzero(changed) + 1)).astype(np.int64)


def _column(values: pl.Series, starts: Starts, aggregation: Aggregation, keys: set[str]) -> pl.Series:
    if values.name in keys:
        return values.gather(starts)
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if not values.dtype.is_numeric():
        return _chosen(values, starts, Aggregation.FIRST)
    if aggregation in {Aggregation.FIRST, Aggregation.LAST}:
        return _chosen(values, starts, aggregation)
    return _computed(values, starts, aggregation)


def _chosen(values: pl.Series, starts: Starts, aggregation: Aggregation) -> pl.Series:
    """The first (last) value of each interval that is not null; null where all are."""
    valid = values.is_not_null().to_numpy()
    places = np.arange(len(values), dtype=np.int64)
    if aggregation is Aggregation.FIRST:
        found = np.minimum.reduceat(np.where(valid, places, len(values)), starts)
    else:
        found = np.maximum.reduceat(np.where(valid, places, -1), starts)
    good = (found >= 0) & (found < len(values))
    taken = values.gather(np.where(good, found, 0))
    return taken.zip_with(pl.Series(good), pl.Series([None], dtype=values.dtype).new_from_index(0, len(starts)))


def _computed(values: pl.Series, starts: Starts, aggregation: Aggregation) -> pl.Series:
    valid = values.is_not_null().to_numpy()
    counts = np.add.reduceat(valid.astype(np.int64), starts)
    whole = values.dtype.is_integer()
    wide = values.cast(pl.Int64 if whole else pl.Float64)
    result: npt.NDArray[Any]
    if aggregation in {Aggregation.MIN, Aggregation.MAX}:
        least = aggregation is Aggregation.MIN
        edge = (
            (np.iinfo(np.int64).max if least else np.iinfo(np.int64).min) if whole else (np.inf if least else -np.inf)
        )
        result = (np.minimum if least else np.maximum).reduceat(wide.fill_null(edge).to_numpy(), starts)
    else:
        result = np.add.reduceat(wide.fill_null(0).to_numpy(), starts)
    dtype = values.dtype
    if aggregation is Aggregation.SUM and whole:
        dtype = pl.Int64()
    if aggregation is Aggregation.MEAN:
        result = result / np.maximum(counts, 1)
        dtype = pl.Float64() if whole else dtype
    kept = np.where(counts > 0, result, 0).astype(result.dtype)
    made = pl.Series(values.name, kept).zip_with(
        pl.Series(counts > 0), pl.Series([None], dtype=pl.Series(kept).dtype).new_from_index(0, len(starts))
    )
    return made.cast(dtype)
