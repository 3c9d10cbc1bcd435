"""The networks that can be asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automesh.core.errors import ValidationError
from services.model.domain import bounds

MAX_WIDTH = 65_536
MAX_LAYERS = 256
_PLUGIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lstm:
    """Long short-term memory, then a linear layer on the last state."""

    hidden: int = 64
    layers: int = 2
    dropout: float = 0.2
    bidirectional: bool = False

    def __post_init__(self) -> None:
        path = "spec.architecture.lstm"
        bounds.within(self.hidden, 1, MAX_WIDTH, field=f"{path}.hidden")
        bounds.within(self.layers, 1, MAX_LAYERS, field=f"{path}.layers")
        bounds.fraction(self.dropout, field=f"{path}.dropout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """Transformer encoder with sinusoidal positions, then a linear layer on the mean over time."""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    feed_forward: int = 0
    """Width of the inner layer; 0 becomes 4 x hidden."""
    dropout: float = 0.1
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        path = "spec.architecture.transformer"
        object.__setattr__(self, "feed_forward", self.feed_forward or 4 * self.hidden)
        bounds.within(self.hidden, 1, MAX_WIDTH, field=f"{path}.hidden")
        bounds.within(self.layers, 1, MAX_LAYERS, field=f"{path}.layers")
        bounds.within(self.heads, 1, MAX_WIDTH, field=f"{path}.heads")
        bounds.within(self.feed_forward, 1, 4 * MAX_WIDTH, field=f"{path}.feed_forward")
        bounds.fraction(self.dropout, field=f"{path}.dropout")
        bounds.fraction(self.attention_dropout, field=f"{path}.attention_dropout")
        if self.hidden % self.heads:
            raise ValidationError(
                f"{path}.hidden is {self.hidden}, which {self.heads} heads do not divide: "
                f"take {self.hidden - self.hidden % self.heads or self.heads} or another number of heads",
                field=f"{path}.hidden",
                hidden=self.hidden,
                heads=self.heads,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A module that an installed package offers through the entry point group `automesh.models`."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _PLUGIN.fullmatch(self.name):
            raise ValidationError(
                f"spec.architecture.plugin.name is {self.name[:60]!r}, not the name of an entry point: "
                "a letter followed by at most 99 letters, digits, '_', '.' or '-'",
                field="spec.architecture.plugin.name",
            )


Architecture = Lstm | Transformer | Plugin
