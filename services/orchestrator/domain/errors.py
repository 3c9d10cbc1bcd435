"""What can go wrong with tasks, leases, agents and artifacts.

TaskError
|-- TaskNotFound, TaskAlreadyFinished, TaskNotScheduled, TaskStillRunning
|-- QueueFull, RequestReused
`-- LeaseLost
ValidationError > UnknownTaskType, ArtifactTooLarge
NotFound > AgentNotFound, ArtifactNotFound
Exhausted > TooManyWatchers
Unavailable > ReplicaStopping
"""

from __future__ import annotations

from datetime import timedelta

from automesh.core.errors import Exhausted, Kind, NotFound, TaskError, Unavailable, ValidationError

QUEUE_RETRY_AFTER = timedelta(seconds=5)


class TaskNotFound(TaskError):
    """No such task, or one of another tenant: the two look alike on purpose."""

    kind = Kind.NOT_FOUND
    reason = "TASK_NOT_FOUND"


class TaskAlreadyFinished(TaskError):
    """The task is COMPLETED, FAILED or CANCELLED, and stays so."""

    reason = "TASK_ALREADY_FINISHED"


class TaskNotScheduled(TaskError):
    """Only a task that still waits can be edited."""

    reason = "TASK_NOT_SCHEDULED"


class TaskStillRunning(TaskError):
    """A running task cannot be deleted."""

    reason = "TASK_STILL_RUNNING"


class QueueFull(TaskError):
    """The tenant has as many waiting tasks as it may have."""

    kind = Kind.EXHAUSTED
    reason = "QUEUE_FULL"


class RequestReused(TaskError):
    """The request_id stands for another task already."""

    kind = Kind.CONFLICT
    reason = "REQUEST_ID_REUSED"


class LeaseLost(TaskError):
    """The lease went to somebody else, or is over: nothing said under it counts."""

    kind = Kind.ABORTED
    reason = "LEASE_LOST"


class UnknownTaskType(ValidationError):
    """No agent has ever offered to do this kind of work."""

    reason = "UNKNOWN_TASK_TYPE"


class AgentNotFound(NotFound):
    """No such agent, or one that belongs to another tenant or workload."""

    reason = "AGENT_NOT_FOUND"


class ArtifactNotFound(NotFound):
    """The task left no such file behind."""

    reason = "ARTIFACT_NOT_FOUND"


class ArtifactTooLarge(ValidationError):
    """The file is larger than this installation allows."""

    reason = "ARTIFACT_TOO_LARGE"


class TooManyWatchers(Exhausted):
    """This replica serves as many watch streams as it may."""

    reason = "TOO_MANY_WATCHERS"


class ReplicaStopping(Unavailable):
    """This replica goes away: call again, another one will answer."""

    reason = "REPLICA_STOPPING"


def task_not_found(task_id: str) -> TaskNotFound:
    """The error for a task that is not there, or not the caller's."""
    return TaskNotFound(f"there is no task {task_id!r}", taskId=task_id)


def lease_lost(task_id: str, attempt: int) -> LeaseLost:
    """The error for a lease that is over."""
    return LeaseLost(f"the lease of task {task_id} is over", taskId=task_id, attempt=attempt)


def unknown_lease() -> LeaseLost:
    """The error for a lease token that nobody here has issued."""
    return LeaseLost("this lease token is not one of ours")


def task_still_running(task_id: str) -> TaskStillRunning:
    """The error for deleting a task that runs."""
    return TaskStillRunning(f"task {task_id} is RUNNING: cancel it first", taskId=task_id)


def queue_full(waiting: int, limit: int) -> QueueFull:
    """The error for a tenant with `waiting` tasks in its queue."""
    return QueueFull(
        f"{waiting} tasks wait already, and no more than {limit} may: come back when some are done",
        retry_after=QUEUE_RETRY_AFTER,
        limit=limit,
    )


def request_reused(request_id: str) -> RequestReused:
    """The error for a request_id that came with another task before."""
    return RequestReused(f"request_id {request_id!r} was used for another task: use a new one", requestId=request_id)


def unknown_task_type(task_type: str) -> UnknownTaskType:
    """The error for a type that no agent of the caller's tenant or of the platform has registered."""
    return UnknownTaskType(
        f"no agent knows the task type {task_type!r}: GET /api/v1/agents shows the types there are",
        field="task.type",
        type=task_type,
    )
