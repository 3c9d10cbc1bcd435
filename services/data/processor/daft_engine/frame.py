"""Rows in the hands of Daft, and their way there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import daft
import polars as pl
from daft import DataType

from services.data.domain.pipeline.columns import RESERVED, ColumnType
from services.data.processor.engine import PART, ROW
from services.data.processor.ingest.rows import DTYPES, row_bytes

TYPES: dict[ColumnType, DataType] = {
    ColumnType.BOOLEAN: DataType.bool(),
    ColumnType.INT32: DataType.int32(),
    ColumnType.INT64: DataType.int64(),
    ColumnType.FLOAT32: DataType.float32(),
    ColumnType.FLOAT64: DataType.float64(),
    ColumnType.STRING: DataType.string(),
    ColumnType.TIMESTAMP: DataType.timestamp("us"),
    ColumnType.DATE: DataType.date(),
}
BESIDE: dict[str, DataType] = {ROW: DataType.int64(), PART: DataType.uint8()}
_PREFIX = "c_"


def inner(name: str) -> str:
    """What a column is called inside Daft, where names like `*` mean something else."""
    return name if name in RESERVED else f"{_PREFIX}{name}"


def outer(name: str) -> str:
    """And what it is really called."""
    return name.removeprefix(_PREFIX)


def column(name: str) -> daft.Expression:
    """A column of a frame."""
    return daft.col(inner(name))


@dataclass(frozen=True, slots=True)
class DaftFrame:
    """`data` has the columns of `schema`, ROW, and PART where it is `divided`. There are at most `rows` rows.

    Every operation ends with `settled`. Left to Daft's optimizer, a function of ours that reads a column may be given
    what a later operation puts in its place (daft 0.7.26).
    """

    data: daft.DataFrame
    schema: Mapping[str, ColumnType]
    rows: int
    divided: bool = False

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [*self.schema, ROW, *([PART] if self.divided else [])]

    @property
    def size(self) -> int:
        """Bytes in memory at most, about."""
        return self.rows * row_bytes(polars_schema(self.schema))

    def then(self, data: daft.DataFrame, changed: Mapping[str, ColumnType] | None = None) -> DaftFrame:
        """After an operation that changed the types of these columns, or added them."""
        return replace(self, data=data, schema={**self.schema, **(changed or {})}).settled()

    def settled(self) -> DaftFrame:
        """Computed, so that what follows neither changes it nor computes it again."""
        self.data.collect(num_preview_rows=1)
        return self


def polars_schema(schema: Mapping[str, ColumnType]) -> pl.Schema:
    """The types in the words of Polars."""
    return pl.Schema({name: DTYPES[kind] for name, kind in schema.items()})


def to_polars(names: Sequence[str], columns: Sequence[daft.Series]) -> pl.DataFrame:
    """What a function is given by Daft."""
    return pl.DataFrame([_series(name, column) for name, column in zip(names, columns, strict=True)])


def _series(name: str, column: daft.Series) -> pl.Series:
    made = pl.from_arrow(column.to_arrow())
    assert isinstance(made, pl.Series)  # noqa: S101  # of an array
    return made.alias(name)
