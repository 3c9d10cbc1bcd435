"""The sizes that a network must fit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows of a window, values of a row, values that come out."""

    window: int
    features: int
    outputs: int
