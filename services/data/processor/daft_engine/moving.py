"""Rows on their way into Daft, and out of it."""

from __future__ import annotations

import math

import daft
import polars as pl
import pyarrow.parquet as pq

from services.data.processor.daft_engine.frame import DaftFrame, inner, outer
from services.data.processor.engine import PART, ROW
from services.data.processor.ingest.rows import Rows, column_type
from services.data.processor.ingest.scratch import Scratch

SPREAD_ROWS = 262_144
"""Rows that one task of Ray begins with."""
MAX_SPREAD = 4096


def sent(rows: Rows, scratch: Scratch, *, spread: bool) -> DaftFrame:
    """The rows of a source with their positions; through a file where they do not fit into memory."""
    types = rows.lazy.collect_schema()
    schema = {name: column_type(dtype) for name, dtype in types.items() if name != PART}
    lazy = rows.lazy.select(pl.col(name).alias(inner(name)) for name in types)
    lazy = lazy.with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    if not scratch.holds(rows.size):
        path = scratch.folder / "sent.parquet"
        lazy.sink_parquet(path, compression="lz4", row_group_size=SPREAD_ROWS)
        height = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
        return DaftFrame(daft.read_parquet(str(path)), schema, height, divided=rows.divided)
    held = lazy.collect()
    frame = DaftFrame(daft.from_arrow(held.to_arrow()), schema, held.height, divided=rows.divided)
    if not spread:
        return frame
    pieces = min(MAX_SPREAD, math.ceil(held.height / SPREAD_ROWS))
    return frame.then(frame.data.into_partitions(max(1, pieces)))


def brought(data: daft.DataFrame) -> pl.DataFrame:
    """All rows, in memory."""
    rows = pl.DataFrame(data.to_arrow())
    return rows.rename({name: outer(name) for name in rows.columns})


def brought_down(frame: DaftFrame, scratch: Scratch) -> pl.LazyFrame:
    """All rows in the order of Daft; in a file where they do not fit into memory."""
    if scratch.holds(frame.size):
        return brought(frame.data).lazy()
    path = scratch.folder / "brought.parquet"
    with pq.ParquetWriter(path, frame.data.schema().to_pyarrow_schema(), compression="lz4") as writer:
        for batch in frame.data.to_arrow_iter(results_buffer_size=1):
            writer.write_batch(batch)
    rows = pl.scan_parquet(path, glob=False)
    return rows.rename({name: outer(name) for name in rows.collect_schema()})
