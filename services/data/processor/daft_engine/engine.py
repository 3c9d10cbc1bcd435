"""Operations of processor.engine.Engine on Daft, on one machine or on many.

Daft keeps no order of rows. Where order counts, all rows of a series are given to one function that sorts them by
time and position (batches.in_series); rows of parts are sorted by all keys, and looked through before they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import daft
import numpy as np
import numpy.typing as npt
import polars as pl
from daft import DataType, lit

from services.data.domain.pipeline.columns import INTEGERS, ColumnType
from services.data.domain.pipeline.expression import looks_back
from services.data.domain.pipeline.steps import Aggregation, FillMethod
from services.data.domain.pipeline.types import Typed
from services.data.processor import splits
from services.data.processor.daft_engine import cluster
from services.data.processor.daft_engine.batches import (
    Work,
    applied,
    computed,
    in_buckets,
    in_series,
    with_part,
    without_nan,
)
from services.data.processor.daft_engine.frame import BESIDE, TYPES, DaftFrame, column, inner, polars_schema
from services.data.processor.daft_engine.moving import brought, brought_down, sent
from services.data.processor.daft_engine.summing import one_row, summaries
from services.data.processor.engine import PART, ROW, TRAIN, Layout, Uncastable
from services.data.processor.ingest.rows import DTYPES, Rows, column_type
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.job import ProcessJob
from services.data.processor.parts import Part
from services.data.processor.polars_engine import casts
from services.data.processor.polars_engine.engine import PolarsEngine
from services.data.processor.polars_engine.expressions import compiled
from services.data.processor.polars_engine.filling import from_neighbours
from services.data.processor.polars_engine.frame import PolarsFrame
from services.data.processor.polars_engine.order import check_keys, refuse_missing
from services.data.processor.resampling import resampled
from services.data.processor.summary import Summary
from services.data.processor.windows import run_lengths


def engine(job: ProcessJob, scratch: Scratch) -> DaftEngine:
    """The engine of a job. Raises RayUnreachable."""
    if job.engine == "ray":
        return DaftEngine("ray", scratch, cluster.on_ray(job.ray_address, job.limits.memory))
    return DaftEngine("daft", scratch, cluster.here())


class DaftEngine:
    """A services.data.processor.engine.Engine[DaftFrame]."""

    def __init__(self, name: str, scratch: Scratch, close: cluster.Close) -> None:
        self.name = name
        self._scratch = scratch
        self._close = close
        self._layout = Layout()

    def close(self) -> None:
        self._close()

    def open(self, rows: Rows, layout: Layout) -> DaftFrame:
        self._layout = layout
        return sent(rows, self._scratch, spread=self.name == "ray")

    def schema(self, frame: DaftFrame) -> dict[str, ColumnType]:
        return dict(frame.schema)

    def count(self, frame: DaftFrame) -> int:
        return int(frame.data.count_rows())

    def select(self, frame: DaftFrame, columns: Sequence[str], rename: Mapping[str, str]) -> DaftFrame:
        named = {name: rename.get(name, name) for name in columns}
        beside = [daft.col(name) for name in frame.names if name in BESIDE]
        data = frame.data.select(*(column(old).alias(inner(new)) for old, new in named.items()), *beside)
        return replace(frame, data=data, schema={new: frame.schema[old] for old, new in named.items()}).settled()

    def uncastable(self, frame: DaftFrame, types: Mapping[str, ColumnType]) -> list[Uncastable]:
        lost = {
            name: casts.held(name, frame.schema[name]) & casts.cast(name, frame.schema[name], new).is_null()
            for name, new in types.items()
        }
        tests = frame.data.select(*(computed(test, DataType.bool()).alias(inner(name)) for name, test in lost.items()))
        counts = one_row(tests, [column(name).cast(DataType.int64()).sum() for name in lost])
        return [self._first_lost(frame, name, lost[name], count) for name in lost if (count := counts[inner(name)])]

    def _first_lost(self, frame: DaftFrame, name: str, lost: pl.Expr, count: int) -> Uncastable:
        value = computed(pl.col(name).cast(pl.String), DataType.string()).alias("value")
        rows = frame.data.where(computed(lost, DataType.bool())).select(daft.col(ROW), value)
        [first] = rows.sort(ROW).limit(1).to_pylist()
        return Uncastable(name, count, first[ROW], first["value"][:80])

    def cast(self, frame: DaftFrame, types: Mapping[str, ColumnType]) -> DaftFrame:
        made = {
            inner(name): computed(casts.cast(name, frame.schema[name], new), TYPES[new]) for name, new in types.items()
        }
        return frame.then(frame.data.with_columns(made), types)

    def fill(self, frame: DaftFrame, values: Mapping[str, float]) -> DaftFrame:
        made = {}
        for name, value in values.items():
            kind = frame.schema[name]
            given = lit(int(value) if kind in INTEGERS else value).cast(TYPES[kind])
            made[inner(name)] = without_nan(name, kind).fill_null(given)
        return frame.then(frame.data.with_columns(made))

    def fill_from_neighbours(self, frame: DaftFrame, columns: Sequence[str], method: FillMethod) -> DaftFrame:
        made = [from_neighbours(name, frame.schema[name], method, self._layout.series) for name in columns]
        return self._in_series(frame, lambda rows: rows.with_columns(made))

    def drop_nulls(self, frame: DaftFrame, columns: Sequence[str]) -> DaftFrame:
        data = frame.data
        for name in columns:
            data = data.where(without_nan(name, frame.schema[name]).not_null())
        return frame.then(data)

    def drop_where(self, frame: DaftFrame, condition: Typed) -> DaftFrame:
        kept = ~compiled(condition, frame.schema, self._layout.series).fill_null(False)
        if looks_back(condition.expression):
            return self._in_series(frame, lambda rows: rows.filter(kept))
        return frame.then(frame.data.where(computed(kept, DataType.bool())))

    def clip(self, frame: DaftFrame, columns: Sequence[str], lower: float | None, upper: float | None) -> DaftFrame:
        made = {}
        for name in columns:
            dtype = TYPES[frame.schema[name]]
            low = None if lower is None else lit(lower).cast(dtype)
            high = None if upper is None else lit(upper).cast(dtype)
            made[inner(name)] = column(name).clip(low, high)
        return frame.then(frame.data.with_columns(made))

    def scale(self, frame: DaftFrame, scaling: Mapping[str, tuple[float, float]]) -> DaftFrame:
        made, types = {}, {}
        for name, (shift, divisor) in scaling.items():
            small = frame.schema[name] is ColumnType.FLOAT32
            types[name] = ColumnType.FLOAT32 if small else ColumnType.FLOAT64
            value = (column(name).cast(DataType.float64()) - lit(shift)) / lit(divisor)
            made[inner(name)] = value.cast(TYPES[types[name]])
        return frame.then(frame.data.with_columns(made), types)

    def derive(self, frame: DaftFrame, column: str, value: Typed) -> DaftFrame:
        made = compiled(value, frame.schema, self._layout.series)
        types = {column: value.type}
        if looks_back(value.expression):
            return self._in_series(frame, lambda rows: rows.with_columns(made.alias(column)), types)
        return frame.then(frame.data.with_columns({inner(column): computed(made, TYPES[value.type])}), types)

    def resample(self, frame: DaftFrame, every: int, aggregation: Aggregation) -> DaftFrame:
        layout = self._layout
        example = pl.DataFrame(schema=polars_schema(frame.schema)).clear(1)
        example = example.with_columns(pl.lit(0).cast(DTYPES[frame.schema[name]]).alias(name) for name in layout.keys)
        made = resampled(example.with_columns(pl.lit(0, pl.Int64).alias(ROW)), layout, every, aggregation).drop(ROW)
        types = {name: column_type(dtype) for name, dtype in made.schema.items()}
        return self._in_series(frame, lambda rows: resampled(rows, layout, every, aggregation), types)

    def deduplicate(self, frame: DaftFrame, columns: Sequence[str]) -> DaftFrame:
        def first(rows: pl.DataFrame) -> pl.DataFrame:
            return rows.sort(ROW).unique(subset=list(columns), keep="first", maintain_order=True)

        return in_buckets(frame, columns, first, frame.schema, divided=frame.divided)

    def series(self, frame: DaftFrame) -> list[Any]:
        check_keys(pl.LazyFrame(schema=polars_schema(frame.schema)), self._layout)
        found = frame.data.select(column(self._layout.series)).distinct().to_arrow()
        return pl.DataFrame(found).to_series().drop_nulls().to_list()

    def positions(self, frame: DaftFrame) -> npt.NDArray[np.int64]:
        return pl.DataFrame(frame.data.select(daft.col(ROW)).to_arrow())[ROW].to_numpy()

    def divide_by_series(self, frame: DaftFrame, parts: Mapping[Any, int]) -> DaftFrame:
        frame = self._keyed(frame)
        name = self._layout.series
        codes = pl.Series(PART, list(parts.values()), pl.UInt8)
        return with_part(frame, pl.DataFrame([pl.Series(name, list(parts), DTYPES[frame.schema[name]]), codes]), name)

    def divide_by_time(self, frame: DaftFrame, test: float, validation: float) -> DaftFrame:
        series = self._layout.series

        def divide(rows: pl.DataFrame) -> pl.DataFrame:
            lengths = run_lengths(rows[series])[1] if series else np.array([rows.height], np.int64)
            return rows.with_columns(pl.Series(PART, splits.time_parts(lengths, test, validation)))

        return self._in_series(frame, divide, divided=True)

    def divide_by_position(self, frame: DaftFrame, seed: int, bounds: tuple[int, int]) -> DaftFrame:
        def divide(rows: pl.DataFrame) -> pl.Series:
            return pl.Series(PART, splits.position_parts(rows[ROW].to_numpy(), seed, bounds))

        data = frame.data.with_column(PART, applied([ROW], divide, BESIDE[PART]))
        return replace(frame, data=data, divided=True).settled()

    def summaries(self, frame: DaftFrame, columns: Sequence[str]) -> dict[str, Summary]:
        data = frame.data
        if frame.divided:
            data = data.where(daft.col(PART) == lit(TRAIN))
        return summaries(data, frame.schema, columns)

    def rows(self, frame: DaftFrame, columns: Sequence[str], *, train_only: bool = False) -> pl.DataFrame:
        data = frame.data
        if train_only and frame.divided:
            data = data.where(daft.col(PART) == lit(TRAIN))
        return brought(data.select(*map(column, columns), daft.col(ROW)))

    def rows_at(self, frame: DaftFrame, positions: Sequence[int]) -> pl.DataFrame:
        data = frame.data.where(daft.col(ROW).is_in(list(positions)))
        return brought(data.select(*map(column, frame.names))).sort(ROW)

    def parts(self, frame: DaftFrame, folder: Path) -> list[Part]:
        frame = self._keyed(frame)
        frame = replace(frame, rows=self.count(frame))
        ordered = frame.data.select(*map(column, frame.names)).sort([inner(name) for name in (*self._layout.keys, ROW)])
        lazy = brought_down(replace(frame, data=ordered), self._scratch)
        local = PolarsEngine(self._scratch, self._layout)  # looks through the order, and mends it
        return local.parts(PolarsFrame(lazy, frame.rows, frame.size, divided=frame.divided), folder)

    def _in_series(
        self,
        frame: DaftFrame,
        work: Work,
        changed: Mapping[str, ColumnType] | None = None,
        *,
        divided: bool | None = None,
    ) -> DaftFrame:
        """Series by series, each in order; `changed` are columns of other types, and new ones."""
        schema = {**frame.schema, **(changed or {})}
        divided = frame.divided if divided is None else divided
        return in_series(self._keyed(frame), self._layout, work, schema, divided=divided)

    def _keyed(self, frame: DaftFrame) -> DaftFrame:
        """The frame. Raises DataUnsuitable for key columns that are not there, unfit, or null somewhere."""
        check_keys(pl.LazyFrame(schema=polars_schema(frame.schema)), self._layout)
        if keys := self._layout.keys:
            missing = one_row(frame.data, [column(name).is_null().cast(DataType.int64()).sum() for name in keys])
            for name in keys:
                refuse_missing(name, missing[inner(name)] or 0)
        return frame
