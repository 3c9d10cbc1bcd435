"""Metrics of a part, summed up batch by batch and over processes."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from services.model.domain.training.objective import ObjectiveKind

MAX_CONFUSION = 1000
"""Classes up to which each pair is counted: the table grows with the square."""
HIGHER_IS_BETTER = frozenset({"accuracy", "f1", "r2"})


def higher_is_better(metric: str) -> bool:
    """Whether more of "val/accuracy" and the like is better."""
    return metric.rpartition("/")[2] in HIGHER_IS_BETTER


def metric_names(kind: ObjectiveKind) -> tuple[str, ...]:
    """What is measured of a part."""
    return ("loss", "accuracy", "f1") if kind is ObjectiveKind.CLASSIFICATION else ("loss", "mae", "rmse", "r2")


class Tally(Protocol):
    """Sums in one float64 vector, so that processes can add theirs up."""

    sums: Tensor

    def add(self, output: Tensor, truth: Tensor, losses: Tensor) -> None:
        """One batch."""

    def metrics(self) -> dict[str, float]:
        """By name; "loss" always."""


def tally_for(kind: ObjectiveKind, outputs: int, device: torch.device) -> Tally:
    """An empty one."""
    if kind is ObjectiveKind.CLASSIFICATION:
        return ClassTally(outputs, device)
    return ValueTally(device)


class ValueTally:
    """Loss, mean absolute error, root of the mean square, share of the variance that is explained."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(7, dtype=torch.float64, device=device)

    def add(self, output: Tensor, truth: Tensor, losses: Tensor) -> None:
        """See Tally."""
        values = truth.flatten(1).double()
        wrong = output.double() - values
        self.sums += torch.stack(
            [
                losses.double().sum(),
                values.new_tensor(len(losses)),
                wrong.abs().sum(),
                wrong.square().sum(),
                values.sum(),
                values.square().sum(),
                values.new_tensor(values.numel()),
            ]
        )

    def metrics(self) -> dict[str, float]:
        """See Tally. r2 is NaN where all truths are equal."""
        loss, windows, absolute, square, total, total_square, count = self.sums.tolist()
        windows, count = max(windows, 1.0), max(count, 1.0)
        spread = total_square - total * total / count
        return {
            "loss": loss / windows,
            "mae": absolute / count,
            "rmse": math.sqrt(square / count),
            "r2": 1 - square / spread if spread > 1e-12 * max(total_square, 1.0) else math.nan,
        }


class ClassTally:
    """Loss, accuracy, and F1 as the mean over classes; the confusion matrix where it is small enough."""

    def __init__(self, classes: int, device: torch.device) -> None:
        self._classes = classes
        cells = classes * classes if classes <= MAX_CONFUSION else 0
        self.sums = torch.zeros(3 + cells, dtype=torch.float64, device=device)

    def add(self, output: Tensor, truth: Tensor, losses: Tensor) -> None:
        """See Tally."""
        chosen = output.argmax(dim=1)
        self.sums[:3] += torch.stack(
            [losses.double().sum(), self.sums.new_tensor(len(losses)), (chosen == truth).double().sum()]
        )
        if len(self.sums) > 3:  # noqa: PLR2004 - behind loss, count and hits
            pairs = truth * self._classes + chosen
            self.sums[3:] += torch.bincount(pairs, minlength=self._classes * self._classes)

    def metrics(self) -> dict[str, float]:
        """See Tally."""
        loss, windows, hits = self.sums[:3].tolist()
        windows = max(windows, 1.0)
        found = {"loss": loss / windows, "accuracy": hits / windows}
        if (table := self.confusion()) is not None:
            right = table.diagonal()
            weight = (table.sum(0) + table.sum(1)).clamp(min=1)
            there = table.sum(1) > 0
            found["f1"] = float((2 * right / weight)[there].mean()) if bool(there.any()) else math.nan
        return found

    def confusion(self) -> Tensor | None:
        """[truth, chosen], counts; None with too many classes."""
        if self._classes > MAX_CONFUSION:
            return None
        return self.sums[3:].reshape(self._classes, self._classes)
