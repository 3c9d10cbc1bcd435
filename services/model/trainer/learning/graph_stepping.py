"""One optimizer step as one CUDA graph: gather, forward, backward, clip, Adam, sum of losses in a single launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from services.model.trainer.data.windows import Windows
from services.model.trainer.learning.criterion import Criterion

WARM_UPS = 3


class GraphStepping:
    """Replays a recorded step. A short last batch is filled up with windows that weigh nothing.

    Needs an optimizer made with `capturable=True` and a learning rate that is a tensor on the device, a network without
    layers that mix windows (batch norm), and one process.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        criterion: Criterion,
        windows: Windows,
        *,
        batch: int,
        precision: str,
        clip_norm: float,
    ) -> None:
        """Records. Weights, optimizer state and generators are afterwards as they were before."""
        self._network, self._optimizer = network, optimizer
        self._criterion, self._windows = criterion, windows
        self._precision, self._clip_norm = precision, clip_norm
        self._parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
        device = windows.starts.device
        self._numbers = torch.zeros(batch, dtype=torch.int64, device=device)
        self._shares = torch.full((batch,), 1.0 / batch, device=device)
        self._counted = torch.ones(batch, device=device)
        self.losses = torch.zeros((), dtype=torch.float64, device=device)
        self._filled = batch
        self._graph = self._record(device)

    def step(self, batches: Sequence[Tensor], rate: float) -> None:
        """See Stepping; one batch only."""
        (numbers,) = batches
        count = len(numbers)
        self._numbers[:count].copy_(numbers, non_blocking=True)
        if count != self._filled:
            self._weigh(count)
        for group in self._optimizer.param_groups:
            group["lr"].fill_(rate)
        self._graph.replay()

    def _weigh(self, count: int) -> None:
        self._counted.zero_()[:count] = 1.0
        self._shares.copy_(self._counted / count)
        self._filled = count

    def _learn(self) -> None:
        inputs, truth = self._windows.batch(self._numbers)
        with torch.autocast("cuda", torch.bfloat16, enabled=self._precision == "bf16", cache_enabled=False):
            output = self._network(inputs)
        losses = self._criterion(output, truth)
        (losses * self._shares).sum().backward()
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm, foreach=True)
        self._optimizer.step()
        self.losses += (losses.detach() * self._counted).sum()

    def _record(self, device: torch.device) -> torch.cuda.CUDAGraph:
        """The optimizer makes its state, and libraries their plans, before the recording; then all is put back."""
        generator = torch.cuda.get_rng_state(device)
        weights = [weight.detach().clone() for weight in self._parameters]
        known = {
            (weight, key): value.clone()
            for weight, state in self._optimizer.state.items()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._optimizer.zero_grad(set_to_none=True)
                self._learn()
        torch.cuda.current_stream(device).wait_stream(stream)
        self._optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._learn()
        self._put_back(weights, known)
        torch.cuda.set_rng_state(generator, device)
        return graph

    @torch.no_grad()
    def _put_back(self, weights: list[Tensor], known: dict[tuple[Tensor, str], Tensor]) -> None:
        """In place: the graph knows these tensors by their addresses."""
        for weight, old in zip(self._parameters, weights, strict=True):
            weight.copy_(old)
        for weight, state in self._optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    old_value = known.get((weight, key))
                    value.zero_() if old_value is None else value.copy_(old_value)
        self.losses.zero_()
