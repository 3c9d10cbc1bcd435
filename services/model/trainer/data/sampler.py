"""The order of windows: a permutation of its own for each epoch, the same for a seed wherever it is asked for."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


class Sampler:
    """Which windows a rank sees, in which order."""

    def __init__(self, windows: int, seed: int, *, rank: int, ranks: int) -> None:
        self._windows, self._seed, self._rank, self._ranks = windows, seed, rank, ranks

    @property
    def share(self) -> int:
        """Windows of one rank in an epoch: all have as many, so a few windows may come twice."""
        return -(-self._windows // self._ranks)

    def order(self, epoch: int) -> Tensor:
        """[share], numbers of windows."""
        generator = torch.Generator().manual_seed(_mixed(self._seed, epoch))
        order = torch.randperm(self._windows, generator=generator)
        if self._ranks == 1:
            return order
        whole = self.share * self._ranks
        return order.repeat(-(-whole // self._windows))[:whole][self._rank :: self._ranks].contiguous()


def _mixed(seed: int, epoch: int) -> int:
    """Neighbouring seeds and epochs must not give related orders."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "little") >> 1
