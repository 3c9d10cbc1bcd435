"""Hints that a run changed, within this replica and to the others. A lost one costs time, never a point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

GAP = ""
"""In the place of a run's id: hints may have been missed, so everybody should look."""

Listener = Callable[[str], None]


class Relay(Protocol):
    """Carries hints to the other replicas, best effort."""

    def send(self, run_id: str) -> None:
        """Never waits, never raises."""
        ...


class RunSignals:
    """Hands hints to the listeners of this replica at once, and to a relay for the others."""

    def __init__(self, relay: Relay | None = None) -> None:
        self._relay = relay
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """`listener` is called with every run_id from now on; it must not wait or raise."""
        self._listeners.append(listener)

    def changed(self, run_id: str) -> None:
        """Tells everybody that the run should be looked at."""
        self.deliver(run_id)
        if self._relay is not None:
            self._relay.send(run_id)

    def deliver(self, run_id: str) -> None:
        """Tells this replica only: for what came from another one."""
        for listener in self._listeners:
            listener(run_id)
