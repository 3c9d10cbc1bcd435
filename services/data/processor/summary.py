"""Mean, spread and bounds of a column's training part, the same on every engine.

Sums of floating-point numbers depend on their order. Rounding to a ten-billionth of the spread makes equal what engines
add up in different orders, so that they scale by the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

DIGITS = 10


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
    if least == greatest:  # what is left are errors of rounding
        return Summary(count, least, 0.0, least, greatest)
    return Summary(count, _rounded(mean, std), _rounded(std, std), least, greatest)


def _rounded(value: float, spread: float) -> float:
    if not spread or not math.isfinite(value) or not math.isfinite(spread):
        return value
    return round(value, DIGITS - math.floor(math.log10(spread)))
