"""The use cases of people: start, see, watch, stop and resume trainings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from automesh.core.clock import Clock
from automesh.core.errors import AutomationError, Kind, Unavailable, ValidationError
from services.model.domain import bounds
from services.model.domain.runs.ports import Datasets, ModelRegistry, RunQuery, RunStore, SpecJson, TaskQueue
from services.model.domain.runs.progress import MetricPoint
from services.model.domain.runs.run import ENDED, Run
from services.model.domain.runs.signals import RunSignals
from services.model.domain.runs.submission import Route, Submission
from services.model.domain.runs.watching import RunSight, RunWatch, WatchHub, WatchPace
from services.model.domain.training.data_view import DataView, fitted
from services.model.domain.training.spec import TrainingSpec

MAX_REASON = 1024
MAX_REQUEST_ID = 128
PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.DEADLINE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be trained, for whom. `task_id` is the task that asks for it, where one does; `run_id`, `sweep_id`
    and `origin` are set for the trials of a sweep."""

    tenant_id: str
    subject: str
    spec: TrainingSpec
    request_id: str = ""
    task_id: str = ""
    run_id: str = ""
    sweep_id: str = ""
    origin: str = ""


class Trainings:
    """Runs of one tenant at a time. `clock` only stamps what the store then stamps anew."""

    def __init__(
        self,
        store: RunStore,
        registry: ModelRegistry,
        datasets: Datasets,
        queue: TaskQueue,
        *,
        specs: SpecJson,
        signals: RunSignals,
        hub: WatchHub,
        make_id: Callable[[str], str],
        clock: Clock,
        live_limit: int,
        pace: WatchPace | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._datasets = datasets
        self._queue = queue
        self._submission = Submission(store, queue)
        self._specs = specs
        self._signals = signals
        self._hub = hub
        self._make_id = make_id
        self._clock = clock
        self._live_limit = live_limit
        self._pace = pace or WatchPace()
        signals.listen(hub.on_signal)

    # ------------------------------------------------------------------ start
    async def start(self, order: Order) -> Run:
        """Checks the spec against the data, makes the run and brings it into the queue.

        Raises DatasetNotReady, DataDoesNotFit, NoGpu, TooManyRuns, RunRequestReused, and what the registry, the data
        service and the orchestrator raise; then nothing is left of it.
        """
        check_request_id(order.request_id)
        fingerprint = self._fingerprint(order.spec)
        if order.request_id and (known := await self._by_request(order, fingerprint)):
            return known
        route = Route() if order.task_id else await self._submission.route(order.tenant_id, order.spec.resources)
        spec = await self._opened(order, await self.fitted(order))
        run = self._draft(order, spec, route)
        run, fresh = await self._store.create(
            run,
            request_id=order.request_id,
            fingerprint=fingerprint,
            limit=self._live_limit,
            new_model=not order.spec.model_id,
        )
        if fresh:
            self._signals.changed(run.run_id)
        return await self._submitted(run, fresh=fresh)

    async def fitted(self, order: Order) -> TrainingSpec:
        """The spec with the data's version fixed. Raises DatasetNotReady, DataDoesNotFit."""
        return fitted(order.spec, await self.data(order))

    async def data(self, order: Order) -> DataView:
        """The version that the spec names, whether or not it fits."""
        asked = order.spec.data
        return await self._datasets.version(order.tenant_id, order.subject, asked.data_id, asked.version)

    async def open_model(self, order: Order) -> str:
        """The model that the spec names, or a new one."""
        spec = order.spec
        return await self._registry.open_model(
            order.tenant_id,
            model_id=spec.model_id,
            name=spec.name,
            description=spec.description,
            created_by=order.subject,
        )

    async def _by_request(self, order: Order, fingerprint: str) -> Run | None:
        known = await self._store.by_request(order.tenant_id, order.request_id, fingerprint)
        return await self._submitted(known, fresh=False) if known else None

    async def _opened(self, order: Order, spec: TrainingSpec) -> TrainingSpec:
        return replace(spec, model_id=await self.open_model(order))

    def _draft(self, order: Order, spec: TrainingSpec, route: Route) -> Run:
        run = Run(
            run_id=order.run_id or self._make_id("run"),
            tenant_id=order.tenant_id,
            model_id=spec.model_id,
            spec=spec,
            created_by=order.subject,
            created_at=self._clock(),
            on_gpu=route.on_gpu,
            waits_for_gpu=route.waits,
            sweep_id=order.sweep_id,
            origin=order.origin,
        ).expecting(spec.resources.nodes)
        return run.carried_by(0, order.task_id) if order.task_id else run

    async def _submitted(self, run: Run, *, fresh: bool) -> Run:
        try:
            return await self._submission.submit(run)
        except AutomationError:
            if fresh and not run.task_id and not run.sweep_id:
                await self._store.delete(run.tenant_id, run.run_id)
            raise

    def _fingerprint(self, spec: TrainingSpec) -> str:
        return fingerprint(self._specs.write(spec))

    # ------------------------------------------------------------------ see
    async def get(self, tenant_id: str, run_id: str) -> Run:
        """One run."""
        return await self._store.get(tenant_id, run_id)

    async def list(self, tenant_id: str, query: RunQuery) -> Sequence[Run]:
        """A page of runs, newest first."""
        return await self._store.list(tenant_id, query)

    async def points(
        self, tenant_id: str, run_id: str, *, after: int, limit: int, names: Collection[str]
    ) -> Sequence[MetricPoint]:
        """Recorded points, in order."""
        await self._store.stamp(tenant_id, run_id)
        return await self._store.points(tenant_id, run_id, after=after, limit=limit, names=names)

    def watch(self, tenant_id: str, run_id: str, sequence: int) -> AsyncGenerator[RunSight, None]:
        """The run now, then points after `sequence` and every change, until it has ended."""
        return RunWatch(self._store, self._hub, tenant_id, run_id, sequence, pace=self._pace).sights()

    # ------------------------------------------------------------------ stop and resume
    async def cancel(self, tenant_id: str, subject: str, run_id: str, reason: str) -> Run:
        """Stops a run; its last checkpoint is kept. One that has ended stays as it is."""
        bounds.text(reason, MAX_REASON, field="reason")
        before, after = await self._store.change(tenant_id, run_id, lambda run, now: run.cancelled(reason, now))
        if before.state in ENDED:
            return after
        self._signals.changed(run_id)
        try:
            for task in after.tasks:
                if task.task_id:
                    await self._queue.cancel(tenant_id, subject, task.task_id, reason)
        except AutomationError as error:
            if error.kind not in PASSING:
                raise  # else the loop that looks after ended runs does it
        return after

    async def resume(self, tenant_id: str, run_id: str, epochs: int) -> Run:
        """Goes on from the last checkpoint. Raises RunNotResumable, NoGpu."""
        run = await self._store.get(tenant_id, run_id)
        spec = _with_epochs(run.spec, epochs)
        route = await self._submission.route(tenant_id, spec.resources)

        def resumed(run: Run) -> Run:
            again = run.resumed(spec, spec.resources.nodes)
            return replace(again, on_gpu=route.on_gpu, waits_for_gpu=route.waits)

        _, after = await self._store.change(tenant_id, run_id, lambda run, _: resumed(run))
        self._signals.changed(run_id)
        try:
            return await self._submission.submit(after)
        except Unavailable:
            return after  # the loop that looks after queued runs does it


def check_request_id(request_id: str) -> None:
    """Raises ValidationError for one that is too long."""
    bounds.text(request_id, MAX_REQUEST_ID, field="request_id")


def fingerprint(content: Mapping[str, Any]) -> str:
    """What tells two requests apart: equal for equal JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _with_epochs(spec: TrainingSpec, epochs: int) -> TrainingSpec:
    had = spec.optimization.epochs
    if epochs < 0 or 0 < epochs < had:
        raise ValidationError(f"epochs is {epochs}, less than the {had} the run had", field="epochs")
    return replace(spec, optimization=replace(spec.optimization, epochs=epochs)) if epochs else spec
