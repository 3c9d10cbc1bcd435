"""Mean, spread and bounds of a column's training part, the same on every engine.

Sums of floating-point numbers depend on their order. Rounding to a ten-billionth of the spread makes equal what engines
add up in different orders, so that they scale by the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

DIGITS = 10
CHUNK = 65_536
"""Values that are worked on at a time, so that they stay in the cache."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Of some rows: how many values, their mean, the sum of squares around it, least and greatest."""

    count: int
    mean: float
    squares: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Of all rows; `std` is that of the population. Without values everything is 0."""

    count: int = 0
    mean: float = 0.0
    std: float = 0.0
    least: float = 0.0
    greatest: float = 0.0


def moments(values: pl.Series) -> Moments:
    """Of a column of numbers, in 64 bits; nulls and NaN are left out."""
    if values.null_count():
        values = values.drop_nulls()
    array: npt.NDArray[Any] = values.to_numpy()
    if values.dtype.is_float() and bool(np.isnan(array).any()):
        array = array[~np.isnan(array)]
    return moments_of(array)


def moments_of(array: npt.NDArray[Any]) -> Moments:
    """The same of values that are all there."""
    if not len(array):
        return Moments(0, 0.0, 0.0, math.inf, -math.inf)
    with np.errstate(all="ignore"):  # infinite values make infinite sums
        mean = float(array.mean(dtype=np.float64))
        squares = 0.0
        for start in range(0, len(array), CHUNK):
            apart = array[start : start + CHUNK].astype(np.float64)
            apart -= mean
            apart *= apart
            squares += float(apart.sum())
    return Moments(len(array), mean, squares, float(array.min()), float(array.max()))


def merged(blocks: Iterable[Moments]) -> Summary:
    """The summary of blocks of rows, as Chan, Golub and LeVeque add them."""
    count, mean, squares = 0, 0.0, 0.0
    least, greatest = math.inf, -math.inf
    for block in blocks:
        if not block.count:
            continue
        total = count + block.count
        apart = block.mean - mean
        mean += apart * block.count / total
        squares += block.squares + apart * apart * count * block.count / total
        count = total
        least, greatest = min(least, block.least), max(greatest, block.greatest)
    if not count:
        return Summary()
    std = math.sqrt(squares / count)
    least, greatest = least + 0.0, greatest + 0.0  # one zero: which of the two is less, nobody says
    if least == greatest:  # what is left are errors of rounding
        return Summary(count, least, 0.0, least, greatest)
    return Summary(count, _rounded(mean, std), _rounded(std, std), least, greatest)


def _rounded(value: float, spread: float) -> float:
    if not spread or not math.isfinite(value) or not math.isfinite(spread):
        return value
    return round(value, DIGITS - math.floor(math.log10(spread)))
