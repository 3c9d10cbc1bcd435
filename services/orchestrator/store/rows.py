"""Rows of `task` and tasks, both ways. Input, result and checkpoint are sealed to their task."""

from __future__ import annotations

from datetime import timedelta

from automesh.storage.postgres import Record
from automesh.storage.sealing import Sealer, place
from services.orchestrator.domain.document import Document
from services.orchestrator.domain.retry import RetryPolicy
from services.orchestrator.domain.spec import NewTask
from services.orchestrator.domain.task import Draft, Failure, LogLine, Progress, Status, Task

INPUT, RESULT, CHECKPOINT = "input", "result", "checkpoint"


class TaskRows:
    """Seals on the way in, unseals on the way out."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, task_id: str, what: str, content: bytes) -> bytes:
        """A value that unseals only as this part of this task."""
        return self._sealer.seal(content, place("task", what, task_id))

    def unseal(self, task_id: str, what: str, sealed: bytes) -> bytes:
        """The value again."""
        return self._sealer.unseal(sealed, place("task", what, task_id))

    def task(self, row: Record) -> Task:
        """The task of a whole row."""
        task_id, result, checkpoint = row["task_id"], row["result"], row["checkpoint"]
        return Task(
            task_id=task_id,
            tenant_id=row["tenant_id"],
            spec=self._spec(row),
            status=Status(row["status"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            ready_at=row["ready_at"],
            created_by=row["created_by"],
            created_by_name=row["created_by_name"],
            traceparent=row["traceparent"],
            attempt=row["attempt"],
            failures=row["failures"],
            crashes=row["crashes"],
            settled_attempt=row["settled_attempt"],
            agent_id=row["agent_id"],
            lease_until=row["lease_until"],
            deadline_at=row["deadline_at"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            result=None if result is None else Document(self.unseal(task_id, RESULT, result)),
            failure=_failure(row),
            progress=_progress(row),
            checkpoint=b"" if checkpoint is None else self.unseal(task_id, CHECKPOINT, checkpoint),
            cancel_reason=row["cancel_reason"],
            revision=row["revision"],
            log_sequence=row["log_sequence"],
        )

    def created(self, draft: Draft) -> tuple[object, ...]:
        """The parameters of the INSERT, in its order."""
        spec = draft.spec
        return (
            draft.task_id,
            draft.tenant_id,
            spec.type,
            spec.description,
            spec.priority,
            self.seal(draft.task_id, INPUT, spec.input.json),
            spec.timeout.total_seconds(),
            spec.retry.max_retries,
            spec.retry.initial_delay.total_seconds(),
            spec.retry.multiplier,
            spec.run_at,
            draft.created_by,
            draft.created_by_name,
            draft.traceparent,
        )

    def _spec(self, row: Record) -> NewTask:
        return NewTask(
            type=row["type"],
            description=row["description"],
            input=Document(self.unseal(row["task_id"], INPUT, row["input"])),
            priority=row["priority"],
            timeout=timedelta(seconds=row["timeout_s"]),
            retry=RetryPolicy(
                max_retries=row["max_retries"],
                initial_delay=timedelta(seconds=row["retry_delay_s"]),
                multiplier=row["retry_multiplier"],
            ),
            run_at=row["run_at"],
        )


def line(row: Record) -> LogLine:
    """The log line of a row."""
    return LogLine(row["sequence"], row["written_at"], row["line"], row["attempt"])


def _failure(row: Record) -> Failure | None:
    if row["failure_reason"] is None:
        return None
    return Failure(row["failure_reason"], row["failure_message"], row["failure_retryable"], row["failure_attempt"])


def _progress(row: Record) -> Progress | None:
    if row["progress_fraction"] is None:
        return None
    return Progress(row["progress_fraction"], row["progress_message"], row["progress_at"])
