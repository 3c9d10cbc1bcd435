"""Long short-term memory, then a linear layer on the last state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from services.model.domain.architecture import Lstm
from services.model.networks.shape import Shape


class LstmNetwork(nn.Module):
    """[batch, window, features] -> [batch, outputs]."""

    def __init__(self, lstm: Lstm, shape: Shape) -> None:
        super().__init__()
        self.body = nn.LSTM(
            shape.features,
            lstm.hidden,
            lstm.layers,
            batch_first=True,
            dropout=lstm.dropout if lstm.layers > 1 else 0.0,  # torch warns of a dropout that has no place
            bidirectional=lstm.bidirectional,
        )
        self.head = nn.Linear(lstm.hidden * (1 + lstm.bidirectional), shape.outputs)
        self._both = lstm.bidirectional

    def forward(self, x: Tensor) -> Tensor:
        """The last state of the last layer, of both directions where there are two, through the head."""
        _, (state, _) = self.body(x)
        last = torch.cat([state[-2], state[-1]], dim=1) if self._both else state[-1]
        output: Tensor = self.head(last)
        return output
