"""Rows of a source, as they come, and the types they may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from services.data.domain.pipeline.columns import MAX_COLUMN_NAME, RESERVED, ColumnType, means_several
from services.data.processor.faults import DataTooLarge, DataUnreadable
from services.data.processor.job import Limits

DTYPES: dict[ColumnType, pl.DataType] = {
    ColumnType.BOOLEAN: pl.Boolean(),
    ColumnType.INT32: pl.Int32(),
    ColumnType.INT64: pl.Int64(),
    ColumnType.FLOAT32: pl.Float32(),
    ColumnType.FLOAT64: pl.Float64(),
    ColumnType.STRING: pl.String(),
    ColumnType.TIMESTAMP: pl.Datetime("us"),
    ColumnType.DATE: pl.Date(),
}
"""Moments are UTC; files say so, frames need not."""
_WIDER: tuple[tuple[tuple[type[pl.DataType], ...], pl.DataType], ...] = (
    ((pl.Int8, pl.Int16, pl.UInt8, pl.UInt16), pl.Int32()),
    ((pl.UInt32, pl.UInt64, pl.Int128), pl.Int64()),
    ((pl.Float16,), pl.Float32()),
    ((pl.Decimal,), pl.Float64()),
    ((pl.Categorical, pl.Enum, pl.Null), pl.String()),
)
_SAME = tuple(type(dtype) for dtype in DTYPES.values() if not isinstance(dtype, pl.Datetime))
TEXT_BYTES = 32
"""What a text is taken to need before it is read."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with the types of DTYPES. `lazy` is cheap to go through again when `settled`; `size` are bytes in memory.

    `divided` when a column PART came with them.
    """

    lazy: pl.LazyFrame
    size: int
    settled: bool = False
    divided: bool = False


def column_type(dtype: pl.DataType) -> ColumnType:
    """The type of a column with one of DTYPES."""
    return next(kind for kind, known in DTYPES.items() if known == dtype)


def row_bytes(schema: pl.Schema) -> int:
    """Bytes of a row in memory, about."""
    return sum(TEXT_BYTES if dtype == pl.String else 8 for dtype in schema.values())


def check_names(names: Sequence[str], limits: Limits, where: str) -> None:
    """Raises DataTooLarge for too many columns, DataUnreadable for names that cannot be kept."""
    if len(names) > limits.max_columns:
        raise DataTooLarge(
            f"{where} has {len(names)} columns, at most {limits.max_columns} are possible: "
            "bring it into long form, one row for each series, step and feature group"
        )
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        if name in seen:
            raise DataUnreadable(f"{where}: column {place} is called {name!r} as one before it: rename one")
        seen.add(name)
        if not name or len(name) > MAX_COLUMN_NAME or not name.isprintable() or _is_taken(name):
            raise DataUnreadable(
                f"{where}: column {place} is called {name[:60]!r}: names have 1 to {MAX_COLUMN_NAME} printable "
                f"characters, are no patterns (* and ^...$), and none of {', '.join(sorted(RESERVED))}"
            )


def _is_taken(name: str) -> bool:
    return name in RESERVED or means_several(name)


def normalised(lazy: pl.LazyFrame, wanted: Sequence[str] | None, limits: Limits, where: str) -> pl.LazyFrame:
    """Columns with the types of DTYPES. `wanted` names those that the pipeline begins with; None means all.

    Raises DataUnreadable for types that no dataset can have.
    """
    schema = lazy.collect_schema()
    names = [name for name in schema.names() if wanted is None or name in wanted]
    if wanted is None or not names:
        check_names(schema.names(), limits, where)
        names = schema.names()
    return lazy.select([_normal(name, schema[name], where) for name in names])


def _normal(name: str, dtype: pl.DataType, where: str) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, _SAME):
        return column
    if isinstance(dtype, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
        return utc.dt.cast_time_unit("us")
    for kinds, wider in _WIDER:
        if isinstance(dtype, kinds):
            return column.cast(wider)
    raise DataUnreadable(
        f"{where}: column {name!r} holds {dtype}, which a dataset cannot: begin the pipeline with a select step "
        "that leaves it out, or flatten it before uploading"
    )
