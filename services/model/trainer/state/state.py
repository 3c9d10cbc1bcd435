"""Where a training stands: everything but tensors. Kept in a checkpoint as JSON, so that floats come back exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from services.model.trainer.learning.schedule import Plateau
from services.model.trainer.reporter import Point, number

MAX_HISTORY = 200_000
"""Points that are kept for the plots; beyond it every second one goes."""


@dataclass(slots=True)
class Best:
    """The best value of the watched metric so far."""

    name: str
    value: float
    step: int
    epoch: int


@dataclass(slots=True)
class State:
    """Position in the data, what early stopping and the plateau have seen, curves so far."""

    epoch: int = 0
    """Whole epochs that are done."""
    batch: int = 0
    """Batches that are done in the epoch after these."""
    step: int = 0
    loss_sum: float = 0.0
    """Over the windows that the first rank has seen in this epoch."""
    windows: int = 0
    best: Best | None = None
    mark: float | None = None
    """The value that early stopping wants to see bettered by min_delta."""
    stale: int = 0
    """Epochs since it was."""
    plateau: Plateau = field(default_factory=Plateau)
    history: list[Point] = field(default_factory=list)
    finished: bool = False

    def remember(self, points: list[Point]) -> None:
        """For the plots."""
        self.history.extend(points)
        if len(self.history) > MAX_HISTORY:
            self.history = self.history[::2]

    def copy(self) -> State:
        """As it is now: what is done to this one later leaves it alone."""
        return replace(self, plateau=replace(self.plateau), history=list(self.history))

    def to_json(self) -> dict[str, Any]:
        """The JSON object of it."""
        content = asdict(self)
        content["plateau"] = {key: number(value) for key, value in asdict(self.plateau).items()}
        content["history"] = [[p.name, number(p.value), p.step, p.epoch, p.time] for p in self.history]
        return content

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> State:
        """Raises KeyError, TypeError or ValueError for anything else than to_json gives."""
        best, plateau = content["best"], content["plateau"]
        return cls(
            epoch=int(content["epoch"]),
            batch=int(content["batch"]),
            step=int(content["step"]),
            loss_sum=float(content["loss_sum"]),
            windows=int(content["windows"]),
            best=Best(**best) if best else None,
            mark=None if content["mark"] is None else float(content["mark"]),
            stale=int(content["stale"]),
            plateau=Plateau(float(plateau["scale"]), float(plateau["lowest"]), int(plateau["epochs"])),
            history=[
                Point(name, float(value), step, epoch, time) for name, value, step, epoch, time in content["history"]
            ],
            finished=bool(content["finished"]),
        )
