"""A part of a version: its Parquet file, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

ROW_GROUP = 131_072
ZSTD_LEVEL = 1
"""Floating-point numbers hardly get smaller at higher levels, only slower."""


@dataclass(slots=True)
class Part:
    """`held` are its rows where they still are in memory; `written` ends when the file is whole."""

    name: str
    path: Path
    rows: int
    schema: pl.Schema
    held: pl.DataFrame | None = field(default=None, repr=False)
    written: Future[None] | None = field(default=None, repr=False)

    def column(self, name: str) -> pl.Series:
        """All values of a column."""
        if self.held is not None:
            return self.held[name].rechunk()
        return self._read([name])[name].rechunk()

    def head(self, rows: int) -> pl.DataFrame:
        """The first rows."""
        if self.held is not None:
            return self.held.head(rows)
        return pl.scan_parquet(self.path, glob=False).head(rows).collect()

    def finish(self) -> None:
        """Waits until the file is whole. Raises what went wrong."""
        if self.written is not None:
            self.written.result()

    def _read(self, columns: Sequence[str]) -> pl.DataFrame:
        self.finish()
        return pl.read_parquet(self.path, columns=list(columns), glob=False)


def opened(name: str, path: Path) -> Part:
    """A part that an engine has written."""
    lazy = pl.scan_parquet(path, glob=False)
    return Part(name, path, int(lazy.select(pl.len()).collect().item()), lazy.collect_schema())


def sink(lazy: pl.LazyFrame, path: Path) -> None:
    """Writes rows as a part file: moments say that they are UTC."""
    moments = [name for name, dtype in lazy.collect_schema().items() if dtype == pl.Datetime("us")]
    lazy.with_columns(pl.col(moments).dt.replace_time_zone("UTC")).sink_parquet(
        path,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        row_group_size=ROW_GROUP,
        statistics={"min": False, "max": False, "distinct_count": False, "null_count": True},
    )
