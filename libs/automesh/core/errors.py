"""The one error tree of automesh. Pure: the mapping to status codes lives in `automesh.mesh.errors`.

    AutomationError
    |-- ValidationError      the request is wrong in itself: mend it, then send it again
    |-- TaskError            something about a task
    |-- ModelError           something about a model
    |-- Unauthenticated, PermissionDenied
    |-- NotFound, AlreadyExists
    |-- Exhausted, Unavailable
    |-- InternalError        our fault, without its text
    `-- (services derive their own, e.g. TaskNotFound(TaskError))

A class carries `kind` (what can the caller do about it?) and `reason` (UPPER_SNAKE, stable, for programs).
An instance carries the message (for people) and metadata: every variable of the message, in lowerCamelCase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What a caller can do about an error; each kind maps to exactly one gRPC status code."""

    INVALID = "invalid"  # mend the request
    UNAUTHENTICATED = "unauthenticated"  # say who you are
    FORBIDDEN = "forbidden"  # ask for the permission
    NOT_FOUND = "not_found"  # it is not there, or not yours
    CONFLICT = "conflict"  # it exists already
    PRECONDITION = "precondition"  # do not retry: its state forbids it
    ABORTED = "aborted"  # read again, then retry
    EXHAUSTED = "exhausted"  # retry after a while
    UNAVAILABLE = "unavailable"  # retry
    DEADLINE = "deadline"  # it took too long
    CANCELLED = "cancelled"  # somebody stopped it
    UNIMPLEMENTED = "unimplemented"  # no such thing here
    INTERNAL = "internal"  # our fault


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request: its dotted path and what is wrong with it."""

    field: str
    description: str


class AutomationError(Exception):
    """Anything that goes wrong in a foreseen way."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    reason: ClassVar[str] = "INTERNAL"
    details: tuple[object, ...] = ()
    """Protobuf messages that travel with the error; set at the edge, by a servicer. What is too large stays behind."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}


class ValidationError(AutomationError):
    """A request that is wrong in itself, whatever the state of the world."""

    kind = Kind.INVALID
    reason = "VALIDATION"

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        violations: Iterable[FieldViolation] = (),
        **metadata: object,
    ) -> None:
        super().__init__(message, retry_after=None, **metadata)
        named = (FieldViolation(field, message),) if field else ()
        self.violations: tuple[FieldViolation, ...] = (*named, *violations)


class TaskError(AutomationError):
    """Something about a task."""

    kind = Kind.PRECONDITION
    reason = "TASK"


class ModelError(AutomationError):
    """Something about a model."""

    kind = Kind.PRECONDITION
    reason = "MODEL"


class Unauthenticated(AutomationError):
    """Nobody, or nobody we can believe."""

    kind = Kind.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(AutomationError):
    """Somebody, but without the right to do this."""

    kind = Kind.FORBIDDEN
    reason = "PERMISSION_DENIED"


class NotFound(AutomationError):
    """Not there, or not the caller's: the two look alike on purpose."""

    kind = Kind.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(AutomationError):
    """The name or key is taken by something else."""

    kind = Kind.CONFLICT
    reason = "ALREADY_EXISTS"


class Exhausted(AutomationError):
    """A bound is reached; `retry_after` says when to come again."""

    kind = Kind.EXHAUSTED
    reason = "EXHAUSTED"


class Unavailable(AutomationError):
    """Something we depend on is away for the moment: retrying is right."""

    kind = Kind.UNAVAILABLE
    reason = "UNAVAILABLE"


class InternalError(AutomationError):
    """Our fault. Carries no detail on purpose; the log has it."""
