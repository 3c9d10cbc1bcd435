"""Long short-term memory, then a linear layer on the last state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from services.model.domain.training.architecture import Lstm
from services.model.networks.dropout import Dropout
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
        self.dropout = Dropout(lstm.dropout)
        self._both = lstm.bidirectional
        self._layers = lstm.layers

    def forward(self, x: Tensor) -> Tensor:
        """The last state of the last layer, of both directions where there are two, through the head."""
        if self.training and x.is_cpu and self.body.dropout:
            state = self._layer_by_layer(x)
        else:
            _, (state, _) = self.body(x)
        last = torch.cat([state[-2], state[-1]], dim=1) if self._both else state[-1]
        output: Tensor = self.head(last)
        return output

    def _layer_by_layer(self, x: Tensor) -> Tensor:
        """As the body computes it, with a faster dropout between its layers: [directions, batch, hidden]."""
        directions = 1 + self._both
        weights: list[Any] = self.body._flat_weights
        each = len(weights) // self._layers
        start = x.new_zeros(directions, len(x), self.body.hidden_size)
        state = start
        for layer in range(self._layers):
            own = weights[layer * each : (layer + 1) * each]
            x, state, _ = torch.lstm(
                self.dropout(x) if layer else x, (start, start), own, True, 1, 0.0, True, self._both, True
            )
        return state
