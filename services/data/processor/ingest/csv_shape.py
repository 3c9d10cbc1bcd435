"""The shape of a CSV file: which record has more or fewer fields than the header, which no reader says."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.data.processor.faults import DataEmpty, DataUnreadable

CHUNK = 8 * 1024 * 1024
MAX_RECORD = 64 * 1024 * 1024
_NEWLINE, _RETURN, _QUOTE = 10, 13, 34
Places = npt.NDArray[np.intp]


@dataclass(slots=True)
class CsvShape:
    """Names of the header as they stand, and how many records follow it."""

    names: list[str]
    rows: int = 0
    lines: int = field(default=1, repr=False)  # physical lines before the next record, and 1
    empty: int = field(default=0, repr=False)  # empty records that nothing has followed yet
    empty_line: int = field(default=0, repr=False)  # where they begin


def csv_shape(path: Path, name: str, delimiter: str) -> CsvShape:
    """Goes through a UTF-8 file once. Raises DataUnreadable naming the line of the first ragged record."""
    shape: CsvShape | None = None
    with path.open("rb") as file:
        rest = b""
        while True:
            chunk = file.read(CHUNK)
            if not chunk and rest and not rest.endswith(b"\n"):
                rest += b"\n"
            block, rest = _records(rest + chunk, name, shape, last=not chunk)
            if block and shape is None:
                shape, block = _header(block, name, delimiter)
            if block and shape is not None:
                _count(block, shape, name, ord(delimiter))
            if not chunk:
                break
    if shape is None:
        raise DataEmpty(f"{name} is empty")
    return shape


def _records(data: bytes, name: str, shape: CsvShape | None, *, last: bool) -> tuple[bytes, bytes]:
    """Whole records, and what is left of one that goes on."""
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == _NEWLINE)
    quotes = np.flatnonzero(array == _QUOTE)
    if len(quotes):
        ends = ends[_outside(ends, quotes)]
    end = int(ends[-1]) + 1 if len(ends) else 0
    line = shape.lines if shape else 1
    if end < len(data) and (last or len(data) - end > MAX_RECORD):
        begun = line + data.count(b"\n", 0, end)
        raise DataUnreadable(
            f'{name}: the record that begins in line {begun} does not end: a " is opened there and never closed',
            line=begun,
        )
    return data[:end], data[end:]


def _outside(places: Places, quotes: Places) -> npt.NDArray[np.bool_]:
    """Which places have an even number of quotes before them."""
    outside: npt.NDArray[np.bool_] = np.searchsorted(quotes, places) % 2 == 0
    return outside


def _header(block: bytes, name: str, delimiter: str) -> tuple[CsvShape, bytes]:
    reader = csv.reader(io.StringIO(block[: 4 * CHUNK].decode("utf-8"), newline=""), delimiter=delimiter, strict=False)
    try:
        fields = next(reader)
    except csv.Error as error:
        raise DataUnreadable(f"{name}: the header line cannot be read: {error}", line=1) from error
    if not fields:
        raise DataUnreadable(f"{name}: line 1 is empty, and should name the columns", line=1)
    if any("\r" in one for one in fields):
        raise DataUnreadable(f"{name}: its lines end with CR alone: save it with LF or CR LF", line=1)
    end = _nth_newline(block, reader.line_num)
    names = [one.strip() or f"column_{place}" for place, one in enumerate(fields, 1)]
    return CsvShape(names, lines=1 + reader.line_num), block[end:]


def _nth_newline(block: bytes, count: int) -> int:
    at = 0
    for _ in range(count):
        at = block.index(b"\n", at) + 1
    return at


def _count(block: bytes, shape: CsvShape, name: str, delimiter: int) -> None:
    """Adds the records of a block. Empty ones at the end of the file are none; of one column, others are nulls."""
    array = np.frombuffer(block, np.uint8)
    newlines = np.flatnonzero(array == _NEWLINE)
    between = np.flatnonzero(array == delimiter)
    quotes = np.flatnonzero(array == _QUOTE)
    ends = newlines
    if len(quotes):
        ends = newlines[_outside(newlines, quotes)]
        between = between[_outside(between, quotes)]
    starts = np.concatenate(([0], ends[:-1] + 1))
    fields = np.diff(np.searchsorted(between, ends), prepend=0) + 1
    empty = (ends == starts) | ((ends == starts + 1) & (array[starts] == _RETURN))
    trailing = _trailing(empty)
    kept = len(ends) - trailing

    def line(record: int) -> int:
        return shape.lines + int(np.searchsorted(newlines, starts[record]))

    wrong = fields[:kept] != len(shape.names)
    if len(shape.names) > 1:
        if kept and shape.empty:
            _ragged(name, shape.empty_line, 0, len(shape.names))
        wrong |= empty[:kept]
    if wrong.any():
        first = int(np.argmax(wrong))
        _ragged(name, line(first), 0 if empty[first] else int(fields[first]), len(shape.names))
    if kept:
        shape.rows += kept + shape.empty
        shape.empty = 0
    if trailing and not shape.empty:
        shape.empty_line = line(kept)
    shape.empty += trailing
    shape.lines += len(newlines)


def _trailing(empty: npt.NDArray[np.bool_]) -> int:
    """How many empty records stand at the end."""
    full = np.flatnonzero(~empty)
    return len(empty) - (int(full[-1]) + 1 if len(full) else 0)


def _ragged(name: str, line: int, fields: int, wanted: int) -> None:
    found = f"has {fields} {'field' if fields == 1 else 'fields'}" if fields else "is empty"
    raise DataUnreadable(
        f"{name}: line {line} {found}, the header has {wanted}: "
        'mend that line (fields with the delimiter in them need "quotes"), or say the delimiter',
        line=line,
        fields=fields,
    )
