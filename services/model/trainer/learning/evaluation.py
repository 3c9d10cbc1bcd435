"""Measures a network on a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from services.model.trainer.data.windows import Windows
from services.model.trainer.learning.criterion import Criterion
from services.model.trainer.learning.precision import computing
from services.model.trainer.learning.tally import Tally


def outputs(
    network: nn.Module, windows: Windows, batch: int, precision: str, *, first: int = 0, ranks: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Output and truth of each batch of every `ranks`-th window from `first` on, without gradients."""
    device = windows.starts.device
    numbers = torch.arange(first, len(windows), ranks, device=device)
    network.eval()
    with torch.no_grad():
        for some in numbers.split(batch):
            inputs, truth = windows.batch(some)
            with computing(precision, device):
                output = network(inputs)
            yield output.float(), truth


def measure(
    network: nn.Module,
    windows: Windows,
    criterion: Criterion,
    tally: Tally,
    *,
    batch: int,
    precision: str,
    moved: Callable[[], None],
    first: int = 0,
    ranks: int = 1,
) -> Tally:
    """Fills `tally`; says `moved` after each batch."""
    for output, truth in outputs(network, windows, batch, precision, first=first, ranks=ranks):
        tally.add(output, truth, criterion(output, truth))
        moved()
    return tally
