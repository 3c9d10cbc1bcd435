"""What a model learns, and how its error is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from automesh.core.errors import ValidationError
from services.model.domain import bounds

BALANCED = "balanced"
"""The only key of `class_weights` that weighs classes by inverse frequency."""
REGRESSION_LOSSES = frozenset({"mse", "mae", "huber"})
CROSS_ENTROPY = "cross_entropy"


class ObjectiveKind(StrEnum):
    """What a model learns from a window."""

    REGRESSION = "regression"  # the targets at its last row
    FORECASTING = "forecasting"  # the targets in the rows after it
    CLASSIFICATION = "classification"  # the class at its last row
    ANOMALY = "anomaly"  # its last row from those before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Kind, loss (empty becomes "mse" or "cross_entropy") and class weights."""

    kind: ObjectiveKind = ObjectiveKind.REGRESSION
    loss: str = ""
    class_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        classes = self.kind is ObjectiveKind.CLASSIFICATION
        object.__setattr__(self, "loss", self.loss or (CROSS_ENTROPY if classes else "mse"))
        known = {CROSS_ENTROPY} if classes else REGRESSION_LOSSES
        if self.loss not in known:
            raise ValidationError(
                f"spec.objective.loss is {self.loss[:60]!r}; {self.kind.value} knows {', '.join(sorted(known))}",
                field="spec.objective.loss",
            )
        self._check_weights(classes)

    @property
    def balanced(self) -> bool:
        """Whether classes are weighed by inverse frequency."""
        return set(self.class_weights) == {BALANCED}

    def _check_weights(self, classes: bool) -> None:
        path = "spec.objective.class_weights"
        if self.class_weights and not classes:
            raise ValidationError(f"{path} are for classification only, not for {self.kind.value}", field=path)
        bounds.names(self.class_weights, 10_000, field=path)
        if BALANCED in self.class_weights and not self.balanced:
            raise ValidationError(f"{path}: 'balanced' stands alone, without weights of classes", field=path)
        for name, weight in self.class_weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValidationError(f"{path}: the weight of {name[:60]!r} is {weight}, not 0 or more", field=path)
