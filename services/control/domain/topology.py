"""The snapshot in force, and who wants to hear of the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from services.control.domain.instance import Instance
from services.control.domain.snapshot import Rejected, Snapshot, empty_snapshot


class Topology:
    """Holds the last good snapshot. Nothing but a newer good one ever replaces it."""

    def __init__(self, expected: Iterable[str], *, spiffe_id: Callable[[str], str]) -> None:
        self._snapshot = empty_snapshot(expected)
        self._spiffe_id = spiffe_id
        self._ready = asyncio.Event()
        self._listeners: set[asyncio.Event] = set()
        self.closed = False

    @property
    def snapshot(self) -> Snapshot:
        """The one in force; before anything is known, every expected service with no process."""
        return self._snapshot

    @property
    def ready(self) -> bool:
        """Whether the catalogue (or what was remembered of it) has been read at all."""
        return self._ready.is_set()

    def update(self, instances: Iterable[Instance]) -> tuple[Rejected, ...]:
        """Takes what the catalogue holds now; returns the instances that had to be left out."""
        fresh, rejected = self._snapshot.next(instances, spiffe_id=self._spiffe_id)
        news = fresh is not self._snapshot or not self.ready
        self._snapshot = fresh
        self._ready.set()
        if news:
            self._tell()
        return rejected

    def close(self) -> None:
        """Control stops: wakes every listener, so that it can end."""
        self.closed = True
        self._tell()

    def spiffe_id(self, service: str) -> str:
        """The id that a process of this service must prove."""
        return self._spiffe_id(service)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.set()

    @contextmanager
    def listening(self) -> Generator[asyncio.Event]:
        """An event that is set at every change (the listener clears it), for as long as the block runs."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)
