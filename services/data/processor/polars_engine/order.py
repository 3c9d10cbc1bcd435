"""Order of rows: by series, time and position. Rows that are in order already are not sorted again."""

from __future__ import annotations

import numpy as np
import polars as pl

from services.data.domain.columns import FLOATS, INTEGERS, MOMENTS
from services.data.processor.engine import Layout
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


def is_ordered(keys: pl.DataFrame, layout: Layout) -> bool:
    """Whether rows stand by series and time. Raises DataUnsuitable for keys that are null."""
    for name in layout.keys:
        if missing := keys[name].null_count():
            raise DataUnsuitable(
                f"column {name!r} is null in {missing} rows, and no row can do without: leave them out with a drop "
                "step (null_in) first"
            )
    if not layout.keys or keys.height <= 1:
        return True
    if not layout.series:
        return _rises(keys[layout.time])
    same, more = _compared(keys[layout.series])
    if not bool(np.all(same | more)):
        return False
    if not layout.time:
        return True
    later = _compared(keys[layout.time])
    return bool(np.all(more | later[0] | later[1]))


def _rises(values: pl.Series) -> bool:
    same, more = _compared(values)
    return bool(np.all(same | more))


def _compared(values: pl.Series) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], ...]:
    """Of each value but the first: whether it is the same as, and whether it is more than the one before."""
    if values.dtype.is_numeric():
        array = values.to_numpy()
        return array[1:] == array[:-1], array[1:] > array[:-1]
    before = values.shift(1)
    return (values == before)[1:].to_numpy(), (values > before)[1:].to_numpy()
