"""Reads the loss from the device now and then, and says how the training stands."""

from __future__ import annotations

import math
import time

import torch

from services.model.trainer.learning.stepping import Stepping
from services.model.trainer.reporter import Point, Reporter
from services.model.trainer.state.state import State

EVERY_S = 1.0
"""Between two readings: each waits for the device once."""


class Meter:
    """Speed, rest and curves of one process's view."""

    def __init__(self, reporter: Reporter, stepping: Stepping, *, epochs: int, steps: int, ranks: int) -> None:
        self._reporter, self._stepping = reporter, stepping
        self._epochs, self._steps, self._ranks = epochs, steps, ranks
        self._steps_here = 0
        self._speed = 0.0
        self._began = time.monotonic()
        self._read_at = self._began
        self._windows, self._loss = 0, 0.0

    def begin_epoch(self, state: State) -> None:
        """The sums start from what `state` has of this epoch."""
        self._windows, self._loss = state.windows, state.loss_sum
        self._read_at = time.monotonic()

    def stepped(self) -> bool:
        """After each step. Whether it is time to read."""
        self._steps_here += 1
        return time.monotonic() - self._read_at >= EVERY_S

    def read(self, state: State, rate: float) -> bool:
        """Streams the mean loss since the last reading. Whether it is a number."""
        now, total = time.monotonic(), float(self._stepping.losses)
        windows = state.windows - self._windows
        if windows:
            loss = (total - self._loss) / windows
            self._speed = windows * self._ranks / max(now - self._read_at, 1e-9)
            self.say({"train/batch_loss": loss, "lr": rate, "samples_per_second": self._speed}, state, state.epoch + 1)
        self._windows, self._loss, self._read_at = state.windows, total, now
        return math.isfinite(total)

    def say(self, values: dict[str, float], state: State, epoch: int) -> list[Point]:
        """Streams these values; returns them as points."""
        if "epoch_seconds" in values:
            self._speed = values["samples_per_second"]
        points = [Point(name, value, state.step, epoch, time.time()) for name, value in values.items()]
        self._reporter.points(points, self._progress(state, epoch))
        return points

    def _progress(self, state: State, epoch: int) -> dict[str, object]:
        progress: dict[str, object] = {
            "epoch": epoch,
            "epochs": self._epochs,
            "step": state.step,
            "steps": self._steps,
            "samples_per_second": round(self._speed, 3),
            "gpu_memory": torch.cuda.max_memory_allocated() if self._stepping.losses.is_cuda else 0,
        }
        if self._steps_here:
            each = (time.monotonic() - self._began) / self._steps_here
            progress["eta"] = f"{max(self._steps - state.step, 0) * each:.3f}s"
        if state.best is not None:
            best = state.best
            progress["best"] = {"name": best.name, "value": best.value, "step": best.step, "epoch": best.epoch}
        return progress
