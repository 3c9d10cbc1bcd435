"""Work of Polars on Daft's rows: on any batch of them, or on all rows of some series at once.

Daft decides where and when; what is computed is the same code as on one machine, so that results are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import daft
import polars as pl
from daft import DataType, Expression, lit

from services.data.domain.pipeline.columns import FLOATS, ColumnType
from services.data.processor.daft_engine.frame import BESIDE, TYPES, DaftFrame, column, inner, to_polars
from services.data.processor.engine import PART, ROW, Layout
from services.data.processor.ingest.rows import DTYPES

Work = Callable[[pl.DataFrame], pl.DataFrame]
BUCKET = "__bucket"
BUCKET_ROWS = 524_288
"""So many rows are worked on at a time, or a whole series where it is longer."""
MAX_BUCKETS = 4096


def computed(expression: pl.Expr, kind: DataType) -> Expression:
    """A column that depends on nothing but its own row."""

    def compute(rows: pl.DataFrame) -> pl.Series:
        return rows.with_columns(expression.alias(BUCKET))[BUCKET]

    return applied(sorted(set(expression.meta.root_names())) or [ROW], compute, kind)


def applied(names: Sequence[str], work: Callable[[pl.DataFrame], pl.Series], kind: DataType) -> Expression:
    """What `work` makes of these columns, a batch at a time."""

    def apply(*columns: daft.Series) -> Any:
        return work(to_polars(names, columns)).to_arrow()

    function = daft.func.batch(return_dtype=kind, use_process=False)(apply)
    return function(*map(column, names))


def in_series(
    frame: DaftFrame, layout: Layout, work: Work, schema: Mapping[str, ColumnType], *, divided: bool
) -> DaftFrame:
    """`work` is given whole series, ordered by series, time and position, and leaves the columns of `schema`."""

    def ordered(rows: pl.DataFrame) -> pl.DataFrame:
        return work(rows.sort(*layout.keys, ROW))

    return in_buckets(frame, [layout.series] if layout.series else [], ordered, schema, divided=divided)


def in_buckets(
    frame: DaftFrame, keys: Sequence[str], work: Work, schema: Mapping[str, ColumnType], *, divided: bool
) -> DaftFrame:
    """`work` is given, in any order, all rows that are equal in the keys (and rows of other keys beside them).

    Without keys all rows go to one machine at once.
    """
    changed = replace(frame, schema=schema, divided=divided)
    before, after = frame.names, changed.names

    def apply(*columns: daft.Series) -> Any:
        made = work(to_polars(before, columns)).select(pl.col(name).alias(inner(name)) for name in after)
        return made.to_struct("rows").to_arrow()

    fields = {inner(name): TYPES[schema[name]] if name in schema else BESIDE[name] for name in after}
    function = daft.func.batch(return_dtype=DataType.struct(fields), use_process=False)(apply)
    apart = frame.data.with_column(BUCKET, _bucket(frame, keys)).groupby(BUCKET)
    rows = apart.map_groups(function(*map(column, before)).alias("rows"))
    return replace(changed, data=rows.select(daft.col("rows").unnest())).settled()


def with_part(frame: DaftFrame, parts: pl.DataFrame, key: str) -> DaftFrame:
    """PART by the value of a key, as it stands in `parts`."""
    kept = [inner(name) for name in frame.names if name != PART]
    known = daft.from_arrow(parts.rename({key: inner(key)}).to_arrow())
    return replace(frame, data=frame.data.select(*kept).join(known, on=inner(key)), divided=True).settled()


def _bucket(frame: DaftFrame, keys: Sequence[str]) -> Expression:
    """A number that is equal for rows with equal keys."""
    number = min(MAX_BUCKETS, math.ceil(frame.rows / BUCKET_ROWS))
    if not keys or number <= 1:
        return lit(0).cast(DataType.uint64())
    hashes = [_same(name, frame.schema[name]) for name in keys]
    return reduce(lambda seed, key: key.hash(seed), hashes[1:], hashes[0].hash()) % lit(number).cast(DataType.uint64())


def _same(name: str, kind: ColumnType) -> Expression:
    """Equal values have equal bits: one zero, no NaN. By Polars, since -0.0 is not 0.0 for Daft."""
    if kind not in FLOATS:
        return column(name)
    values = pl.col(name).fill_nan(None)
    return computed(pl.when(values == 0).then(0.0).otherwise(values).cast(DTYPES[kind]), TYPES[kind])


def without_nan(name: str, kind: ColumnType) -> Expression:
    """The column, with null for NaN."""
    values = column(name)
    return daft.functions.when(~values.is_nan(), values) if kind in FLOATS else values
