"""Parquet and Arrow files, which say themselves what they hold, and may lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from services.data.processor.faults import DataEmpty, DataTooLarge, DataUnreadable
from services.data.processor.ingest.bytes import head
from services.data.processor.ingest.rows import Rows, normalised, row_bytes
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.job import Limits

_TAIL = 4


def read_parquet(path: Path, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch) -> Rows:
    """The rows of a Parquet file. Its footer is believed no further than `limits`."""
    _check_ends(path, b"PAR1", b"PAR1", "Parquet")
    return _read(pl.scan_parquet(path, glob=False), path, wanted, limits, scratch)


def read_arrow(path: Path, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch) -> Rows:
    """The rows of an Arrow IPC file."""
    _check_ends(path, b"ARROW1", b"ROW1", "Arrow IPC (the file format, not the stream)")
    return _read(pl.scan_ipc(path, glob=False), path, wanted, limits, scratch)


def _read(lazy: pl.LazyFrame, path: Path, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch) -> Rows:
    told = int(lazy.select(pl.len()).collect().item())
    if told > limits.max_rows:
        raise DataTooLarge(f"{path.name} has {told} rows, at most {limits.max_rows} are possible")
    if told == 0:
        raise DataEmpty(f"{path.name} has no rows")
    lazy = normalised(lazy, wanted, limits, path.name)
    size = told * row_bytes(lazy.collect_schema())
    if size > limits.max_bytes:
        raise DataTooLarge(
            f"{path.name} has {path.stat().st_size} bytes and expands to about {size}, "
            f"at most {limits.max_bytes} are possible: send less at once"
        )
    settled = scratch.settled(lazy, size)
    if (found := int(settled.select(pl.len()).collect().item())) != told:
        raise DataUnreadable(f"{path.name} is damaged: it says that it has {told} rows, and has {found}")
    return Rows(settled, size, settled=True)


def _check_ends(path: Path, start: bytes, end: bytes, kind: str) -> None:
    if path.stat().st_size == 0:
        raise DataEmpty(f"{path.name} is empty")
    if not head(path).startswith(start):
        raise DataUnreadable(f"{path.name} is not {kind}: it does not begin as one does")
    with path.open("rb") as file:
        file.seek(-min(_TAIL, path.stat().st_size), 2)
        if file.read() != end[-_TAIL:]:
            raise DataUnreadable(f"{path.name} is cut: it does not end as {kind} does; send it again")
