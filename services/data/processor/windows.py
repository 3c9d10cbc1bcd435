"""Windows: the places of their first rows in a part file. Rows are never copied, and no window leaves its series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from services.data.domain.pipeline.steps import WindowStep
from services.data.processor.parts import Part

Starts = npt.NDArray[np.int64]


def runs(part: Part, series: str) -> tuple[Starts, Starts]:
    """First row and length of each series; rows of a series stand together. Without a series column there is one."""
    if not part.rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if not series:
        return np.zeros(1, np.int64), np.array([part.rows], np.int64)
    return run_lengths(part.column(series))


def run_lengths(values: pl.Series) -> tuple[Starts, Starts]:
    """First row and length of each stretch of equal values; none of no values."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if values.dtype.is_numeric() and not values.null_count():
        array = values.to_numpy()
        changed = array[1:] != array[:-1]
    else:
        changed = values.ne_missing(values.shift(1))[1:].to_numpy()
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1)).astype(np.int64)
    return starts, np.diff(starts, append=len(values)).astype(np.int64)


def window_starts(starts: Starts, lengths: Starts, window: WindowStep) -> Starts:
    """First row of every whole window (and the horizon after it), in order."""
    counts = np.maximum((lengths - window.length - window.horizon) // window.apart + 1, 0)
    ends = np.cumsum(counts)
    within = np.arange(ends[-1] if len(ends) else 0, dtype=np.int64) - np.repeat(ends - counts, counts)
    placed: Starts = np.repeat(starts, counts) + within * window.apart
    return placed


def write_windows(part: Part, found: Starts) -> Path:
    """The index file beside a part file."""
    path = part.path.with_name(f"{part.name}.windows.parquet")
    pl.DataFrame({"start": found}).write_parquet(path, compression="zstd")
    return path
