"""Enums of pipelines: the domain's values are the proto's names without their prefix."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from automesh.core.errors import ValidationError
from automesh.data.v1 import pipeline_pb2 as pb
from services.data.domain.pipeline.columns import ColumnType
from services.data.domain.pipeline.steps import Aggregation, FillMethod, ScaleMethod, SplitMethod

E = TypeVar("E", bound=StrEnum)

COLUMN_TYPES = {pb.ColumnType.Value(f"COLUMN_TYPE_{kind}"): kind for kind in ColumnType}
FILL_METHODS = {pb.FillMethod.Value(f"FILL_METHOD_{kind}"): kind for kind in FillMethod}
SCALE_METHODS = {pb.ScaleMethod.Value(f"SCALE_METHOD_{kind}"): kind for kind in ScaleMethod}
AGGREGATIONS = {pb.Aggregation.Value(f"AGGREGATION_{kind}"): kind for kind in Aggregation}
SPLIT_METHODS = {pb.SplitMethod.Value(f"SPLIT_METHOD_{kind}"): kind for kind in SplitMethod}


def column_type(value: int, field: str) -> ColumnType:
    """The type of a column. Raises ValidationError for none, and for one of a later version."""
    return _needed(COLUMN_TYPES, value, field)


def fill_method(value: int, field: str) -> FillMethod:
    """How nulls are replaced."""
    return _needed(FILL_METHODS, value, field)


def scale_method(value: int, field: str) -> ScaleMethod:
    """How values are scaled."""
    return _needed(SCALE_METHODS, value, field)


def aggregation(value: int, field: str) -> Aggregation:
    """How values of an interval become one; unspecified means the mean."""
    return _needed(AGGREGATIONS, value, field) if value else Aggregation.MEAN


def split_method(value: int, field: str) -> SplitMethod | None:
    """How rows are divided; unspecified leaves it to the columns."""
    return _needed(SPLIT_METHODS, value, field) if value else None


def _needed(known: dict[Any, E], value: int, field: str) -> E:
    if value not in known:
        raise ValidationError(f"{field}: {value} is none of {', '.join(known.values())}", field=field)
    return known[value]
