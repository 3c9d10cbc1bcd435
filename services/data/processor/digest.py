"""The digest of a version: equal for equal schema, parts and rows, however files and engines write them.

SHA-256 over a list of lines: for each part its name and its number of rows, then for each column its name, type and the
SHA-256 of each block of rows. A block is hashed as: which values are null (one bit each, where there are any), then the
values in little-endian order with zeros for nulls and one NaN for all; texts as their lengths in bytes and their bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import polars as pl

from services.data.processor.ingest.rows import column_type
from services.data.processor.parts import Part

BLOCK = 1_048_576


def version_digest(parts: Iterable[tuple[Part, dict[str, str]]]) -> str:
    """64 hexadecimal digits, of parts with the digests of their columns."""
    total = hashlib.sha256()
    for part, columns in parts:
        total.update(f"part {part.name!r} {part.rows}\n".encode())
        for name, digest in columns.items():
            kind = column_type(plain(part.schema[name]))
            total.update(f"column {name!r} {kind} {digest}\n".encode("utf-8", "surrogatepass"))
    return total.hexdigest()


def column_digest(values: pl.Series) -> str:
    """SHA-256 over the blocks of a column."""
    total = hashlib.sha256()
    for start in range(0, len(values), BLOCK):
        total.update(_block(values[start : start + BLOCK]))
    return total.hexdigest()


def plain(dtype: pl.DataType) -> pl.DataType:
    """The type without its time zone: moments are UTC anyway."""
    return pl.Datetime("us") if isinstance(dtype, pl.Datetime) else dtype


def _block(values: pl.Series) -> bytes:
    hashed = hashlib.sha256()
    if values.null_count():
        hashed.update(np.packbits(values.is_null().to_numpy()).data)
    if values.dtype == pl.String:
        texts = values.fill_null("")
        hashed.update(np.ascontiguousarray(texts.str.len_bytes().to_numpy(), dtype="<u4").data)
        hashed.update("".join(texts.to_list()).encode("utf-8", "surrogatepass"))
    else:
        hashed.update(_numbers(values).data)
    return hashed.digest()


def _numbers(values: pl.Series) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    physical = values.to_physical()
    if physical.dtype == pl.Boolean:
        physical = physical.cast(pl.UInt8)
    if physical.dtype.is_float() and physical.is_nan().any():
        physical = physical.fill_nan(float("nan"))
    array = physical.fill_null(0).to_numpy()
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
