"""What a supervised process is: how it is started, when it is well, how it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from automesh.core.errors import AutomationError, Kind


class StackError(AutomationError):
    """The stack cannot start or cannot go on; the message says why and what to do."""

    kind = Kind.PRECONDITION
    reason = "STACK"


class State(StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"  # for what it needs
    STARTING = "starting"  # it runs, and is not well yet
    UP = "up"
    UNHEALTHY = "unhealthy"  # it was well, and does not answer now
    BACKOFF = "backoff"  # it died and will be started again
    FAILED = "failed"  # it cannot start as it is told, so it is left alone
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at a process found."""

    well: bool
    port: int = 0
    detail: str = ""


Check = Callable[[int], Awaitable[Health]]
"""Looks once at the process with that id; never raises, never takes longer than a second or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A long-running process. `argv` is run as it is; `automesh.local.plan` ties it to the supervisor's life."""

    name: str
    argv: Sequence[str]
    check: Check
    env: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    """Which programs must be well before this one starts."""
    uses: frozenset[str] = frozenset()
    """Which further programs it calls. It starts without waiting for them, and is stopped before they are."""
    prepare: Callable[[], None] | None = None
    """Called before each start, in a thread. May raise AutomationError: then it is not started again."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_limit_s: float = 12.0
    """After so long it is killed."""
    address: str = ""
    """For people: where it listens, when that is no TCP port."""
    essential: bool = True
    """Whether the stack counts as ready only with it."""
