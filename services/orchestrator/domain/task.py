"""What a task is and how it may change. Pure: no I/O, no clock, no protobuf.

    SCHEDULED -> OFFERED -> RUNNING -> COMPLETED | FAILED | CANCELLED
        ^-----------'          |
        '----------------------'  a retry, or a lease that was lost

OFFERED is SCHEDULED to the outside: an agent was sent the lease but has not said that it begins. `attempt` grows with
every offer and is the fencing epoch: what is said under an older one does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from services.orchestrator.domain.document import Document
from services.orchestrator.domain.errors import TaskAlreadyFinished, TaskNotScheduled
from services.orchestrator.domain.retry import MAX_CRASHES
from services.orchestrator.domain.spec import NewTask


class Status(StrEnum):
    """Where a task stands."""

    SCHEDULED = "SCHEDULED"
    OFFERED = "OFFERED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


WAITING = frozenset({Status.SCHEDULED, Status.OFFERED})
LIVE = frozenset({Status.OFFERED, Status.RUNNING})
FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

LEASE_LOST, POISON, TIMED_OUT = "LEASE_LOST", "POISON", "TIMED_OUT"
LEASE_LOST_TEXT = "the agent was not heard of for too long; the task was given back"
POISON_TEXT = "the agents working on it were lost too often: the task is likely what stops them"
TIMED_OUT_TEXT = "the attempt ran longer than the task's timeout"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed."""

    reason: str
    message: str
    retryable: bool
    attempt: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running task is: `fraction` from 0 to 1."""

    fraction: float
    message: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line an agent wrote; `sequence` counts up from 1 within a task."""

    sequence: int
    written_at: datetime
    text: str
    attempt: int


