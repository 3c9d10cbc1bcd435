"""Order of rows: by series, time and position. Rows that are in order already are not sorted again."""

from __future__ import annotations

import numpy as np
import polars as pl

from services.data.domain.pipeline.columns import FLOATS, INTEGERS, MOMENTS
from services.data.processor.engine import ROW, Layout
from services.data.processor.faults import DataUnsuitable
from services.data.processor.ingest.rows import column_type


def check_keys(lazy: pl.LazyFrame, layout: Layout) -> None:
    """Raises DataUnsuitable for key columns that are not there, or of types that tell nothing apart."""
    schema = lazy.collect_schema()
    for name, what in ((layout.series, "series_column"), (layout.time, "time_column")):
        if name and name not in schema:
            raise DataUnsuitable(f"pipeline.{what}: there is no column {name!r}; there are {', '.join(schema)[:500]}")
    if layout.series and (kind := column_type(schema[layout.series])) in FLOATS:
        raise DataUnsuitable(f"pipeline.series_column: {layout.series!r} is {kind}: cast it to INT64 or STRING first")
    if layout.time and (kind := column_type(schema[layout.time])) not in INTEGERS | MOMENTS:
        raise DataUnsuitable(
            f"pipeline.time_column: {layout.time!r} is {kind}: cast it to TIMESTAMP, DATE or INT64 in a step before"
        )


def refuse_missing(name: str, missing: int) -> None:
    """Raises DataUnsuitable where a key column has nulls."""
    if missing:
        raise DataUnsuitable(
            f"column {name!r} is null in {missing} rows, and no row can do without: leave them out with a drop "
            "step (null_in) first"
        )


def is_ordered(keys: pl.DataFrame, layout: Layout) -> bool:
    """Whether rows (with ROW) stand by series, time and position. Raises DataUnsuitable for keys that are null."""
    for name in layout.keys:
        refuse_missing(name, keys[name].null_count())
    if keys.height <= 1:
        return True
    right = np.zeros(keys.height - 1, bool)
    tied = ~right
    for name in (*layout.keys, ROW):
        same, more = _compared(keys[name])
        right |= tied & more
        tied &= same
        if not bool(np.all(right | tied)):
            return False
    return True


def _compared(values: pl.Series) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], ...]:
    """Of each value but the first: whether it is the same as, and whether it is more than the one before."""
    if values.dtype.is_numeric():
        array = values.to_numpy()
        return array[1:] == array[:-1], array[1:] > array[:-1]
    before = values.shift(1)
    return (values == before)[1:].to_numpy(), (values > before)[1:].to_numpy()
