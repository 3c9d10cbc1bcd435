"""The learning rate of each step, as a pure function of its number and of what the plateau has seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.model.domain.training.optimization import Optimization

PLATEAU_PATIENCE = 3
PLATEAU_FACTOR = 0.5
_RISE = 0.3  # share of the steps in which one_cycle rises
_FIRST, _LAST = 25.0, 25.0 * 1e4  # one_cycle begins and ends at the rate divided by these


@dataclass(slots=True)
class Plateau:
    """Halves the rate after PLATEAU_PATIENCE epochs in which the watched loss did not fall."""

    scale: float = 1.0
    lowest: float = math.inf
    epochs: int = 0

    def see(self, loss: float) -> None:
        """At the end of an epoch."""
        if loss < self.lowest * (1 - 1e-4):
            self.lowest, self.epochs = loss, 0
            return
        self.epochs += 1
        if self.epochs > PLATEAU_PATIENCE:
            self.scale, self.epochs = self.scale * PLATEAU_FACTOR, 0


def rate(optimization: Optimization, step: int, steps: int, plateau: Plateau) -> float:
    """The rate of step number `step` (from 0) of `steps`."""
    top, warmup = optimization.learning_rate, optimization.warmup_steps
    if step < warmup:
        return top * (step + 1) / warmup
    match optimization.schedule:
        case "cosine":
            return top * _bend(1.0, 0.0, (step - warmup) / max(steps - warmup, 1))
        case "one_cycle":
            return top * _one_cycle(step, steps)
        case "plateau":
            return top * plateau.scale
        case _:
            return top


def _one_cycle(step: int, steps: int) -> float:
    peak = max(_RISE * steps - 1, 0.0)
    if step <= peak and peak > 0:
        return _bend(1 / _FIRST, 1.0, step / peak)
    return _bend(1.0, 1 / _LAST, (step - peak) / max(steps - 1 - peak, 1e-9))


def _bend(start: float, end: float, share: float) -> float:
    """Half a cosine wave from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
