"""Files with a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from polars.exceptions import PanicException

from services.data.domain.source import ReadOptions
from services.data.processor.faults import DataEmpty, DataTooLarge, DataUnreadable
from services.data.processor.ingest.bytes import as_utf8
from services.data.processor.ingest.rows import Rows, normalised, row_bytes
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.job import Limits

MAX_LINE = 16 * 1024 * 1024


def read_jsonl(
    path: Path, options: ReadOptions, wanted: Sequence[str] | None, limits: Limits, scratch: Scratch
) -> Rows:
    """The rows of a JSONL file; keys that a line lacks are null. Empty lines count for nothing."""
    text = as_utf8(path, path.name, options.encoding, scratch.folder)
    rows = _checked(text, path.name)
    if rows == 0:
        raise DataEmpty(f"{path.name} is empty")
    if rows > limits.max_rows:
        raise DataTooLarge(f"{path.name} has {rows} lines, at most {limits.max_rows} are possible")
    try:
        lazy = normalised(pl.scan_ndjson(text, infer_schema_length=None), wanted, limits, path.name)
        size = rows * row_bytes(lazy.collect_schema())
        return Rows(scratch.settled(lazy, size), size, settled=True)
    except (pl.exceptions.PolarsError, PanicException):
        _diagnose(text, path.name)
        raise


def _checked(path: Path, name: str) -> int:
    """How many lines have something in them. Raises DataUnreadable for one that cannot be an object."""
    rows = 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
            if len(line) > MAX_LINE:
                raise DataUnreadable(f"{name}: line {number} has more than {MAX_LINE} bytes", line=number)
            start = line.lstrip()[:1]
            rows += bool(start)
            if start and start != b"{":
                raise DataUnreadable(
                    f'{name}: line {number} is no JSON object: every line is one, as {{"a": 1}}', line=number
                )
    return rows


def _diagnose(path: Path, name: str) -> None:
    """Raises DataUnreadable for the first line that is no JSON object."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                json.loads(line)
            except json.JSONDecodeError as error:
                raise DataUnreadable(
                    f"{name}: line {number} is no JSON: {error.msg} at character {error.colno}", line=number
                ) from error
            except RecursionError as error:
                raise DataUnreadable(f"{name}: line {number} is nested too deep", line=number) from error
