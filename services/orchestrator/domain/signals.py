"""Hints that something changed, within this replica and to the others. A lost one costs time, never a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Topic(StrEnum):
    """What a signal is about."""

    WORK = "work"  # there is a task to lease, in `in_s` seconds
    CREDIT = "credit"  # an agent connected here can take more
    TASK = "task"  # a task changed: `task_id`
    LOST = "lost"  # an agent lost a lease: `agent_id`, `task_id`, `attempt`, `reason`, `text`
    ATTACHED = "attached"  # an agent opened a stream: `agent_id`, `text` is its session
    GAP = "gap"  # signals may have been missed


@dataclass(frozen=True, slots=True)
class Signal:
    """One hint; fields that its topic does not name are empty."""

    topic: Topic
    task_id: str = ""
    agent_id: str = ""
    attempt: int = 0
    reason: str = ""
    text: str = ""
    in_s: float = 0.0


Listener = Callable[[Signal], None]


class Relay(Protocol):
    """Carries signals to the other replicas, best effort."""

    def send(self, signal: Signal) -> None:
        """Never waits, never raises."""
        ...


class Signals:
    """Hands signals to the listeners of this replica at once, and to a relay for the others."""

    def __init__(self, relay: Relay | None = None) -> None:
        self._relay = relay
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """`listener` is called with every signal from now on; it must not wait or raise."""
        self._listeners.append(listener)

    def emit(self, signal: Signal) -> None:
        """Tells everybody."""
        self.deliver(signal)
        if self._relay is not None:
            self._relay.send(signal)

    def deliver(self, signal: Signal) -> None:
        """Tells this replica only: for what came from another one."""
        for listener in self._listeners:
            listener(signal)

    def task_changed(self, task_id: str) -> None:
        """Watchers should look."""
        self.emit(Signal(Topic.TASK, task_id=task_id))

    def work_waits(self, in_s: float = 0.0) -> None:
        """Dispatchers should look, now or in a while."""
        self.emit(Signal(Topic.WORK, in_s=in_s))
