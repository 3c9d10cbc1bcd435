"""A sweep: which trainings it is made of, which may start, which go on, and how it ends. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.model.domain.runs.run import ENDED, LIVE, Run, RunState
from services.model.domain.training.spec import TrainingSpec

MAX_TRIALS = 1000
SHARE = 3
"""Halving: one in so many goes on, with so many times the epochs."""


class SweepMethod(StrEnum):
    """How values are chosen."""

    GRID = "grid"
    RANDOM = "random"
    HALVING = "halving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training of a sweep. `run_id` is empty until it is started; `value` is NaN until there is one.

    `parameters` hold JSON by dotted path; `origin` is the run whose checkpoint it goes on from.
    """

    number: int
    parameters: Mapping[str, str]
    round: int = 0
    epochs: int = 0
    origin: str = ""
    run_id: str = ""
    state: RunState = RunState.QUEUED
    value: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Several trainings that differ in some parameters."""

    sweep_id: str
    tenant_id: str
    model_id: str
    spec: TrainingSpec
    method: SweepMethod
    trials: tuple[Trial, ...]
    max_parallel: int
    metric: str
    higher_is_better: bool
    created_by: str
    created_at: datetime
    state: RunState = RunState.RUNNING
    finished_at: datetime | None = None

    @property
    def waiting(self) -> int:
        """Trials that were not started yet."""
        return sum(not each.run_id for each in self.trials) if self.state is RunState.RUNNING else 0

    def ranked(self) -> list[Trial]:
        """Those that were started, the best first, those without a value last."""
        started = [each for each in self.trials if each.run_id]
        return sorted(started, key=lambda each: (math.isnan(each.value), self._cost(each), each.number))

    def seen(self, runs: Mapping[str, Run]) -> Sweep:
        """With what became of its runs; one that is not there when the sweep is cancelled is never made."""
        return replace(self, trials=tuple(self._seen(each, runs.get(each.run_id)) for each in self.trials))

    def advanced(self, make_run_id: Callable[[], str], now: datetime) -> Sweep:
        """With as many trials started as may be, with the next round when one is over, or ended."""
        if self.state is not RunState.RUNNING:
            return self
        grown = self._with_next_round()
        if all(each.run_id and each.state in ENDED for each in grown.trials):
            good = any(each.state is RunState.COMPLETED for each in grown.trials)
            return replace(grown, state=RunState.COMPLETED if good else RunState.FAILED, finished_at=now)
        room = grown.max_parallel - sum(bool(each.run_id) and each.state not in ENDED for each in grown.trials)
        started = []
        for each in grown.trials:
            if not each.run_id and room > 0:
                started.append(replace(each, run_id=make_run_id()))
                room -= 1
            else:
                started.append(each)
        return replace(grown, trials=tuple(started))

    def cancelled(self, now: datetime) -> Sweep:
        """Stopped by somebody; one that has ended stays as it is."""
        if self.state is not RunState.RUNNING:
            return self
        return replace(self, state=RunState.CANCELLED, finished_at=now)

    def _seen(self, trial: Trial, run: Run | None) -> Trial:
        if run is None:
            never = self.state is RunState.CANCELLED and trial.state in LIVE
            return replace(trial, state=RunState.CANCELLED) if never else trial
        return replace(trial, state=run.state, value=value_of(run, self.metric))

    def _with_next_round(self) -> Sweep:
        """The best third of a round that is over goes on; failed ones never do."""
        last = max(each.round for each in self.trials)
        current = [each for each in self.trials if each.round == last]
        over = all(each.run_id and each.state in ENDED for each in current)
        if self.method is not SweepMethod.HALVING or not over or len(current) == 1:
            return self
        good = [each for each in self.ranked() if each.round == last and each.state is RunState.COMPLETED]
        good = [each for each in good if not math.isnan(each.value)][: -(-len(current) // SHARE)]
        first = len(self.trials)
        grown = [self._promoted(each, first + place, alone=len(good) == 1) for place, each in enumerate(good)]
        return replace(self, trials=(*self.trials, *grown))

    def _promoted(self, trial: Trial, number: int, *, alone: bool) -> Trial:
        most = self.spec.optimization.epochs
        return Trial(
            number=number,
            parameters=trial.parameters,
            round=trial.round + 1,
            epochs=most if alone else min(most, trial.epochs * SHARE),
            origin=trial.run_id,
        )

    def _cost(self, trial: Trial) -> float:
        if math.isnan(trial.value):
            return 0.0
        return -trial.value if self.higher_is_better else trial.value


def value_of(run: Run, metric: str) -> float:
    """The value that decides: of the best weights where the run is done, else the best seen, else the last."""
    best = run.progress.best
    if run.state is not RunState.COMPLETED and best is not None and best.name == metric:
        return best.value
    last = run.metrics.get(metric)
    return last.value if last else math.nan


def rounds(trials: int) -> int:
    """Rounds of halving until one is left."""
    count = 1
    while trials > 1:
        trials, count = -(-trials // SHARE), count + 1
    return count


def first_trials(method: SweepMethod, parameters: Sequence[Mapping[str, Any]], epochs: int) -> tuple[Trial, ...]:
    """The trials a sweep begins with. Halving begins with few epochs, so that the last round has them all."""
    few = max(1, epochs // SHARE ** (rounds(len(parameters)) - 1)) if method is SweepMethod.HALVING else 0
    return tuple(Trial(number=number, parameters=dict(each), epochs=few) for number, each in enumerate(parameters))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSweep:
    """What somebody asks for, checked."""

    spec: TrainingSpec
    method: SweepMethod
    parameters: tuple[Mapping[str, str], ...]
    max_parallel: int = 2
    metric: str = "val/loss"
    higher_is_better: bool = False
    fingerprint: str = field(default="", compare=False)
