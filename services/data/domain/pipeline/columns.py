"""Columns: their types, and names that every file format can carry."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from automesh.core.errors import ValidationError

MAX_COLUMN_NAME = 200


class ColumnType(StrEnum):
    """The types of columns; the values are those of the proto enum without its prefix."""

    BOOLEAN = "BOOLEAN"
    INT32 = "INT32"
    INT64 = "INT64"
    FLOAT32 = "FLOAT32"
    FLOAT64 = "FLOAT64"
    STRING = "STRING"
    TIMESTAMP = "TIMESTAMP"
    DATE = "DATE"


INTEGERS = frozenset({ColumnType.INT32, ColumnType.INT64})
FLOATS = frozenset({ColumnType.FLOAT32, ColumnType.FLOAT64})
NUMBERS = INTEGERS | FLOATS
MOMENTS = frozenset({ColumnType.TIMESTAMP, ColumnType.DATE})

Schema = Mapping[str, ColumnType]
"""Types by name, in the order of the columns."""

RESERVED = frozenset({"__row", "__part"})
"""What engines keep beside the rows: the position in the source, and the part."""


def means_several(name: str) -> bool:
    """Names that engines take for a pattern of names."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def check_column_name(name: str, *, field: str) -> None:
    """Raises ValidationError for a name that no column may have."""
    if not name or len(name) > MAX_COLUMN_NAME:
        raise ValidationError(f"{field}: a column's name has 1 to {MAX_COLUMN_NAME} characters", field=field)
    if not name.isprintable():
        raise ValidationError(f"{field}: column name {name[:40]!r} has control characters", field=field)
    if name in RESERVED:
        raise ValidationError(f"{field}: {name!r} is kept for the engine: rename the column", field=field)
    if means_several(name):
        raise ValidationError(f"{field}: {name[:40]!r} is a pattern, no name: rename the column", field=field)
