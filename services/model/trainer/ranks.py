"""The processes of one training: alone, or several that speak through torch.distributed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch import distributed as dist

PATIENCE = timedelta(minutes=10)
"""A process that the others have waited for so long is lost: they end, and all begin again."""
_KEPT: list[nn.Module] = []


@dataclass(frozen=True, slots=True)
class Place:
    """Which process this is: its number in all, its number on this node, how many there are, how often they began."""

    rank: int = 0
    local: int = 0
    world: int = 1
    restarts: int = 0
    run: str = ""
    nodes: int = 1
    met: bool = False
    """Somebody else has set torch.distributed up already."""


class Ranks(Protocol):
    """What processes of one training say to each other."""

    place: Place

    def highest(self, value: int) -> int:
        """The greatest of what all say. All must call it equally often."""

    def add_up(self, sums: Tensor) -> None:
        """Replaces `sums` by the sum over all processes."""

    def gather(self, state: Tensor) -> list[Tensor]:
        """The CPU tensors of all, by rank. Their sizes are equal."""

    def hand_out(self, content: bytes) -> bytes:
        """What the first process says, on all."""

    def keep(self, wrapped: nn.Module) -> None:
        """Takes care that it is never freed."""


class Alone:
    """One process."""

    place = Place()

    def highest(self, value: int) -> int:
        """See Ranks."""
        return value

    def add_up(self, sums: Tensor) -> None:
        """See Ranks."""

    def gather(self, state: Tensor) -> list[Tensor]:
        """See Ranks."""
        return [state]

    def hand_out(self, content: bytes) -> bytes:
        """See Ranks."""
        return content

    def keep(self, wrapped: nn.Module) -> None:
        """See Ranks."""


class Together:
    """Several processes, until they end: a group is never left. On one node they meet in a file, not at a port."""

    def __init__(self, place: Place, device: torch.device, meeting: Path) -> None:
        self.place = place
        if place.met:
            return
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if place.nodes == 1:
            meeting.mkdir(parents=True, exist_ok=True)
            path = str(meeting / f"{place.run}-{place.restarts}")
            store = dist.FileStore(path, place.world)  # type: ignore[attr-defined] # it is exported, but not by name
            dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.world, timeout=PATIENCE)
        else:
            dist.init_process_group(backend, timeout=PATIENCE)

    def highest(self, value: int) -> int:
        """See Ranks."""
        said = torch.tensor([value])
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return int(said)

    def add_up(self, sums: Tensor) -> None:
        """See Ranks."""
        dist.all_reduce(sums)

    def gather(self, state: Tensor) -> list[Tensor]:
        """See Ranks."""
        places = [torch.empty_like(state) for _ in range(self.place.world)]
        dist.all_gather(places, state.contiguous())
        return places

    def hand_out(self, content: bytes) -> bytes:
        """See Ranks."""
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0)
        first = self.place.rank == 0
        sent = (
            torch.frombuffer(bytearray(content), dtype=torch.uint8)
            if first and content
            else torch.empty(int(size), dtype=torch.uint8)
        )
        if len(sent):
            dist.broadcast(sent, 0)
        return sent.numpy().tobytes()

    def keep(self, wrapped: nn.Module) -> None:
        """See Ranks. Freeing it may hang: it joins a thread that waits for the interpreter's lock."""
        _KEPT.append(wrapped)
