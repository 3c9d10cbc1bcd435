"""A network of one's own: gated recurrent units, offered to automesh as `gru`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class Gru(nn.Module):
    """[batch, window, features] -> [batch, outputs]."""

    def __init__(self, features: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.GRU(features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Reads the window, answers from its last row."""
        states, _ = self.body(rows)
        answer: Tensor = self.head(states[:, -1])
        return answer


def gru(*, features: int, window: int, outputs: int, config: Mapping[str, Any]) -> nn.Module:
    """What the entry point names. `config` is what the training says under `architecture.plugin.config`."""
    return Gru(features, outputs, hidden=int(config.get("hidden", 32)))
