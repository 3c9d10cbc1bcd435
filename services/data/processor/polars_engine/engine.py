"""Operations of processor.engine.Engine on Polars: lazy where possible, in files where rows do not fit into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from services.data.domain.pipeline.columns import FLOATS, INTEGERS, ColumnType
from services.data.domain.pipeline.expression import looks_back
from services.data.domain.pipeline.steps import Aggregation, FillMethod
from services.data.domain.pipeline.types import Typed
from services.data.processor import splits
from services.data.processor.engine import PART, PARTS, ROW, TRAIN, Layout, Uncastable
from services.data.processor.ingest.rows import DTYPES, Rows, row_bytes
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.parts import Part, opened, sink
from services.data.processor.polars_engine import casts
from services.data.processor.polars_engine.expressions import compiled, quotient
from services.data.processor.polars_engine.filling import from_neighbours, without_nan
from services.data.processor.polars_engine.frame import MAX_PENDING, PolarsFrame
from services.data.processor.polars_engine.order import check_keys, is_ordered
from services.data.processor.resampling import resampled
from services.data.processor.summary import Moments, Summary, merged, moments
from services.data.processor.windows import run_lengths

BLOCK = 1_048_576


class PolarsEngine:
    """A services.data.processor.engine.Engine[PolarsFrame]."""

    name = "polars"

    def __init__(self, scratch: Scratch, layout: Layout | None = None) -> None:
        self._scratch = scratch
        self._layout = layout or Layout()
        self._writer = ThreadPoolExecutor(1, "writer")
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "summary")

    def open(self, rows: Rows, layout: Layout) -> PolarsFrame:
        self._layout = layout
        lazy = rows.lazy if rows.settled else self._scratch.settled(rows.lazy, rows.size)
        count = int(lazy.select(pl.len()).collect().item())
        if self._scratch.holds(rows.size):
            frame = lazy.collect()
            lazy = frame.with_columns(pl.int_range(frame.height, dtype=pl.Int64, eager=True).alias(ROW)).lazy()
        else:
            lazy = lazy.with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
        return PolarsFrame(lazy, count, rows.size, divided=rows.divided)

    def schema(self, frame: PolarsFrame) -> dict[str, ColumnType]:
        return frame.schema()

    def count(self, frame: PolarsFrame) -> int:
        return int(frame.lazy.select(pl.len()).collect(engine="streaming").item())

    def select(self, frame: PolarsFrame, columns: Sequence[str], rename: Mapping[str, str]) -> PolarsFrame:
        beside = [ROW, PART] if frame.divided else [ROW]
        chosen = [pl.col(name).alias(rename.get(name, name)) for name in columns]
        return frame.then(frame.lazy.select(*chosen, *beside))

    def uncastable(self, frame: PolarsFrame, types: Mapping[str, ColumnType]) -> list[Uncastable]:
        schema = frame.schema()
        lost = {
            name: casts.held(name, schema[name]) & casts.cast(name, schema[name], new).is_null()
            for name, new in types.items()
        }
        counts = frame.lazy.select([test.sum().alias(name) for name, test in lost.items()]).collect(engine="streaming")
        return [
            self._first_lost(frame, name, lost[name], int(counts[name].item())) for name in lost if counts[name].item()
        ]

    def _first_lost(self, frame: PolarsFrame, name: str, lost: pl.Expr, count: int) -> Uncastable:
        first = frame.lazy.filter(lost).select(ROW, pl.col(name).cast(pl.String)).sort(ROW).head(1).collect()
        return Uncastable(name, count, int(first[ROW].item()), str(first[name].item())[:80])

    def cast(self, frame: PolarsFrame, types: Mapping[str, ColumnType]) -> PolarsFrame:
        schema = frame.schema()
        made = [casts.cast(name, schema[name], new).alias(name) for name, new in types.items()]
        return self._changed(frame, made, types)

    def fill(self, frame: PolarsFrame, values: Mapping[str, float]) -> PolarsFrame:
        schema = frame.schema()
        made = []
        for name, value in values.items():
            given = pl.lit(int(value) if schema[name] in INTEGERS else value, DTYPES[schema[name]])
            column = pl.col(name).fill_nan(given) if schema[name] in FLOATS else pl.col(name)
            made.append(column.fill_null(given))
        return frame.then(frame.lazy.with_columns(made))

    def fill_from_neighbours(self, frame: PolarsFrame, columns: Sequence[str], method: FillMethod) -> PolarsFrame:
        frame = self._ordered(frame)
        schema = frame.schema()
        made = [from_neighbours(name, schema[name], method, self._layout.series) for name in columns]
        return self._settled(frame.then(frame.lazy.with_columns(made)))

    def drop_nulls(self, frame: PolarsFrame, columns: Sequence[str]) -> PolarsFrame:
        schema = frame.schema()
        whole = pl.all_horizontal([without_nan(name, schema[name]).is_not_null() for name in columns])
        return frame.then(frame.lazy.filter(whole), cost=MAX_PENDING)

    def drop_where(self, frame: PolarsFrame, condition: Typed) -> PolarsFrame:
        if looks_back(condition.expression):
            frame = self._ordered(frame)
        true = compiled(condition, frame.schema(), self._layout.series).fill_null(False)
        made = frame.then(frame.lazy.filter(~true), cost=MAX_PENDING)
        return self._settled(made) if looks_back(condition.expression) else made

    def clip(self, frame: PolarsFrame, columns: Sequence[str], lower: float | None, upper: float | None) -> PolarsFrame:
        schema = frame.schema()
        made = []
        for name in columns:
            dtype = DTYPES[schema[name]]
            low = None if lower is None else pl.lit(lower).cast(dtype)
            high = None if upper is None else pl.lit(upper).cast(dtype)
            made.append(pl.col(name).clip(low, high))
        return self._changed(frame, made, columns)

    def scale(self, frame: PolarsFrame, scaling: Mapping[str, tuple[float, float]]) -> PolarsFrame:
        schema = frame.schema()
        made = []
        for name, (shift, divisor) in scaling.items():
            dtype = pl.Float32 if schema[name] is ColumnType.FLOAT32 else pl.Float64
            made.append(quotient(pl.col(name).cast(pl.Float64) - shift, pl.lit(divisor)).cast(dtype))
        return self._changed(frame, made, scaling)

    def derive(self, frame: PolarsFrame, column: str, value: Typed) -> PolarsFrame:
        back = looks_back(value.expression)
        if back:
            frame = self._ordered(frame)
        made = compiled(value, frame.schema(), self._layout.series).alias(column)
        changed = self._changed(frame, [made], [column])
        beside = [ROW, PART] if frame.divided else [ROW]
        changed = replace(changed, lazy=changed.lazy.select(pl.exclude(beside), *beside))
        return self._settled(changed) if back else changed

    def resample(self, frame: PolarsFrame, every: int, aggregation: Aggregation) -> PolarsFrame:
        rows = self._ordered(frame).lazy.collect(engine="streaming")
        made = resampled(rows, self._layout, every, aggregation)
        return replace(frame, lazy=made.lazy(), rows=made.height, pending=0, ordered=True, blocks=None)

    def deduplicate(self, frame: PolarsFrame, columns: Sequence[str]) -> PolarsFrame:
        rows = frame.lazy.sort(ROW).unique(subset=list(columns), keep="first", maintain_order=True)
        return self._settled(frame.then(rows, ordered=False))

    def series(self, frame: PolarsFrame) -> list[Any]:
        check_keys(frame.lazy, self._layout)
        column = frame.lazy.select(pl.col(self._layout.series)).collect(engine="streaming").to_series()
        starts, _ = run_lengths(column)  # few where rows of a series stand together
        return column.gather(starts).unique().drop_nulls().to_list()

    def positions(self, frame: PolarsFrame) -> npt.NDArray[np.int64]:
        return frame.lazy.select(ROW).collect(engine="streaming")[ROW].to_numpy()

    def divide_by_series(self, frame: PolarsFrame, parts: Mapping[Any, int]) -> PolarsFrame:
        frame = self._ordered(frame)
        keys = frame.lazy.select(self._layout.series).collect(engine="streaming").to_series()
        starts, lengths = run_lengths(keys)
        codes = np.array([parts[name] for name in keys.gather(starts).to_list()], np.uint8)
        return self._apart(self._beside(frame, np.repeat(codes, lengths)))

    def divide_by_time(self, frame: PolarsFrame, test: float, validation: float) -> PolarsFrame:
        frame = self._ordered(frame)
        lengths = np.array([self.count(frame)], np.int64)
        if self._layout.series:
            keys = frame.lazy.select(self._layout.series).collect(engine="streaming").to_series()
            lengths = run_lengths(keys)[1]
        return self._beside(frame, splits.time_parts(lengths, test, validation))

    def divide_by_position(self, frame: PolarsFrame, seed: int, bounds: tuple[int, int]) -> PolarsFrame:
        frame = self._settled(frame)
        return self._beside(frame, splits.position_parts(self.positions(frame), seed, bounds))

    def summaries(self, frame: PolarsFrame, columns: Sequence[str]) -> dict[str, Summary]:
        if frame.pending >= MAX_PENDING:
            frame = self._settled(frame)
        found: dict[str, list[Moments]] = {name: [] for name in columns}
        for block in self._blocks(frame, columns):
            for name, moments_of in zip(columns, self._pool.map(moments, block.get_columns()), strict=True):
                found[name].append(moments_of)
        return {name: merged(blocks) for name, blocks in found.items()}

    def rows(self, frame: PolarsFrame, columns: Sequence[str], *, train_only: bool = False) -> pl.DataFrame:
        lazy = frame.part(TRAIN) if train_only and frame.divided else frame.lazy
        return lazy.select(*columns, ROW).collect(engine="streaming")

    def rows_at(self, frame: PolarsFrame, positions: Sequence[int]) -> pl.DataFrame:
        wanted = pl.Series(positions, dtype=pl.Int64)
        beside = [ROW, PART] if frame.divided else [ROW]
        rows = frame.lazy.filter(pl.col(ROW).is_in(wanted.implode())).sort(ROW)
        return rows.select(pl.exclude(beside), *beside).collect(engine="streaming")

    def close(self) -> None:
        self._writer.shutdown()
        self._pool.shutdown()

    def parts(self, frame: PolarsFrame, folder: Path) -> list[Part]:
        frame = self._ordered(frame)
        if not frame.divided:
            return [self._part(frame, frame.lazy.drop(ROW), PARTS[TRAIN], folder)]
        made = []
        for code, name in enumerate(PARTS):
            lazy = frame.part(code).drop(ROW, PART)
            part = self._part(frame, lazy, name, folder)
            if part.rows or code == TRAIN:
                made.append(part)
        return made

    def _part(self, frame: PolarsFrame, lazy: pl.LazyFrame, name: str, folder: Path) -> Part:
        path = folder / f"{name}.parquet"
        if self._scratch.holds(frame.size):
            held = lazy.collect(engine="streaming")
            written = self._writer.submit(sink, held.lazy(), path) if held.height else None
            return Part(name, path, held.height, held.schema, held, written)
        sink(lazy, path)
        return opened(name, path)

    def _blocks(self, frame: PolarsFrame, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Training rows in blocks of fixed size: sums are the same every time, however many threads there are."""
        rows = frame.rows if frame.blocks is None else frame.blocks[TRAIN]
        for start in range(0, rows, BLOCK):
            block = frame.lazy.slice(start, min(BLOCK, rows - start))
            if frame.divided and frame.blocks is None:
                block = block.filter(pl.col(PART) == TRAIN)
            yield block.select(columns).collect()

    def _ordered(self, frame: PolarsFrame) -> PolarsFrame:
        if frame.ordered:
            return frame
        check_keys(frame.lazy, self._layout)
        frame = self._settled(frame)
        keys = frame.lazy.select(*self._layout.keys, ROW).collect(engine="streaming")
        if is_ordered(keys, self._layout):
            return replace(frame, ordered=True)
        ordered = frame.then(frame.lazy.sort(*self._layout.keys, ROW), ordered=True)
        return self._settled(ordered)

    def _settled(self, frame: PolarsFrame) -> PolarsFrame:
        if not frame.pending:
            return frame
        size = frame.rows * row_bytes(frame.lazy.collect_schema())
        lazy = self._scratch.settled(frame.lazy, size)
        rows = int(lazy.select(pl.len()).collect().item())
        return replace(frame, lazy=lazy, rows=rows, size=size, pending=0)

    def _changed(
        self, frame: PolarsFrame, made: Sequence[pl.Expr], names: Sequence[str] | Mapping[str, Any]
    ) -> PolarsFrame:
        """With columns changed; rows may be out of order when one is a key."""
        kept = not set(names) & set(self._layout.keys)
        return frame.then(frame.lazy.with_columns(made), ordered=frame.ordered and kept)

    def _beside(self, frame: PolarsFrame, parts: npt.NDArray[np.uint8]) -> PolarsFrame:
        """With PART, which stands in the order of the rows."""
        frame = replace(self._settled(frame), blocks=None)
        lazy = frame.lazy.drop(PART) if frame.divided else frame.lazy
        if self._scratch.holds(frame.size):
            return replace(frame, lazy=lazy.collect().with_columns(pl.Series(PART, parts)).lazy(), divided=True)
        column = pl.DataFrame({PART: parts}).lazy()
        return replace(frame, lazy=pl.concat([lazy, column], how="horizontal"), divided=True)

    def _apart(self, frame: PolarsFrame) -> PolarsFrame:
        """Part after part, where that is cheap: the training part is then had without looking at every row."""
        if not self._scratch.holds(frame.size):
            return frame
        rows = frame.lazy.collect()
        parts = [rows.filter(rows[PART] == code) for code in range(len(PARTS))]
        blocks = tuple(part.height for part in parts)
        return replace(frame, lazy=pl.concat(parts).lazy(), blocks=blocks)
