"""Uploaded files become rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from services.data.domain.source import FileFormat, ReadOptions
from services.data.processor.faults import DataEmpty, DataTooLarge, DataUnreadable
from services.data.processor.ingest.bytes import expanded, head, plain_suffix
from services.data.processor.ingest.columnar import read_arrow, read_parquet
from services.data.processor.ingest.csv import read_csv
from services.data.processor.ingest.guarded import reading
from services.data.processor.ingest.jsonl import read_jsonl
from services.data.processor.ingest.rows import Rows
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.job import InputFile, Limits

_SUFFIXES = {
    ".csv": FileFormat.CSV, ".tsv": FileFormat.CSV, ".txt": FileFormat.CSV, ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL, ".json": FileFormat.JSONL, ".parquet": FileFormat.PARQUET, ".pq": FileFormat.PARQUET,
    ".arrow": FileFormat.ARROW, ".feather": FileFormat.ARROW, ".ipc": FileFormat.ARROW,
}  # fmt: skip


def read_files(
    files: Sequence[InputFile], folder: Path, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch
) -> Rows:
    """The rows of all files, one after the other. Raises DataUnreadable where their columns are not the same."""
    read = [(file.name, _read(file, folder, wanted, limits, scratch)) for file in files]
    first_name, first = read[0]
    schema = first.lazy.collect_schema()
    for name, rows in read[1:]:
        if rows.lazy.collect_schema() != schema:
            raise DataUnreadable(f"{name} does not have the columns of {first_name}, in that order and of those types")
    if len(read) == 1:
        return first
    return Rows(pl.concat([rows.lazy for _, rows in read]), sum(rows.size for _, rows in read))


def _read(file: InputFile, folder: Path, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch) -> Rows:
    path = folder / file.name
    with reading(path.name):
        if path.stat().st_size == 0:
            raise DataEmpty(f"{path.name} is empty")
        plain = expanded(path, scratch.folder, limits.max_bytes)
        rows = _by_format(plain, file, wanted, limits, scratch)
        check_cells(rows.lazy, path.name, limits)
        return rows


def _by_format(path: Path, file: InputFile, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch) -> Rows:
    match file.options.format or guessed(path, file.name):
        case FileFormat.PARQUET:
            return read_parquet(path, wanted, limits, scratch)
        case FileFormat.ARROW:
            return read_arrow(path, wanted, limits, scratch)
        case FileFormat.JSONL:
            return read_jsonl(path, file.options, wanted, limits, scratch)
        case _:
            options = file.options
            if plain_suffix(file.name) == ".tsv" and options.delimiter == ",":
                options = ReadOptions(delimiter="\t", encoding=options.encoding, null_values=options.null_values)
            return read_csv(path, options, wanted, limits, scratch)


def guessed(path: Path, name: str) -> FileFormat:
    """The format that the first bytes show, or else the name; CSV where neither does."""
    start = head(path)
    if start.startswith(b"PAR1"):
        return FileFormat.PARQUET
    if start.startswith(b"ARROW1"):
        return FileFormat.ARROW
    by_name = _SUFFIXES.get(plain_suffix(name))
    if by_name is not None:
        return by_name
    return FileFormat.JSONL if start.lstrip().startswith(b"{") else FileFormat.CSV


def check_cells(lazy: pl.LazyFrame, name: str, limits: Limits) -> None:
    """Raises DataTooLarge for a text that is longer than a cell may be."""
    texts = [column for column, dtype in lazy.collect_schema().items() if dtype == pl.String]
    if not texts:
        return
    longest = lazy.select([pl.col(column).str.len_bytes().max() for column in texts]).collect(engine="streaming")
    for column in texts:
        if (length := longest[column].item() or 0) > limits.max_cell:
            raise DataTooLarge(
                f"{name}: a text in column {column!r} has {length} bytes, at most {limits.max_cell} can be"
            )
