"""Points of metrics, and what is made of them: the last values, the best one, the time that is left. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from automesh.core.errors import ValidationError

MAX_METRICS = 1000
"""Different names within one run."""
MAX_BATCH = 10_000
MAX_METRIC_NAME = 200
MAX_ETA_S = 1e11
"""About 3,000 years: more than that is no forecast, and no duration of protobuf."""
HIGHER_IS_BETTER = frozenset({"accuracy", "f1", "precision", "recall", "r2", "auc"})
"""Last parts of names whose best value is the greatest; of all others it is the least."""


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value. `step` counts optimizer steps, `epoch` counts from 1; `sequence` is 0 until it is recorded."""

    name: str
    value: float
    step: int
    epoch: int
    time: datetime
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Latest:
    """The last value of a metric, and its step."""

    value: float
    step: int


@dataclass(frozen=True, slots=True)
class BestMetric:
    """The best value of a metric so far."""

    name: str
    value: float
    step: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """How far a run is; 0 and None where nothing is known yet."""

    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    eta: timedelta | None = None
    samples_per_second: float = 0.0
    gpu_memory: int = 0
    best: BestMetric | None = None


def check_points(points: Iterable[MetricPoint]) -> None:
    """Raises ValidationError for names and numbers that cannot be recorded."""
    for point in points:
        if not 1 <= len(point.name) <= MAX_METRIC_NAME or "\0" in point.name:
            raise ValidationError(
                f"a metric's name has 1 to {MAX_METRIC_NAME} characters; {point.name[:80]!r} does not",
                field="points.name",
            )
        if not (0 <= point.step < 2**62 and 0 <= point.epoch < 2**31):
            raise ValidationError(f"{point.name} has step {point.step} and epoch {point.epoch}", field="points.step")


def latest(known: Mapping[str, Latest], points: Iterable[MetricPoint]) -> dict[str, Latest]:
    """The last values, with new points. Raises ValidationError when there would be too many names."""
    found = dict(known)
    for point in points:
        found[point.name] = Latest(point.value, point.step)
    if len(found) > MAX_METRICS:
        raise ValidationError(f"a run has at most {MAX_METRICS} different metrics", field="points.name")
    return found


def better(metric: str, value: float, than: float) -> bool:
    """Whether `value` is better; NaN never is."""
    if math.isnan(value):
        return False
    if math.isnan(than):
        return True
    return value > than if metric.rpartition("/")[2] in HIGHER_IS_BETTER else value < than


def best(metric: str, known: BestMetric | None, points: Iterable[MetricPoint]) -> BestMetric | None:
    """The best value of the watched metric, with new points."""
    found = known
    for point in points:
        if point.name == metric and better(metric, point.value, found.value if found else math.nan):
            found = BestMetric(point.name, point.value, point.step, point.epoch)
    return found


@dataclass(frozen=True, slots=True)
class Pace:
    """Where and when the present claim began to make steps: what the remaining time is reckoned from."""

    step: int
    at: datetime

    def eta(self, progress: RunProgress, now: datetime) -> timedelta | None:
        """Until the end at the speed so far; None while nothing can be told."""
        done, left = progress.step - self.step, progress.steps - progress.step
        spent = (now - self.at).total_seconds()
        if done <= 0 or left < 0 or spent <= 0:
            return None
        seconds = spent / done * left
        return timedelta(seconds=seconds) if seconds < MAX_ETA_S else None


def completed(progress: RunProgress, previous: RunProgress, pace: Pace | None, now: datetime) -> RunProgress:
    """What the trainer said, with what it left open filled in."""
    filled = progress
    if filled.best is None:
        filled = replace(filled, best=previous.best)
    if filled.eta is None and pace is not None:
        filled = replace(filled, eta=pace.eta(filled, now))
    return filled
