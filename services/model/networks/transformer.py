"""Transformer encoder of our own: as nn.TransformerEncoder computes it, with the fastest kernels of each device."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.model.domain.training.architecture import Transformer
from services.model.networks.dropout import Dropout
from services.model.networks.shape import Shape

SHORT = 256
"""Rows of a window up to which CPUs compute all weights of attention at once."""


class TransformerNetwork(nn.Module):
    """[batch, window, features] -> [batch, outputs]: positions, post-norm blocks, the mean over time, a head."""

    def __init__(self, shape: Transformer, fit: Shape) -> None:
        super().__init__()
        self.entry = nn.Linear(fit.features, shape.hidden)
        self.register_buffer("positions", sinusoids(fit.window, shape.hidden), persistent=False)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.head = nn.Linear(shape.hidden, fit.outputs)
        self.positions: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.entry(x) + self.positions
        for block in self.blocks:
            x = block(x)
        output: Tensor = self.head(x.mean(dim=1))
        return output


class Block(nn.Module):
    """Attention and an inner layer, each with dropout, a residual and a norm after it."""

    def __init__(self, shape: Transformer) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.norm_attention = nn.LayerNorm(shape.hidden)
        self.inner = nn.Linear(shape.hidden, shape.feed_forward)
        self.outer = nn.Linear(shape.feed_forward, shape.hidden)
        self.norm_inner = nn.LayerNorm(shape.hidden)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, window, hidden] -> the same shape."""
        x = self.norm_attention(x + self.dropout(self.attention(x)))
        inner = self.dropout(functional.relu(self.inner(x)))
        normed: Tensor = self.norm_inner(x + self.dropout(self.outer(inner)))
        return normed


class Attention(nn.Module):
    """Self-attention over the whole window."""

    def __init__(self, shape: Transformer) -> None:
        super().__init__()
        self.projection = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.out = nn.Linear(shape.hidden, shape.hidden)
        self._heads = shape.heads
        self._dropout = Dropout(shape.attention_dropout)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, window, hidden] -> the same shape."""
        batch, window, hidden = x.shape
        mixed = self.projection(x).view(batch, window, 3, self._heads, hidden // self._heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        seen = self._attend(query, key, value)
        output: Tensor = self.out(seen.transpose(1, 2).reshape(batch, window, hidden))
        return output

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.is_cpu and torch.is_autocast_enabled("cpu"):
            return self._attend_bf16(query, key, value)
        dropout = self._dropout.share if self.training else 0.0
        return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)

    def _attend_bf16(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """On CPUs the fused kernel is slow in bf16: worth it in fp32 where the table of weights grows too large."""
        if query.shape[2] > SHORT and not self._dropout.share:
            with torch.autocast("cpu", enabled=False):
                return functional.scaled_dot_product_attention(query.float(), key.float(), value.float())
        weights = torch.softmax(query * query.shape[3] ** -0.5 @ key.transpose(2, 3), dim=3, dtype=torch.bfloat16)
        return self._dropout(weights) @ value


def sinusoids(window: int, width: int) -> Tensor:
    """[window, width]: sines in even columns, cosines in odd ones."""
    moments = torch.arange(window, dtype=torch.float32).unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))
    table = torch.zeros(window, width)
    table[:, 0::2] = torch.sin(moments * rates)
    table[:, 1::2] = torch.cos(moments * rates)[:, : width // 2]
    return table
