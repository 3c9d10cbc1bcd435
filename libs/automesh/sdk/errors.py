"""How a handler says why it failed, and what the orchestrator is told of an exception."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from automesh.core.errors import AutomationError, Kind

_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,62}")

# Kinds that the same attempt would run into again; every other kind may pass by itself.
_PERMANENT = frozenset(
    {
        Kind.INVALID,
        Kind.FORBIDDEN,
        Kind.NOT_FOUND,
        Kind.CONFLICT,
        Kind.PRECONDITION,
        Kind.UNIMPLEMENTED,
    }
)


class _HandlerError(AutomationError):
    """An error whose reason is chosen by the handler that raises it."""

    def __init__(self, reason: str, message: str, *, retry_after: timedelta | None = None, **metadata: object) -> None:
        if not _REASON.fullmatch(reason):
            raise ValueError(f"reason {reason!r} is not UPPER_SNAKE of at most 63 characters, such as MODULE_NOT_FOUND")
        super().__init__(message, retry_after=retry_after, **metadata)
        self.reason = reason  # type: ignore[misc]  # per instance here: the handler's own word


class PermanentError(_HandlerError):
    """The task failed and trying again cannot help. It is not retried."""

    kind = Kind.PRECONDITION


class RetryableError(_HandlerError):
    """This attempt failed; a later one may work. It is retried as the task's retry policy says."""

    kind = Kind.UNAVAILABLE


class ConfigurationError(AutomationError):
    """The program was started with settings that cannot work; the message says which and how to mend them."""

    kind = Kind.INVALID
    reason = "CONFIGURATION"


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an attempt failed, as it is told to the orchestrator."""

    reason: str
    message: str
    retryable: bool


def failed(error: BaseException, task_type: str) -> Failed:
    """What to tell of an exception. The text of an unforeseen one stays in the agent's log: it may hold secrets."""
    if isinstance(error, AutomationError):
        return Failed(error.reason, error.message, error.kind not in _PERMANENT)
    message = f"the handler of {task_type} raised {type(error).__name__}; the log of the agent has the details"
    return Failed("HANDLER_ERROR", message, retryable=True)
