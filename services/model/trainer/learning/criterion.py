"""How wrong a network is, window by window."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from services.model.domain.training.objective import Objective, ObjectiveKind
from services.model.networks.predictor import elementwise


class Criterion:
    """(output [b, outputs], truth [b, ...]) -> losses [b]; their mean is what training lowers."""

    def __init__(self, objective: Objective, weights: Tensor | None) -> None:
        """`weights` [classes] have a mean of 1 over the training windows."""
        self._classes = objective.kind is ObjectiveKind.CLASSIFICATION
        self._loss = objective.loss
        self._weights = weights

    def __call__(self, output: Tensor, truth: Tensor) -> Tensor:
        """See the class. Computes in float32 whatever comes."""
        output = output.float()
        if not self._classes:
            return elementwise(self._loss, output, truth.flatten(1)).mean(dim=1)
        losses = functional.cross_entropy(output, truth, reduction="none")
        return losses if self._weights is None else losses * self._weights[truth]
