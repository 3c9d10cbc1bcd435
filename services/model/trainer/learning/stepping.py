"""One optimizer step: eager, on any device and over any number of processes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from services.model.trainer.data.windows import Windows
from services.model.trainer.learning.criterion import Criterion
from services.model.trainer.learning.precision import computing


class Stepping(Protocol):
    """Changes the weights once, by the windows of some batches."""

    losses: Tensor
    """float64, on the device: the sum of the losses of all windows so far. Reading it waits for the device."""

    def step(self, batches: Sequence[Tensor], rate: float) -> None:
        """Learns from these windows (numbers by batch) as if they were one batch."""


class EagerStepping:
    """Operation by operation."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        criterion: Criterion,
        windows: Windows,
        *,
        precision: str,
        clip_norm: float,
    ) -> None:
        """`network` is what is called: wrapped, where several processes share the work."""
        self._network, self._optimizer = network, optimizer
        self._criterion, self._windows = criterion, windows
        self._clip_norm = clip_norm
        device = windows.starts.device
        self._computing = computing(precision, device)
        self._weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        self.losses = torch.zeros((), dtype=torch.float64, device=device)

    def step(self, batches: Sequence[Tensor], rate: float) -> None:
        """See Stepping."""
        count = sum(len(numbers) for numbers in batches)
        for numbers in batches[:-1]:
            with self._silent():
                self._learn(numbers, count)
        self._learn(batches[-1], count)
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self._weights, self._clip_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _learn(self, numbers: Tensor, count: int) -> None:
        inputs, truth = self._windows.batch(numbers)
        with self._computing:
            output = self._network(inputs)
        total = self._criterion(output, truth).sum()
        (total / count).backward()
        self.losses += total.detach()

    def _silent(self) -> AbstractContextManager[Any]:
        """Gradients of all but the last batch need not travel."""
        network = self._network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()
