"""Expressions of derive and drop steps as expressions of Polars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

import numpy as np
import polars as pl

from services.data.domain.pipeline.columns import FLOATS, INTEGERS, Schema
from services.data.domain.pipeline.expression import Binary, Call, Constant, Expression, Name, Unary, looks_back
from services.data.domain.pipeline.types import Typed
from services.data.processor.ingest.rows import DTYPES


def quotient(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """The one next to the true one, as IEEE 754 has it, of 64-bit numbers.

    Polars multiplies by 1 / right where that is a constant or a batch has one row: another last digit for 24.5 / 24.5,
    and another digest of the same rows when they come in other batches.
    """
    sides = [left.cast(pl.Float64), right.cast(pl.Float64)]
    return pl.map_batches(sides, _divided, return_dtype=pl.Float64, is_elementwise=True)


def _divided(sides: Sequence[pl.Series]) -> pl.Series:
    left, right = sides
    with np.errstate(all="ignore"):  # x / 0 is infinite, 0 / 0 is NaN: that is what is wanted
        made = pl.Series(left.to_numpy() / right.to_numpy())
    if left.null_count() or right.null_count():
        made = made.zip_with(left.is_not_null() & right.is_not_null(), pl.Series([None], dtype=pl.Float64))
    return made


_BINARY: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": quotient,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a.cast(pl.Float64).pow(b.cast(pl.Float64)),
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
}
_ONE: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "abs": lambda x: x.abs(),
    "sqrt": lambda x: x.cast(pl.Float64).sqrt(),
    "log": lambda x: x.cast(pl.Float64).log(),
    "exp": lambda x: x.cast(pl.Float64).exp(),
    "sin": lambda x: x.cast(pl.Float64).sin(),
    "cos": lambda x: x.cast(pl.Float64).cos(),
    "floor": lambda x: x.floor(),
    "ceil": lambda x: x.ceil(),
    "is_null": lambda x: x.is_null(),
    "lower": lambda x: x.str.to_lowercase(),
    "upper": lambda x: x.str.to_uppercase(),
    "length": lambda x: x.str.len_chars().cast(pl.Int64),
    "year": lambda x: x.dt.year().cast(pl.Int64),
    "month": lambda x: x.dt.month().cast(pl.Int64),
    "day": lambda x: x.dt.day().cast(pl.Int64),
    "weekday": lambda x: x.dt.weekday().cast(pl.Int64),
    "hour": lambda x: x.dt.hour().cast(pl.Int64),
}
_SEVERAL: dict[str, Callable[[list[pl.Expr]], pl.Expr]] = {
    "if": lambda given: pl.when(given[0]).then(given[1]).otherwise(given[2]),
    "min": pl.min_horizontal,
    "max": pl.max_horizontal,
    "coalesce": pl.coalesce,
}
_COUNTED: dict[str, Callable[[pl.Expr, int], pl.Expr]] = {
    "round": lambda x, n: x.round(n, mode="half_away_from_zero"),
    "lag": lambda x, n: x.shift(n),
    "diff": lambda x, n: x - x.shift(n),
    "rolling_mean": lambda x, n: x.cast(pl.Float64).rolling_mean(window_size=n, min_samples=n),
}


def compiled(value: Typed, schema: Schema, series: str) -> pl.Expr:
    """The expression, of the type that was worked out. NaN counts as null. Rows must be ordered where it looks back."""
    made = _compile(value.expression, schema)
    if looks_back(value.expression) and series:
        made = made.over(series)  # once, around all: Polars allows no nesting
    made = made.cast(DTYPES[value.type])
    return made.fill_nan(None) if value.type in FLOATS else made


def _compile(node: Expression, schema: Schema) -> pl.Expr:
    if isinstance(node, Name):
        return _column(node.name, schema)
    if isinstance(node, Constant):
        return _constant(node.value)
    if isinstance(node, Unary):
        operand = _compile(node.operand, schema)
        return -operand if node.sign == "-" else ~operand
    if isinstance(node, Binary):
        return _BINARY[node.sign](_compile(node.left, schema), _compile(node.right, schema))
    return _call(node, [_compile(argument, schema) for argument in node.arguments])


def _column(name: str, schema: Schema) -> pl.Expr:
    column = pl.col(name)
    if schema[name] in INTEGERS:
        return column.cast(pl.Int64)
    return column.cast(pl.Float64).fill_nan(None) if schema[name] in FLOATS else column


def _constant(value: float | str | bool | datetime | date | None) -> pl.Expr:
    if value is None or isinstance(value, (bool, str)):
        return pl.lit(value)
    if isinstance(value, int):
        return pl.lit(value, pl.Int64)
    if isinstance(value, float):
        return pl.lit(value, pl.Float64)
    return pl.lit(value, pl.Datetime("us") if isinstance(value, datetime) else pl.Date)


def _call(node: Call, arguments: list[pl.Expr]) -> pl.Expr:
    if (one := _ONE.get(node.function)) is not None:
        return one(arguments[0])
    if (several := _SEVERAL.get(node.function)) is not None:
        return several(arguments)
    return _COUNTED[node.function](arguments[0], _whole(node))


def _whole(node: Call) -> int:
    """The plain number that the last argument is; where it is left out, 1, or 0 decimals."""
    last = node.arguments[-1]
    if len(node.arguments) > 1 and isinstance(last, Constant) and isinstance(last.value, int):
        return last.value
    return 0 if node.function == "round" else 1
