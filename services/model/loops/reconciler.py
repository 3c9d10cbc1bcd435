"""Looks after runs that nobody speaks for: queues them, follows their tasks, tidies up after their end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from automesh.core.clock import Clock
from automesh.core.errors import AutomationError
from services.model.domain.runs.dependents import add_dependent
from services.model.domain.runs.errors import RunNotFound
from services.model.domain.runs.ports import Datasets, ModelRegistry, RunStore, TaskQueue, TaskSight
from services.model.domain.runs.run import LIVE, Run, RunFailure, RunState, RunTask
from services.model.domain.runs.signals import RunSignals
from services.model.domain.runs.submission import Submission

log = structlog.get_logger(__name__)

SILENT_FOR = timedelta(seconds=10)
GRACE = timedelta(seconds=60)
"""How long tasks of a run that has ended may take to end by themselves."""
BATCH = 100
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED", ""})


class Reconciler:
    """One round is `step`; each run comes to one replica at a time."""

    def __init__(
        self,
        store: RunStore,
        queue: TaskQueue,
        datasets: Datasets,
        registry: ModelRegistry,
        *,
        signals: RunSignals,
        clock: Clock,
        silent_for: timedelta = SILENT_FOR,
        grace: timedelta = GRACE,
    ) -> None:
        self._store = store
        self._queue = queue
        self._datasets = datasets
        self._registry = registry
        self._submission = Submission(store, queue)
        self._signals = signals
        self._clock = clock
        self._silent_for = silent_for
        self._grace = grace

    async def step(self) -> int:
        """A bounded round; returns how many runs were looked at. One that fails is looked at again next time."""
        due = await self._store.unheard(silent_for=self._silent_for, limit=BATCH)
        for run in due:
            try:
                await self._look_after(run)
            except RunNotFound:
                continue
            except AutomationError as error:
                log.warning(
                    "a run could not be looked after", run_id=run.run_id, reason=error.reason, why=error.message
                )
        return len(due)

    async def _look_after(self, run: Run) -> None:
        if run.state not in LIVE:
            await self._settle(run)
        elif run.waits_for_gpu:
            await self._try_gpu(run)
        elif any(not each.task_id for each in run.tasks):
            await self._submission.submit(run)
        else:
            await self._follow(run)

    # ------------------------------------------------------------------ live ones
    async def _try_gpu(self, run: Run) -> None:
        if not await self._queue.has_gpu(run.tenant_id):
            return
        _, after = await self._store.change(run.tenant_id, run.run_id, lambda run, _: run.gpu_came())
        await self._submission.submit(after)
        self._signals.changed(run.run_id)

    async def _follow(self, run: Run) -> None:
        """As the task that reports for all stands, so does the run; before the first claim any task that is lost."""
        for task in run.tasks:
            if run.host_node not in {-1, task.node}:
                continue
            sight = await self._queue.sight(run.tenant_id, task.task_id)
            await self._become(run, task, sight)

    async def _become(self, run: Run, task: RunTask, sight: TaskSight) -> None:
        version = await self._registry.version_of_run(run.tenant_id, run.run_id) if sight.status in OVER else None

        def change(run: Run, now: datetime) -> Run:
            spoke = run.heard_at is not None and run.heard_at > now - self._silent_for
            same = run.state in LIVE and run.task(task.task_id).claims == task.claims
            if not same or spoke:
                return run
            return run.concluded(version, now) if version else _followed(run, task.task_id, sight, now)

        before, after = await self._store.change(run.tenant_id, run.run_id, change)
        if after != before:
            self._signals.changed(run.run_id)

    # ------------------------------------------------------------------ ended ones
    async def _settle(self, run: Run) -> None:
        """Its dataset knows of the model, and none of its tasks is left."""
        if run.state is RunState.COMPLETED:
            await add_dependent(self._datasets, run)
        tasks = [await self._ended(run, each) for each in run.tasks]
        settled = all(each.over for each in tasks)

        def change(now_run: Run) -> Run:
            if now_run.state in LIVE or now_run.submission != run.submission:
                return now_run  # resumed meanwhile
            return replace(now_run, tasks=tuple(tasks), settled=settled)

        await self._store.change(run.tenant_id, run.run_id, lambda run, _: change(run))

    async def _ended(self, run: Run, task: RunTask) -> RunTask:
        if task.over or not task.task_id:
            return replace(task, over=True)
        sight = await self._queue.sight(run.tenant_id, task.task_id)
        if sight.status in OVER:
            return replace(task, over=True)
        ended_at = run.finished_at or run.created_at
        if run.state is RunState.CANCELLED or self._clock() - ended_at > self._grace:
            why = run.cancel_reason or f"run {run.run_id} is {run.state}"
            await self._queue.cancel(run.tenant_id, run.created_by, task.task_id, why)
        return task


def _followed(run: Run, task_id: str, sight: TaskSight, now: datetime) -> Run:
    """The run as its task stands."""
    if sight.status == "SCHEDULED":
        return run.requeued()
    if sight.status == "CANCELLED":
        return run.cancelled("its task was cancelled", now)
    failures = {
        "FAILED": RunFailure(sight.reason or "TASK_FAILED", sight.message),
        "COMPLETED": RunFailure("TASK_ENDED", f"task {task_id} ended without a model"),
        "": RunFailure("TASK_GONE", f"task {task_id} was deleted"),
    }
    failure = failures.get(sight.status)
    return run.failed(failure, now) if failure else run
