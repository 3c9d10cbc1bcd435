"""Trainings in this process, without the export at their end."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from services.model.trainer.data import dataset as data
from services.model.trainer.job import read_job
from services.model.trainer.learning.loop import Loop
from services.model.trainer.ranks import Alone
from services.model.trainer.reporter import Reporter
from services.model.trainer.stopping import Stopped, Stopping
from services.model.trainer.training import learn


@dataclass
class Lesson:
    """What came of it: the loop (None when it was stopped), what was said, the weights at its end."""

    loop: Loop | None
    lines: list[dict[str, Any]]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """By name."""
        assert self.loop is not None
        return {name: tensor.detach().clone() for name, tensor in self.loop._assembly.network.state_dict().items()}


class StopsAfter(Stopping):
    """SIGTERM after so many steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        super().__init__()

    @property
    def wanted(self) -> bool:
        """Asked once after each step."""
        self._steps -= 1
        return self._steps <= 0

    @wanted.setter
    def wanted(self, value: bool) -> None:
        """Only the count matters."""


def lesson(folder: Path, *, stop_after: int = 0, device: str = "cpu") -> Lesson:
    """Learns what the folder's job says, or until so many steps are done."""
    job = read_job(folder)
    torch.set_num_threads(1)
    where = torch.device(device)
    stream = io.StringIO()
    stopping = StopsAfter(stop_after) if stop_after else Stopping()
    loaded = data.load(job.manifest, job.spec)
    if device != "cpu":
        from services.model.trainer.training import on_device

        loaded = on_device(loaded, where)
    loop = None
    with suppress(Stopped):
        loop, _ = learn(job, loaded, where, Alone(), Reporter(stream), stopping)
    return Lesson(loop, [json.loads(line) for line in stream.getvalue().splitlines()])


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Whether every bit is equal."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