class Changes(TypedDict, total=False):
    """What a person may edit; absent means unchanged."""

    description: str
    priority: int
    input: Document
    run_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A task about to be stored."""

    task_id: str
    tenant_id: str
    spec: NewTask
    created_by: str = ""
    created_by_name: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A stored task. Every transition returns a new one; `revision` grows with each change that can be seen."""

    task_id: str
    tenant_id: str
    spec: NewTask
    status: Status
    created_at: datetime
    updated_at: datetime
    ready_at: datetime
    created_by: str = ""
    created_by_name: str = ""
    traceparent: str = ""
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    settled_attempt: int = 0
    agent_id: str = ""
    lease_until: datetime | None = None
    deadline_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Document | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    checkpoint: bytes = field(default=b"", repr=False)
    cancel_reason: str = ""
    revision: int = 0
    log_sequence: int = 0

    @classmethod
    def stored(cls, draft: Draft, now: datetime) -> Task:
        """The task as it is right after its creation."""
        run_at = draft.spec.run_at or now
        return cls(
            task_id=draft.task_id,
            tenant_id=draft.tenant_id,
            spec=draft.spec,
            status=Status.SCHEDULED,
            created_at=now,
            updated_at=now,
            ready_at=max(run_at, now),
            created_by=draft.created_by,
            created_by_name=draft.created_by_name,
            traceparent=draft.traceparent,
        )

    # ------------------------------------------------------------------ by people
    def edit(self, changes: Changes, now: datetime) -> Task:
        """Replaces what people may edit. An offer is taken back: the agent has the old text."""
        if self.status not in WAITING:
            raise TaskNotScheduled(
                f"task {self.task_id} is {self.status}; only a SCHEDULED task can be changed",
                taskId=self.task_id,
                status=self.status,
            )
        spec = replace(self.spec, **changes)
        moved = spec.run_at != self.spec.run_at
        ready_at = max(spec.run_at or now, now) if moved else self.ready_at
        return replace(self.withdraw(now), spec=spec, ready_at=ready_at, updated_at=now, revision=self.revision + 1)

    def cancel(self, reason: str, now: datetime) -> Task:
        """Stops the task at once; whoever holds the lease has lost it."""
        if self.status in FINISHED:
            raise TaskAlreadyFinished(
                f"task {self.task_id} is already {self.status}", taskId=self.task_id, status=self.status
            )
        return replace(self._over(Status.CANCELLED, now), finished_at=now, cancel_reason=reason)

    # ------------------------------------------------------------------ by the engine
    def offer(self, agent_id: str, offer_for: timedelta, now: datetime) -> Task:
        """Gives the task to an agent, which has `offer_for` to accept it."""
        return replace(
            self,
            status=Status.OFFERED,
            attempt=self.attempt + 1,
            agent_id=agent_id,
            lease_until=now + offer_for,
            progress=None,
            updated_at=now,
            revision=self.revision + 1,
        )

    def withdraw(self, now: datetime) -> Task:
        """Takes an offer back that was not accepted; costs no retry. A task without an offer stays as it is."""
        return self._over(Status.SCHEDULED, now) if self.status is Status.OFFERED else self

    def accept(self, lease_ttl: timedelta, now: datetime) -> Task:
        """The agent begins, or says again that it has begun."""
        if self.status is Status.RUNNING:
            return self.extend(lease_ttl, now)
        return replace(
            self,
            status=Status.RUNNING,
            started_at=now,
            deadline_at=now + self.spec.timeout,
            lease_until=now + lease_ttl,
            updated_at=now,
            revision=self.revision + 1,
        )

    def extend(self, lease_ttl: timedelta, now: datetime) -> Task:
        """The agent lives: the lease goes on."""
        return replace(self, lease_until=now + lease_ttl)

    def report(self, progress: Progress | None, checkpoint: bytes | None, lines: int, now: datetime) -> Task:
        """Takes in what a running agent says about its work; None leaves what there is."""
        return replace(
            self,
            progress=progress or self.progress,
            checkpoint=self.checkpoint if checkpoint is None else checkpoint,
            log_sequence=self.log_sequence + lines,
            updated_at=now,
            revision=self.revision + 1,
        )

    def complete(self, result: Document, now: datetime) -> Task:
        """The attempt worked."""
        over = self._over(Status.COMPLETED, now)
        return replace(over, finished_at=now, result=result, failure=None, settled_attempt=self.attempt)

    def fail(self, failure: Failure, jitter: float, now: datetime) -> Task:
        """The agent says that the attempt failed."""
        return replace(self._failed(failure, jitter, now), settled_attempt=self.attempt)

    def reap(self, jitter: float, now: datetime) -> Task | None:
        """What becomes of a lease that is over; None while it is good."""
        if self.deadline_at is not None and self.deadline_at < now:
            return self._failed(Failure(TIMED_OUT, TIMED_OUT_TEXT, True, self.attempt), jitter, now)
        if self.lease_until is None or self.lease_until >= now:
            return None
        return self.withdraw(now) if self.status is Status.OFFERED else self._crashed(now)

    def _failed(self, failure: Failure, jitter: float, now: datetime) -> Task:
        again = failure.retryable and self.failures < self.spec.retry.max_retries
        over = replace(
            self._over(Status.SCHEDULED if again else Status.FAILED, now), failure=failure, failures=self.failures + 1
        )
        if not again:
            return replace(over, finished_at=now)
        return replace(over, ready_at=now + self.spec.retry.delay(self.failures, jitter))

    def _crashed(self, now: datetime) -> Task:
        poison = self.crashes + 1 >= MAX_CRASHES
        failure = Failure(POISON, POISON_TEXT, False, self.attempt)
        if not poison:
            failure = Failure(LEASE_LOST, LEASE_LOST_TEXT, True, self.attempt)
        over = replace(
            self._over(Status.FAILED if poison else Status.SCHEDULED, now), failure=failure, crashes=self.crashes + 1
        )
        return replace(over, finished_at=now) if poison else replace(over, ready_at=now)

    def _over(self, status: Status, now: datetime) -> Task:
        return replace(
            self, status=status, lease_until=None, deadline_at=None, updated_at=now, revision=self.revision + 1
        )
