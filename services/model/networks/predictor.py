"""A trained network as others use it: windows in, values, probabilities or scores out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.model.domain.training.objective import ObjectiveKind


class Predictor(nn.Module):
    """[batch, window, features] -> [batch, ...], all float32.

    Regression: [batch, targets]. Forecasting: [batch, horizon, targets]. Classification: probabilities
    [batch, classes]. Anomaly: scores [batch, 1]; above 1 is rarer than 1 % in training.
    """

    def __init__(self, network: nn.Module, kind: ObjectiveKind, loss: str, *, horizon: int, targets: int) -> None:
        super().__init__()
        self.network = network
        self._kind = kind
        self._loss = loss
        self._horizon = horizon
        self._targets = targets
        self.register_buffer("scale", torch.ones(()))
        self.scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if self._kind is ObjectiveKind.ANOMALY:
            return self.errors(x).unsqueeze(1) / self.scale
        output: Tensor = self.network(x)
        if self._kind is ObjectiveKind.CLASSIFICATION:
            return functional.softmax(output, dim=1)
        if self._kind is ObjectiveKind.FORECASTING:
            return output.reshape(-1, self._horizon, self._targets)
        return output

    def errors(self, x: Tensor) -> Tensor:
        """Anomaly: [batch], how far the last row is from what those before it foretell."""
        return elementwise(self._loss, self.network(x[:, :-1]), x[:, -1]).mean(dim=1)


def elementwise(loss: str, output: Tensor, truth: Tensor) -> Tensor:
    """The error of each value by "mse", "mae" or "huber"."""
    match loss:
        case "mae":
            return (output - truth).abs()
        case "huber":
            return functional.huber_loss(output, truth, reduction="none")
        case _:
            return (output - truth).square()
