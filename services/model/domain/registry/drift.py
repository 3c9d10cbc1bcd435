"""How far the data of one version is from that of another: the population stability index (PSI). Pure.

PSI = sum over intervals of (p - q) * ln(p / q), with p the share of the new data and q that of the old. By custom below
0.1 is stable, from 0.2 on is drift. Shares of zero count as FLOOR, so that the sum is finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from services.model.domain.registry.gates import Measured

FLOOR = 1e-4
GROUP_SHARE = 0.1
"""Neighbouring intervals of the old data are put together until they hold this share: fewer values are noise."""


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """The distribution of a column.

    Numeric: `counts[i]` values lie from `edges[i]` up to `edges[i + 1]`. Other: `top` has the most frequent values.
    `rows` is how many rows there are, those without a value (`nulls`) included; 0 where it is not known.
    """

    edges: Sequence[float] = ()
    counts: Sequence[int] = ()
    top: Mapping[str, int] = field(default_factory=dict)
    nulls: int = 0
    rows: int = 0

    @property
    def numeric(self) -> bool:
        """Whether it has a histogram."""
        return bool(self.counts) and len(self.edges) == len(self.counts) + 1

    def below(self, x: float, *, inclusive: bool) -> float:
        """How many values lie below `x`, or at it; within an interval they are taken as evenly spread."""
        return sum(
            count * _part(low, high, x, inclusive=inclusive)
            for low, high, count in zip(self.edges, self.edges[1:], self.counts, strict=False)
        )


def worst_drift(features: Sequence[str], new: Mapping[str, ColumnShape], old: Mapping[str, ColumnShape]) -> Measured:
    """The greatest PSI over `features`, with the feature in the message; NaN and the reason where there is none."""
    found: list[tuple[float, str]] = []
    for feature in features:
        if feature not in new or feature not in old:
            side = "this version" if feature not in new else "the holder"
            return Measured(message=f"the data of {side} has no statistics of {feature!r}")
        value = psi(new[feature], old[feature])
        if math.isnan(value):
            return Measured(message=f"the statistics of {feature!r} are empty, or numeric on one side only")
        found.append((value, feature))
    if not found:
        return Measured(message="the version names no features")
    value, feature = max(found)
    return Measured(value, f"worst feature: {feature}")


def psi(new: ColumnShape, old: ColumnShape) -> float:
    """The index of one column; NaN when the two cannot be compared."""
    if new.numeric != old.numeric:
        return math.nan
    p, q = _numeric(new, old) if old.numeric else _categories(new, old)
    if sum(p) <= 0 or sum(q) <= 0:
        return math.nan
    return sum(_term(mine / sum(p), theirs / sum(q)) for mine, theirs in zip(p, q, strict=True))


def _numeric(new: ColumnShape, old: ColumnShape) -> tuple[list[float], list[float]]:
    cuts = _cuts(old)
    return _masses(new, cuts), _masses(old, cuts)


def _cuts(old: ColumnShape) -> list[float]:
    """Edges of groups that each hold about GROUP_SHARE of the old values; the outer ones are their range."""
    total, held, cuts = sum(old.counts), 0, [old.edges[0]]
    for edge, count in zip(old.edges[1:], old.counts, strict=True):
        held += count
        if held >= GROUP_SHARE * total:
            cuts.append(edge)
            held = 0
    if len(cuts) == 1 or cuts[-1] < old.edges[-1]:
        cuts.append(old.edges[-1])
    return cuts


def _masses(shape: ColumnShape, cuts: Sequence[float]) -> list[float]:
    """Values below the range, in each group, above the range, and missing. The last group has its upper edge."""
    inner = [shape.below(cut, inclusive=False) for cut in cuts[:-1]]
    marks = [0.0, *inner, shape.below(cuts[-1], inclusive=True), float(sum(shape.counts))]
    return [*(high - low for low, high in pairwise(marks)), float(shape.nulls)]


def _part(low: float, high: float, x: float, *, inclusive: bool) -> float:
    if x > high or (inclusive and x == high):
        return 1.0
    if x <= low:
        return 0.0
    return (x - low) / (high - low)


def _categories(new: ColumnShape, old: ColumnShape) -> tuple[list[float], list[float]]:
    names = sorted({*new.top, *old.top})
    return _shares(new, names), _shares(old, names)


def _shares(shape: ColumnShape, names: Iterable[str]) -> list[float]:
    listed = [float(shape.top.get(name, 0)) for name in names]
    others = max(0.0, shape.rows - shape.nulls - sum(listed))
    return [*listed, others, float(shape.nulls)]


def _term(mine: float, theirs: float) -> float:
    mine, theirs = max(mine, FLOOR), max(theirs, FLOOR)
    return (mine - theirs) * math.log(mine / theirs)
