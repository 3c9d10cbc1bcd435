"""Tasks in memory: the fake of TaskStore and LeaseStore. It runs the domain's own transitions and nothing else.

Its clock is an argument, so tests decide the time. The SQL store is held equal to it by a property test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from automesh.core.clock import Clock
from services.orchestrator.domain.errors import (
    lease_lost,
    queue_full,
    request_reused,
    task_not_found,
    task_still_running,
    unknown_task_type,
)
from services.orchestrator.domain.lease import (
    Ended,
    LeaseKey,
    LeaseLoss,
    LeaseRequest,
    Outcome,
    Reaped,
    Report,
    Settled,
)
from services.orchestrator.domain.ports import MAX_LOG_LINES, Page, TaskQuery, Version
from services.orchestrator.domain.task import FINISHED, LIVE, WAITING, Draft, LogLine, Progress, Status, Task


@dataclass
class FakeTaskStore:
    """All tenants' tasks by id. `types` holds (tenant, type); the empty tenant's types are everybody's."""

    clock: Clock
    tasks: dict[str, Task] = field(default_factory=dict)
    written: dict[str, list[LogLine]] = field(default_factory=dict)
    types: set[tuple[str, str]] = field(default_factory=set)
    requests: dict[tuple[str, str], tuple[Draft, str, datetime]] = field(default_factory=dict)

    # ------------------------------------------------------------------ TaskStore
    async def create(self, draft: Draft, *, request_id: str, queue_limit: int) -> tuple[Task, bool]:
        """See TaskStore."""
        key = (draft.tenant_id, request_id)
        if request_id and key in self.requests:
            first, task_id, _ = self.requests[key]
            if first.spec != draft.spec:
                raise request_reused(request_id)
            return self.tasks[task_id], False
        if not {("", draft.spec.type), (draft.tenant_id, draft.spec.type)} & self.types:
            raise unknown_task_type(draft.spec.type)
        waiting = sum(task.tenant_id == draft.tenant_id and task.status in WAITING for task in self.tasks.values())
        if waiting >= queue_limit:
            raise queue_full(waiting, queue_limit)
        task = self.tasks[draft.task_id] = Task.stored(draft, self.clock())
        if request_id:
            self.requests[key] = (draft, draft.task_id, self.clock())
        return task, True

    async def get(self, tenant_id: str, task_id: str) -> Task:
        """See TaskStore."""
        task = self.tasks.get(task_id)
        if task is None or task.tenant_id != tenant_id:
            raise task_not_found(task_id)
        return task

    async def list(self, tenant_id: str, query: TaskQuery) -> Page:
        """See TaskStore."""
        found = [
            task
            for task in sorted(self.tasks.values(), key=lambda task: task.task_id, reverse=True)
            if task.tenant_id == tenant_id
            and (query.before is None or task.task_id < query.before)
            and (not query.statuses or task.status in query.statuses)
            and (not query.types or task.spec.type in query.types)
        ]
        return Page(found[: query.limit], more=len(found) > query.limit)

    async def change(self, tenant_id: str, task_id: str, change: Callable[[Task, datetime], Task]) -> tuple[Task, Task]:
        """See TaskStore."""
        before = await self.get(tenant_id, task_id)
        after = self.tasks[task_id] = change(before, self.clock())
        return before, after

    async def delete(self, tenant_id: str, task_id: str) -> None:
        """See TaskStore."""
        if (await self.get(tenant_id, task_id)).status is Status.RUNNING:
            raise task_still_running(task_id)
        del self.tasks[task_id]
        self.written.pop(task_id, None)
        self.requests = {key: value for key, value in self.requests.items() if value[1] != task_id}

    async def version(self, tenant_id: str, task_id: str) -> Version:
        """See TaskStore."""
        task = await self.get(tenant_id, task_id)
        return Version(task.revision, task.log_sequence)

    async def lines(self, tenant_id: str, task_id: str, *, after: int, limit: int) -> Sequence[LogLine]:
        """See TaskStore."""
        if self.tasks.get(task_id, None) is None or self.tasks[task_id].tenant_id != tenant_id:
            return []
        return [line for line in self.written.get(task_id, []) if line.sequence > after][:limit]

    async def forget_requests(self, older_than: timedelta) -> int:
        """See TaskStore."""
        oldest = self.clock() - older_than
        old = [key for key, (_, _, created_at) in self.requests.items() if created_at < oldest]
        for key in old:
            del self.requests[key]
        return len(old)

    async def queue_depth(self, limit: int) -> Mapping[Status, int]:
        """See TaskStore."""
        waiting = sum(task.status in WAITING for task in self.tasks.values())
        running = sum(task.status is Status.RUNNING for task in self.tasks.values())
        return {Status.SCHEDULED: min(waiting, limit), Status.RUNNING: min(running, limit)}

    # ------------------------------------------------------------------ LeaseStore
    async def lease(self, request: LeaseRequest, offer_for: timedelta) -> Sequence[Task]:
        """See LeaseStore."""
        now = self.clock()
        ready = [
            task
            for task in self.tasks.values()
            if task.status is Status.SCHEDULED
            and task.ready_at <= now
            and task.spec.type in request.types
            and request.tenant_id in {"", task.tenant_id}
        ]
        ready.sort(key=lambda task: (-task.spec.priority, task.ready_at, task.task_id))
        given = zip(ready, request.slots, strict=False)
        return [self._put(task.offer(agent_id, offer_for, now)) for task, agent_id in given]

    async def accept(self, lease_keys: Collection[LeaseKey], agent_id: str, lease_ttl: timedelta) -> set[LeaseKey]:
        """See LeaseStore."""
        good = {lease_key for lease_key in lease_keys if self._held(lease_key, agent_id)}
        for lease_key in good:
            self._put(self.tasks[lease_key.task_id].accept(lease_ttl, self.clock()))
        return good

    async def extend(self, lease_keys: Mapping[LeaseKey, str], lease_ttl: timedelta) -> set[LeaseKey]:
        """See LeaseStore."""
        good = {
            lease_key
            for lease_key, agent_id in lease_keys.items()
            if self._held(lease_key, agent_id) and self.tasks[lease_key.task_id].status is Status.RUNNING
        }
        for lease_key in good:
            self._put(self.tasks[lease_key.task_id].extend(lease_ttl, self.clock()))
        return good

    async def withdraw(self, lease_keys: Collection[LeaseKey]) -> int:
        """See LeaseStore."""
        offered = [
            task
            for lease_key in lease_keys
            if (task := self.tasks.get(lease_key.task_id))
            and task.attempt == lease_key.attempt
            and task.status is Status.OFFERED
        ]
        for task in offered:
            self._put(task.withdraw(self.clock()))
        return len(offered)

    async def report(self, reports: Sequence[Report]) -> set[LeaseKey]:
        """See LeaseStore."""
        good = [report for report in reports if self._held(report.lease_key, report.agent_id)]
        for report in good:
            self._write(report)
        return {report.lease_key for report in good}

    async def settle(self, outcomes: Sequence[Outcome]) -> Sequence[Settled]:
        """See LeaseStore."""
        ends = [self._settle(outcome) for outcome in outcomes]
        return [end for end in ends if end is not None]

    async def reap(self, *, limit: int, jitter: float) -> Sequence[Reaped]:
        """See LeaseStore."""
        now = self.clock()
        over = [(task, after) for task in self.tasks.values() if (after := task.reap(jitter, now))]
        reaped = []
        for task, after in over[:limit]:
            self._put(after)
            timed_out = after.failures > task.failures
            ended = Ended.TIMED_OUT if timed_out else Ended.STALE
            lease_key = LeaseKey(task.task_id, task.attempt)
            reaped.append(
                Reaped(lease_key, task.agent_id, after.status, ended, _retry_in_s(after, now) if timed_out else 0)
            )
        return reaped

    async def losses(self, lease_keys: Collection[LeaseKey]) -> Mapping[LeaseKey, LeaseLoss]:
        """See LeaseStore."""
        return {lease_key: self._loss(lease_key) for lease_key in lease_keys}

    async def held(self, lease_key: LeaseKey) -> Task:
        """See LeaseStore."""
        task = self.tasks.get(lease_key.task_id)
        if task is None or task.attempt != lease_key.attempt or task.status not in LIVE:
            raise lease_lost(lease_key.task_id, lease_key.attempt)
        return task

    # ------------------------------------------------------------------ inside
    def _put(self, task: Task) -> Task:
        self.tasks[task.task_id] = task
        return task

    def _held(self, lease_key: LeaseKey, agent_id: str) -> bool:
        task = self.tasks.get(lease_key.task_id)
        return (
            task is not None and (task.attempt, task.agent_id) == (lease_key.attempt, agent_id) and task.status in LIVE
        )

    def _write(self, report: Report) -> None:
        now, task = self.clock(), self.tasks[report.lease_key.task_id]
        progress = None if report.fraction is None else Progress(report.fraction, report.message, now)
        after = self._put(task.report(progress, report.checkpoint, len(report.lines), now))
        lines = self.written.setdefault(task.task_id, [])
        lines += [
            LogLine(sequence, now, text, task.attempt)
            for sequence, text in enumerate(report.lines, start=task.log_sequence + 1)
        ]
        self.written[task.task_id] = [line for line in lines if line.sequence > after.log_sequence - MAX_LOG_LINES]

    def _settle(self, outcome: Outcome) -> Settled | None:
        now, lease_key = self.clock(), outcome.lease_key
        task = self.tasks.get(lease_key.task_id)
        if task is None:
            return None
        if not self._held(lease_key, outcome.agent_id):
            mine = task.agent_id == outcome.agent_id or task.attempt > lease_key.attempt
            again = task.settled_attempt == lease_key.attempt and mine
            return Settled(lease_key, task.status, fresh=False) if again else None
        if outcome.result is not None:
            return Settled(lease_key, self._put(task.complete(outcome.result, now)).status)
        assert outcome.failure is not None  # noqa: S101 # an outcome is one or the other
        after = self._put(task.fail(outcome.failure, outcome.jitter, now))
        return Settled(lease_key, after.status, retry_in_s=_retry_in_s(after, now))

    def _loss(self, lease_key: LeaseKey) -> LeaseLoss:
        task = self.tasks.get(lease_key.task_id)
        if task is None:
            return LeaseLoss(Ended.STALE)
        if task.status is Status.CANCELLED and task.attempt == lease_key.attempt:
            return LeaseLoss(Ended.CANCELLED, task.cancel_reason)
        failure = task.failure
        timed_out = failure is not None and failure.reason == "TIMED_OUT" and failure.attempt == lease_key.attempt
        return LeaseLoss(Ended.TIMED_OUT if timed_out else Ended.STALE, task.cancel_reason)


def _retry_in_s(task: Task, now: datetime) -> float:
    return 0.0 if task.status in FINISHED else (task.ready_at - now).total_seconds()
