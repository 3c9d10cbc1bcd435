"""CSV files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from services.data.domain.source import ReadOptions
from services.data.processor.faults import DataEmpty, DataTooLarge
from services.data.processor.ingest.bytes import as_utf8
from services.data.processor.ingest.csv_shape import CsvShape, csv_shape
from services.data.processor.ingest.rows import Rows, check_names, normalised, row_bytes
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.job import Limits

GUESS_ROWS = 10_000
"""Types are guessed from so many rows; when a later one does not fit, from all."""


def read_csv(path: Path, options: ReadOptions, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch) -> Rows:
    """The rows of a CSV file with a header. Cells are data, whatever they begin with."""
    text = as_utf8(path, path.name, options.encoding, scratch.folder)
    shape = csv_shape(text, path.name, options.delimiter)
    check_names(shape.names, limits, path.name)
    if shape.rows > limits.max_rows:
        raise DataTooLarge(f"{path.name} has {shape.rows} rows, at most {limits.max_rows} are possible")
    if shape.rows == 0:
        raise DataEmpty(f"{path.name} has a header and no rows")

    def settled(guess: int | None) -> Rows:
        """Parsed once for all: types that were guessed wrong show now."""
        lazy = normalised(_scanned(text, options, shape, guess), wanted, limits, path.name)
        size = shape.rows * row_bytes(lazy.collect_schema())
        return Rows(scratch.settled(lazy, size), size, settled=True)

    try:
        return settled(GUESS_ROWS)
    except pl.exceptions.ComputeError:
        return settled(None)


def _scanned(path: Path, options: ReadOptions, shape: CsvShape, guess: int | None) -> pl.LazyFrame:
    nulls = list(options.null_values)
    return pl.scan_csv(
        path,
        separator=options.delimiter,
        null_values=nulls or None,
        empty_string_is_null=not nulls or "" in nulls,
        infer_schema_length=guess,
        try_parse_dates=True,
        n_rows=shape.rows,
        new_columns=shape.names,
        glob=False,
    )
