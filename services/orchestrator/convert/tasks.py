"""Messages of TaskService and the domain."""

from __future__ import annotations

from collections.abc import Iterable

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.mesh import times
from automesh.orchestrator.v1 import task_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2 as service_pb
from services.orchestrator.convert import values
from services.orchestrator.domain.ports import TaskQuery
from services.orchestrator.domain.retry import RetryPolicy
from services.orchestrator.domain.spec import DEFAULT_PRIORITY, DEFAULT_TIMEOUT, NewTask
from services.orchestrator.domain.task import Changes, Failure, LogLine, Progress, Status, Task
from services.orchestrator.domain.watching import TaskUpdate

EDITABLE = ("description", "priority", "input", "run_at")
_STATUS = {
    Status.SCHEDULED: pb.TASK_STATUS_SCHEDULED,
    Status.OFFERED: pb.TASK_STATUS_SCHEDULED,  # the agent has not begun
    Status.RUNNING: pb.TASK_STATUS_RUNNING,
    Status.COMPLETED: pb.TASK_STATUS_COMPLETED,
    Status.FAILED: pb.TASK_STATUS_FAILED,
    Status.CANCELLED: pb.TASK_STATUS_CANCELLED,
}
_PREFIX = "TASK_STATUS_"


def new_task(message: pb.Task) -> NewTask:
    """What a caller asks for; output-only fields are ignored."""
    return NewTask(
        type=message.type,
        description=message.description,
        input=values.document(message.input, field="task.input"),
        priority=_priority(message),
        timeout=times.span(message.timeout, field="task.timeout") if message.HasField("timeout") else DEFAULT_TIMEOUT,
        retry=_retry_policy(message.retry_policy),
        run_at=times.moment(message.run_at, field="task.run_at") if message.HasField("run_at") else None,
    )


def changes(message: pb.Task, mask: Iterable[str]) -> Changes:
    """The edits that a mask names; an empty mask names all that can be edited."""
    paths = set(mask) or set(EDITABLE)
    if unknown := sorted(paths - set(EDITABLE)):
        raise ValidationError(
            f"{', '.join(unknown)} cannot be changed; only {', '.join(EDITABLE)} can", field="update_mask"
        )
    found = Changes()
    if "description" in paths:
        found["description"] = message.description
    if "priority" in paths:
        found["priority"] = _priority(message)
    if "input" in paths:
        found["input"] = values.document(message.input, field="task.input")
    if "run_at" in paths:
        found["run_at"] = times.moment(message.run_at, field="task.run_at") if message.HasField("run_at") else None
    return found


def query(request: service_pb.ListTasksRequest) -> TaskQuery:
    """The page that is asked for. Raises ValidationError for unknown states and foreign tokens."""
    return TaskQuery(
        limit=paging.page_size(request.page_size),
        before=paging.decode_token(request.page_token, filters=_filters(request)),
        statuses=frozenset(status for name in request.status for status in _statuses(name)),
        types=frozenset(request.type),
    )


def page_token(last: Task, request: service_pb.ListTasksRequest) -> str:
    """Continues after `last` in the same list."""
    return paging.encode_token(last.task_id, filters=_filters(request))


def cursor(sequence: int, task_id: str) -> str:
    """Continues a watch after a line; good for this task only."""
    return paging.encode_token(str(sequence), filters=task_id)


def sequence(request: service_pb.WatchTaskRequest) -> int:
    """The last line a watcher has seen."""
    try:
        return max(0, int(paging.decode_token(request.cursor, filters=request.task_id) or "0"))
    except (ValueError, ValidationError) as error:
        raise _bad_cursor() from error


def task(task: Task) -> pb.Task:
    """The message of a task."""
    spec = task.spec
    return pb.Task(
        task_id=task.task_id,
        tenant_id=task.tenant_id,
        type=spec.type,
        description=spec.description,
        status=_STATUS[task.status],
        priority=spec.priority,
        input=values.struct(spec.input),
        result=values.struct(task.result) if task.result is not None else None,
        failure=_failure(task.failure) if task.failure else None,
        progress=_progress(task.progress) if task.progress else None,
        attempt=task.attempt,
        retry_policy=_retry_message(spec.retry),
        timeout=times.duration(spec.timeout),
        run_at=times.timestamp(spec.run_at),
        created_by=task.created_by,
        created_by_name=task.created_by_name,
        agent_id=task.agent_id,
        create_time=times.timestamp(task.created_at),
        update_time=times.timestamp(task.updated_at),
        start_time=times.timestamp(task.started_at),
        finish_time=times.timestamp(task.finished_at),
    )


def task_update(update: TaskUpdate) -> service_pb.WatchTaskResponse:
    """One message of a watch."""
    return service_pb.WatchTaskResponse(
        task=task(update.task),
        log_lines=[_line(line) for line in update.lines],
        cursor=cursor(update.sequence, update.task.task_id),
    )


def _priority(message: pb.Task) -> int:
    return message.priority if message.HasField("priority") else DEFAULT_PRIORITY


def _retry_policy(message: pb.RetryPolicy) -> RetryPolicy:
    plain = RetryPolicy()
    delay = plain.initial_delay
    if message.HasField("initial_delay"):
        delay = times.span(message.initial_delay, field="task.retry_policy.initial_delay")
    return RetryPolicy(
        max_retries=message.max_retries if message.HasField("max_retries") else plain.max_retries,
        initial_delay=delay,
        multiplier=message.multiplier or plain.multiplier,
    )


def _retry_message(policy: RetryPolicy) -> pb.RetryPolicy:
    return pb.RetryPolicy(
        max_retries=policy.max_retries,
        initial_delay=times.duration(policy.initial_delay),
        multiplier=policy.multiplier,
    )


def _failure(failure: Failure) -> pb.TaskFailure:
    return pb.TaskFailure(
        reason=failure.reason, message=failure.message, retryable=failure.retryable, attempt=failure.attempt
    )


def _progress(progress: Progress) -> pb.TaskProgress:
    return pb.TaskProgress(
        fraction=progress.fraction, message=progress.message, update_time=times.timestamp(progress.updated_at)
    )


def _line(line: LogLine) -> pb.LogLine:
    return pb.LogLine(
        sequence=line.sequence, time=times.timestamp(line.written_at), text=line.text, attempt=line.attempt
    )


def _statuses(name: str) -> frozenset[Status]:
    number = pb.TaskStatus.Value(_PREFIX + _short(name))
    return frozenset(status for status, shown in _STATUS.items() if shown == number)


def _short(name: str) -> str:
    short = name.upper().removeprefix(_PREFIX)
    known = [key.removeprefix(_PREFIX) for key in pb.TaskStatus.keys()[1:]]
    if short not in known:
        raise ValidationError(f"status {name[:40]!r} is not one of {', '.join(known)}", field="status")
    return short


def _filters(request: service_pb.ListTasksRequest) -> list[list[str]]:
    statuses = sorted({_short(name) for name in request.status})
    return [statuses, sorted(set(request.type))]


def _bad_cursor() -> ValidationError:
    return ValidationError(
        "cursor is not one that a watch of this task gave out: leave it empty to see all lines", field="cursor"
    )
