"""What a caller asks for; checked here, so that no invalid task exists."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from automesh.core.errors import ValidationError
from services.orchestrator.domain.document import Document
from services.orchestrator.domain.retry import RetryPolicy

LOWEST_PRIORITY, HIGHEST_PRIORITY, DEFAULT_PRIORITY = 0, 9, 5
DEFAULT_TIMEOUT = timedelta(hours=1)
MIN_TIMEOUT, MAX_TIMEOUT = timedelta(seconds=1), timedelta(days=7)
MAX_DESCRIPTION = 4096
MAX_AHEAD = timedelta(days=366)
_TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """The part of a task that a caller decides."""

    type: str
    description: str = ""
    input: Document = field(default_factory=Document)
    priority: int = DEFAULT_PRIORITY
    timeout: timedelta = DEFAULT_TIMEOUT
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    run_at: datetime | None = None

    def __post_init__(self) -> None:
        check_type(self.type, field="task.type")
        _check_text(self.description)
        if not LOWEST_PRIORITY <= self.priority <= HIGHEST_PRIORITY:
            raise ValidationError(
                f"priority {self.priority} is not between {LOWEST_PRIORITY} and {HIGHEST_PRIORITY}",
                field="task.priority",
                priority=self.priority,
            )
        if not MIN_TIMEOUT <= self.timeout <= MAX_TIMEOUT:
            raise ValidationError(
                f"timeout {self.timeout.total_seconds():g} s is not between 1 s and 7 days", field="task.timeout"
            )


def check_type(task_type: str, *, field: str) -> None:
    """Raises ValidationError unless `task_type` has the shape of a type."""
    if not task_type:
        raise ValidationError("a task needs a type, for example 'test_generation'", field=field)
    if not _TYPE.fullmatch(task_type):
        raise ValidationError(
            f"type {task_type[:80]!r} is not a lower-case letter followed by at most 63 of a-z 0-9 _ . -", field=field
        )


def check_run_at(run_at: datetime | None, now: datetime) -> None:
    """Raises ValidationError for a start more than a year ahead: most likely a wrong unit."""
    if run_at is not None and run_at > now + MAX_AHEAD:
        raise ValidationError(f"run_at {run_at.isoformat()} is more than a year ahead", field="task.run_at")


def check_request_id(request_id: str) -> None:
    """Raises ValidationError unless it is empty or 1 to 128 printable ASCII characters."""
    if request_id and not _REQUEST_ID.fullmatch(request_id):
        raise ValidationError(
            "request_id is not 1 to 128 printable ASCII characters without spaces", field="request_id"
        )


def _check_text(description: str) -> None:
    if len(description) > MAX_DESCRIPTION:
        raise ValidationError(
            f"description has {len(description)} characters, more than {MAX_DESCRIPTION}",
            field="task.description",
            characters=len(description),
        )
    if "\x00" in description:
        raise ValidationError("description contains a NUL character", field="task.description")
