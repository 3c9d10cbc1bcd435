"""Curves in a terminal: two by four dots of braille a character, the axes beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rich.text import Text

MAX_POINTS = 4096
"""A curve keeps so many; a longer one keeps every second, fourth, ... of its older points."""
LOG_RATIO = 50.0
"""From this ratio of the greatest to the least value the axis is logarithmic."""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
_LABEL = 9


@dataclass(slots=True)
class Curve:
    """A named series of points; those that are no numbers are left out."""

    name: str
    style: str
    points: list[tuple[float, float]] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """One more point."""
        if math.isfinite(x) and math.isfinite(y):
            self.points.append((x, y))
        if len(self.points) > MAX_POINTS:
            self.points = [*self.points[: MAX_POINTS // 2 : 2], *self.points[MAX_POINTS // 2 :]]


def plot(curves: Sequence[Curve], *, width: int, height: int) -> Text:
    """All curves in one frame of `width` by `height` characters, labels included; lines end in newlines."""
    shown = [each for each in curves if each.points]
    columns, rows = max(8, width - _LABEL - 1), max(2, height - 1)
    if not shown:
        return Text("\n" * rows)
    scale = _Scale.of(shown)
    canvas = _Canvas(columns, rows)
    for curve in shown:
        spots = [scale.spot(x, y, columns * 2 - 1, rows * 4 - 1) for x, y in curve.points]
        canvas.dot(*spots[0], curve.style)
        for (x0, y0), (x1, y1) in pairwise(spots):
            canvas.line(x0, y0, x1, y1, curve.style)
    return _framed(canvas, scale, columns, rows)


def _framed(canvas: _Canvas, scale: _Scale, columns: int, rows: int) -> Text:
    text = Text()
    for row in range(rows):
        label = {0: scale.high, rows - 1: scale.low}.get(row)
        text.append((f"{label:.4g}" if label is not None else "").rjust(_LABEL - 1) + "\u2502", "dim")
        text.append_text(canvas.row(row))
        text.append("\n")
    left, right = f"{scale.left:g}", f"{scale.right:g}"
    kind = " log" if scale.log else ""
    text.append(kind.rjust(_LABEL - 1) + " " + left + right.rjust(max(1, columns - len(left))), "dim")
    return text


@dataclass(frozen=True, slots=True)
class _Scale:
    """What the frame spans."""

    left: float
    right: float
    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> _Scale:
        xs = [x for each in curves for x, _ in each.points]
        ys = [y for each in curves for _, y in each.points]
        low, high = min(ys), max(ys)
        return cls(min(xs), max(xs), low, high, log=low > 0 and high / low >= LOG_RATIO)

    def spot(self, x: float, y: float, columns: int, rows: int) -> tuple[int, int]:
        """The dot of a point; dots count from the upper left."""
        low, high, value = self.low, self.high, y
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(y)
        across = (x - self.left) / (self.right - self.left) if self.right > self.left else 0.0
        up = (value - low) / (high - low) if high > low else 0.5
        return round(across * columns), round((1 - up) * rows)


class _Canvas:
    """Dots with styles; a character has the style of the last dot in it."""

    def __init__(self, columns: int, rows: int) -> None:
        self._cells = [[0] * columns for _ in range(rows)]
        self._styles = [[""] * columns for _ in range(rows)]

    def dot(self, x: int, y: int, style: str) -> None:
        row, column = y // 4, x // 2
        self._cells[row][column] |= _DOTS[y % 4][x % 2]
        self._styles[row][column] = style

    def line(self, x0: int, y0: int, x1: int, y1: int, style: str) -> None:
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(1, steps + 1):
            self.dot(x0 + round((x1 - x0) * step / steps), y0 + round((y1 - y0) * step / steps), style)

    def row(self, row: int) -> Text:
        text = Text()
        for cell, style in zip(self._cells[row], self._styles[row], strict=True):
            text.append(chr(_BLANK + cell), style)
        return text
