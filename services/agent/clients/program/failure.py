"""What the end of a program means for its task."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from automesh.core.errors import AutomationError
from automesh.sdk import PermanentError, RetryableError
from services.agent.clients.program.guard import CANNOT_START, SIGNAL_BASE
from services.agent.domain.program import Done, End, Failed

MAX_LAST_WORDS = 1000


def outcome(end: End) -> Mapping[str, Any]:
    """The result. Raises RetryableError or PermanentError as the program's last word says."""
    if isinstance(end, Done):
        return end.result
    if isinstance(end, Failed):
        raise (RetryableError if end.retryable else PermanentError)(end.reason, end.message)
    raise RetryableError("PROGRAM_STOPPED", "the program was told to stop by somebody else than the agent")


def death(name: str, code: int, complaints: Sequence[str]) -> AutomationError:
    """Of a program without a last word: `code` is the exit status of its guard, `complaints` its last lines."""
    last_words = "\n".join(complaints)[-MAX_LAST_WORDS:] or "it gave no reason"
    if code == CANNOT_START:
        return PermanentError("PROGRAM_NOT_STARTED", f"{name} cannot be started: {last_words}")
    return RetryableError("PROGRAM_DIED", f"{name} {_ending(code)}: {last_words}", exitCode=code)


def _ending(code: int) -> str:
    if code <= SIGNAL_BASE:
        return f"ended with exit code {code} and without a result"
    try:
        name = signal.Signals(code - SIGNAL_BASE).name
    except ValueError:
        return f"ended with exit code {code} and without a result"
    return f"was ended by {name}" + (" (is the machine out of memory?)" if name == "SIGKILL" else "")
