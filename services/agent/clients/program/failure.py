"""What it means for a task that its program ended without a last word."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from automesh.core.errors import AutomationError
from automesh.sdk import PermanentError, RetryableError
from services.agent.clients.program.guard import CANNOT_START, SIGNAL_BASE

MAX_LAST_WORDS = 1000


def death(name: str, code: int, complaints: Sequence[str]) -> AutomationError:
    """`code` is the exit status of its guard, `complaints` are the last lines that it wrote."""
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
