"""The use cases of people: create, get, list, update, delete, cancel, watch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from automesh.core.clock import Clock
from automesh.core.errors import ValidationError
from services.orchestrator.domain.lease import Ended
from services.orchestrator.domain.ports import Meter, Page, TaskQuery, TaskStore
from services.orchestrator.domain.signals import Signal, Signals, Topic
from services.orchestrator.domain.spec import NewTask, check_request_id, check_run_at
from services.orchestrator.domain.task import LIVE, Changes, Draft, Status, Task
from services.orchestrator.domain.watching import Pace, TaskUpdate, Watch, WatchHub

MAX_REASON = 1024


class TaskBoard:
    """Tasks of one tenant at a time. `clock` only judges requests; what is stored carries the store's time."""

    def __init__(
        self,
        store: TaskStore,
        *,
        signals: Signals,
        hub: WatchHub,
        meter: Meter,
        make_id: Callable[[str], str],
        clock: Clock,
        queue_limit: int,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._signals = signals
        self._hub = hub
        self._meter = meter
        self._make_id = make_id
        self._clock = clock
        self._queue_limit = queue_limit
        self._pace = pace or Pace()
        signals.listen(hub.on_signal)

    async def create(
        self,
        spec: NewTask,
        *,
        tenant_id: str,
        created_by: str,
        created_by_name: str = "",
        request_id: str = "",
        traceparent: str = "",
    ) -> Task:
        """Stores a task. The same `request_id` with the same task returns the first one."""
        check_request_id(request_id)
        now = self._clock()
        check_run_at(spec.run_at, now)
        draft = Draft(
            task_id=self._make_id("task"),
            tenant_id=tenant_id,
            spec=spec,
            created_by=created_by,
            created_by_name=created_by_name,
            traceparent=traceparent,
        )
        task, fresh = await self._store.create(draft, request_id=request_id, queue_limit=self._queue_limit)
        if fresh:
            self._meter.became(task.status)
            self._signals.work_waits((task.ready_at - task.created_at).total_seconds())
        return task

    async def get(self, tenant_id: str, task_id: str) -> Task:
        """One task."""
        return await self._store.get(tenant_id, task_id)

    async def list(self, tenant_id: str, query: TaskQuery) -> Page:
        """A page of tasks, newest first."""
        return await self._store.list(tenant_id, query)

    async def update(self, tenant_id: str, task_id: str, changes: Changes) -> Task:
        """Edits a task that still waits."""
        check_run_at(changes.get("run_at"), self._clock())
        before, after = await self._store.change(tenant_id, task_id, lambda task, now: task.edit(changes, now))
        self._taken_back(before, Ended.STALE, "the task was edited")
        self._signals.task_changed(task_id)
        self._signals.work_waits(max(0.0, (after.ready_at - after.updated_at).total_seconds()))
        return after

    async def cancel(self, tenant_id: str, task_id: str, reason: str) -> Task:
        """Stops a task at once; the agent that holds it is told."""
        if len(reason) > MAX_REASON or "\x00" in reason:
            raise ValidationError(f"reason has more than {MAX_REASON} characters, or a NUL character", field="reason")

        def cancel(task: Task, now: datetime) -> Task:
            return task.cancel(reason, now)

        before, after = await self._store.change(tenant_id, task_id, cancel)
        self._meter.became(Status.CANCELLED)
        self._taken_back(before, Ended.CANCELLED, reason)
        self._signals.task_changed(task_id)
        return after

    async def delete(self, tenant_id: str, task_id: str) -> None:
        """Forgets a task that does not run."""
        await self._store.delete(tenant_id, task_id)
        self._signals.task_changed(task_id)

    def watch(self, tenant_id: str, task_id: str, sequence: int) -> AsyncGenerator[TaskUpdate, None]:
        """The task now and every change, with lines after `sequence`, until it is finished."""
        return Watch(self._store, self._hub, tenant_id, task_id, sequence, pace=self._pace).updates()

    def _taken_back(self, before: Task, ended: Ended, text: str) -> None:
        if before.status in LIVE:
            self._signals.emit(
                Signal(
                    Topic.LOST,
                    task_id=before.task_id,
                    agent_id=before.agent_id,
                    attempt=before.attempt,
                    reason=ended,
                    text=text,
                )
            )
