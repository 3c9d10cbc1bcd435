"""Changes of type: what cannot be changed without loss becomes null."""

from __future__ import annotations

from datetime import date

import polars as pl

from services.data.domain.pipeline.columns import FLOATS, INTEGERS, MOMENTS, NUMBERS, ColumnType
from services.data.processor.ingest.rows import DTYPES

_MOMENT_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_FIRST, _LAST = (date(1, 1, 1) - date(1970, 1, 1)).days, (date(9999, 12, 31) - date(1970, 1, 1)).days
_MICROSECONDS = 86_400_000_000
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def cast(name: str, old: ColumnType, new: ColumnType) -> pl.Expr:
    """The column in its new type. Numbers are moments in microseconds since 1970; texts are ISO 8601."""
    column = pl.col(name)
    dtype = DTYPES[new]
    if old is ColumnType.STRING and new is not ColumnType.STRING:
        return _from_text(column.str.strip_chars(), new)
    if old in FLOATS and new in INTEGERS | MOMENTS:
        whole = pl.when(column == column.floor()).then(column).cast(pl.Int64, strict=False)
        return _moment(whole, new) if new in MOMENTS else whole.cast(dtype, strict=False)
    if old in INTEGERS and new in MOMENTS:
        return _moment(column, new)
    if new is ColumnType.BOOLEAN and old in NUMBERS:
        return column.fill_nan(None) != 0 if old in FLOATS else column != 0
    if new is ColumnType.STRING and old is ColumnType.TIMESTAMP:
        return column.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
    return column.cast(dtype, strict=False)


def held(name: str, old: ColumnType) -> pl.Expr:
    """Whether there is a value to be cast."""
    column = pl.col(name)
    return column.fill_nan(None).is_not_null() if old in FLOATS else column.is_not_null()


def _moment(number: pl.Expr, new: ColumnType) -> pl.Expr:
    """Of the years 1 to 9999: others no calendar knows, and nothing else can show."""
    unit = _MICROSECONDS if new is ColumnType.TIMESTAMP else 1
    return (
        pl.when(number.is_between(_FIRST * unit, (_LAST + 1) * unit - 1)).then(number).cast(DTYPES[new], strict=False)
    )


def _from_text(text: pl.Expr, new: ColumnType) -> pl.Expr:
    if new is ColumnType.BOOLEAN:
        lower = text.str.to_lowercase()
        return pl.when(lower.is_in(_TRUE)).then(pl.lit(True)).when(lower.is_in(_FALSE)).then(pl.lit(False))
    if new not in MOMENTS:
        return text.cast(DTYPES[new], strict=False)
    iso = text.str.replace(" ", "T", literal=True).str.replace(r"Z$", "")
    tries = [iso.str.to_datetime(form, time_unit="us", strict=False) for form in _MOMENT_FORMATS]
    zoned = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)
    moment = pl.coalesce(*tries, zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    return moment.cast(DTYPES[new])
