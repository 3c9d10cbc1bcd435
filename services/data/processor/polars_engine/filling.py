"""Nulls and NaN: how they are seen, and filled from the rows beside them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from services.data.domain.pipeline.columns import FLOATS, INTEGERS, ColumnType
from services.data.domain.pipeline.steps import FillMethod
from services.data.processor.ingest.rows import DTYPES

_NEIGHBOURS: dict[FillMethod, Callable[[pl.Expr], pl.Expr]] = {
    FillMethod.FORWARD: lambda values: values.forward_fill(),
    FillMethod.BACKWARD: lambda values: values.backward_fill(),
    FillMethod.LINEAR: lambda values: values.interpolate(),
}


def without_nan(name: str, kind: ColumnType) -> pl.Expr:
    """The column, with null for NaN."""
    return pl.col(name).fill_nan(None) if kind in FLOATS else pl.col(name)


def from_neighbours(name: str, kind: ColumnType, method: FillMethod, series: str) -> pl.Expr:
    """The column filled inside each series (all rows are one where `series` is empty); rows must be ordered."""
    made = _NEIGHBOURS[method](without_nan(name, kind))
    if series:
        made = made.over(series)
    if method is FillMethod.LINEAR:
        made = (made.round() if kind in INTEGERS else made).cast(DTYPES[kind])
    return made
