"""Sweeps: started by people, brought on by a loop that any replica may run, seen, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from automesh.core.clock import Clock
from automesh.core.errors import AutomationError, ValidationError
from services.model.domain import bounds
from services.model.domain.runs.errors import RunNotFound
from services.model.domain.runs.ports import RunQuery, RunStore, SpecJson, SweepStore
from services.model.domain.runs.run import LIVE, Run, RunState
from services.model.domain.runs.trainings import PASSING, Order, Trainings, check_request_id, fingerprint
from services.model.domain.sweeps.choices import with_values
from services.model.domain.sweeps.sweep import MAX_TRIALS, NewSweep, Sweep, Trial, first_trials
from services.model.domain.training.data_view import check_metric, fitted
from services.model.domain.training.spec import TrainingSpec

MAX_PARALLEL = 100
MAX_METRIC = 200
BATCH = 20


class SweepBoard:
    """Sweeps of one tenant at a time."""

    def __init__(
        self,
        store: SweepStore,
        runs: RunStore,
        trainings: Trainings,
        *,
        specs: SpecJson,
        make_id: Callable[[str], str],
        clock: Clock,
    ) -> None:
        self._store = store
        self._runs = runs
        self._trainings = trainings
        self._specs = specs
        self._make_id = make_id
        self._clock = clock

    # ------------------------------------------------------------------ by people
    async def start(self, new: NewSweep, *, tenant_id: str, subject: str, request_id: str = "") -> Sweep:
        """Checks every trial against the data before the first one begins. The same `request_id` starts it once."""
        check_request_id(request_id)
        bounds.within(new.max_parallel, 1, MAX_PARALLEL, field="max_parallel")
        bounds.text(new.metric, MAX_METRIC, field="metric")
        mark = self._fingerprint(new)
        if request_id and (known := await self._store.by_request(tenant_id, request_id, mark)):
            return known
        trials = first_trials(new.method, new.parameters, new.spec.optimization.epochs)
        order = Order(tenant_id=tenant_id, subject=subject, spec=new.spec)
        data = await self._trainings.data(order)
        spec = fitted(new.spec, data)
        check_metric(new.metric, data)
        written = self._specs.write(spec)
        for each in trials:
            fitted(self._spec_of(written, each), data)
            await asyncio.sleep(0)  # a thousand of them take seconds, which others need not wait
        spec = replace(spec, model_id=await self._trainings.open_model(order))
        sweep = Sweep(
            sweep_id=self._make_id("sweep"),
            tenant_id=tenant_id,
            model_id=spec.model_id,
            spec=spec,
            method=new.method,
            trials=trials,
            max_parallel=new.max_parallel,
            metric=new.metric,
            higher_is_better=new.higher_is_better,
            created_by=subject,
            created_at=self._clock(),
        )
        sweep, _ = await self._store.create(
            sweep, request_id=request_id, fingerprint=mark, new_model=not new.spec.model_id
        )
        return sweep

    async def get(self, tenant_id: str, sweep_id: str) -> Sweep:
        """A sweep with its runs as they stand now."""
        return await self._seen(await self._store.get(tenant_id, sweep_id))

    async def cancel(self, tenant_id: str, subject: str, sweep_id: str) -> Sweep:
        """Stops a sweep and those of its runs that have not ended."""
        _, after = await self._store.change(tenant_id, sweep_id, lambda sweep, now: sweep.cancelled(now))
        if after.state is RunState.CANCELLED:
            for run_id in self._live(await self._seen(after)):
                with suppress(RunNotFound):  # deleted with its model
                    await self._trainings.cancel(tenant_id, subject, run_id, f"sweep {sweep_id} was cancelled")
        return await self.get(tenant_id, sweep_id)

    # ------------------------------------------------------------------ by the loop
    async def advance_due(self, *, every: timedelta) -> int:
        """Brings on sweeps that nobody looked after for `every`; returns how many."""
        due = await self._store.due(every=every, limit=BATCH)
        for sweep in due:
            await self.advance(sweep)
        return len(due)

    async def advance(self, sweep: Sweep) -> Sweep:
        """Starts what may start. Ids of runs are given out under the sweep's lock, so that each starts once; a run
        that was given one and is not there (a crash came between) is made now."""
        runs = await self._runs_of(sweep)
        _, after = await self._store.change(
            sweep.tenant_id,
            sweep.sweep_id,
            lambda sweep, now: sweep.seen(runs).advanced(lambda: self._make_id("run"), now),
        )
        for trial in after.trials:
            if trial.run_id and trial.run_id not in runs and trial.state is RunState.QUEUED:
                await self._start(after, trial)
                if (await self._store.get(after.tenant_id, after.sweep_id)).state is RunState.CANCELLED:
                    # Whoever cancelled it has perhaps not seen this run.
                    return await self.cancel(after.tenant_id, after.created_by, after.sweep_id)
        if after.state is not RunState.RUNNING:
            await self._release(after)
        return after

    async def _start(self, sweep: Sweep, trial: Trial) -> None:
        order = Order(
            tenant_id=sweep.tenant_id,
            subject=sweep.created_by,
            spec=self._spec_of(self._specs.write(sweep.spec), trial),
            run_id=trial.run_id,
            sweep_id=sweep.sweep_id,
            origin=trial.origin,
        )
        try:
            await self._trainings.start(order)
        except AutomationError as error:
            if error.kind not in PASSING:
                await self._give_up(sweep, trial)

    async def _give_up(self, sweep: Sweep, trial: Trial) -> None:
        """The trial cannot be started at all, however often it is tried."""

        def failed(sweep: Sweep) -> Sweep:
            lost = replace(trial, state=RunState.FAILED)
            return replace(sweep, trials=tuple(lost if each.number == trial.number else each for each in sweep.trials))

        await self._store.change(sweep.tenant_id, sweep.sweep_id, lambda sweep, _: failed(sweep))

    async def _release(self, sweep: Sweep) -> None:
        """Nothing goes on from its runs any more."""
        for trial in sweep.trials:
            if trial.run_id and trial.state is RunState.COMPLETED:
                with suppress(RunNotFound):
                    await self._runs.change(sweep.tenant_id, trial.run_id, lambda run, _: run.released())

    # ------------------------------------------------------------------ inside
    async def _runs_of(self, sweep: Sweep) -> dict[str, Run]:
        found = await self._runs.list(sweep.tenant_id, RunQuery(limit=2 * MAX_TRIALS, sweep_id=sweep.sweep_id))
        return {each.run_id: each for each in found}

    async def _seen(self, sweep: Sweep) -> Sweep:
        return sweep.seen(await self._runs_of(sweep))

    def _live(self, sweep: Sweep) -> list[str]:
        return [each.run_id for each in sweep.trials if each.run_id and each.state in LIVE]

    def _spec_of(self, spec: Mapping[str, Any], trial: Trial) -> TrainingSpec:
        """`spec` is what all have in common, as JSON. Raises ValidationError, which names the trial's parameters."""
        values = dict(trial.parameters)
        if trial.epochs:
            values["optimization.epochs"] = str(trial.epochs)
        try:
            return self._specs.read(with_values(spec, values))
        except ValidationError as error:
            told = ", ".join(f"{path}={value}" for path, value in trial.parameters.items())
            raise ValidationError(f"trial {trial.number} ({told}): {error.message}", field="parameters") from error

    def _fingerprint(self, new: NewSweep) -> str:
        return fingerprint(
            {
                "spec": self._specs.write(new.spec),
                "method": new.method,
                "parameters": [dict(each) for each in new.parameters],
                "rest": [new.max_parallel, new.metric, new.higher_is_better],
            }
        )
