"""What agents say while they work, gathered so that many reports become one write. Bounded: who is too fast waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from automesh.core.errors import AutomationError
from services.orchestrator.domain.lease import LeaseKey, Report
from services.orchestrator.domain.ports import MAX_LOG_LINES, LeaseStore

MAX_TASKS = 2_000
MAX_LINES = 20_000


class Reports:
    """A buffer in front of the lease store. `flush` writes it, and keeps what the database was not there to take."""

    def __init__(self, leases: LeaseStore) -> None:
        self._leases = leases
        self._waiting: dict[LeaseKey, Report] = {}
        self._on_their_way: frozenset[LeaseKey] = frozenset()
        self._lines = 0
        self._writing = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self.filled = asyncio.Event()

    async def add(self, report: Report) -> None:
        """Takes a report in; waits while the buffer is full."""
        while not self._has_room():
            self._room.clear()
            await self._room.wait()
        self._merge(report)
        self.filled.set()

    def holds(self, lease_key: LeaseKey) -> bool:
        """Whether something about this lease waits to be written, or is being written at this moment."""
        return lease_key in self._waiting or lease_key in self._on_their_way

    def waiting(self) -> list[LeaseKey]:
        """The leases about which something waits to be written."""
        return list(self._waiting)

    async def flush(self) -> set[LeaseKey]:
        """Writes all that waits; returns the leases that turned out to be lost. Raises Unavailable."""
        async with self._writing:
            batch = list(self._waiting.values())
            self._clear()
            if not batch:
                return set()
            self._on_their_way = frozenset(report.lease_key for report in batch)
            try:
                good = await self._leases.report(batch)
            except (AutomationError, asyncio.CancelledError):
                self._put_back(batch)
                raise  # anything else is a fault in the batch itself, which would stand in the way for ever
            finally:
                self._on_their_way = frozenset()
        return {report.lease_key for report in batch} - good

    def _has_room(self) -> bool:
        return len(self._waiting) < MAX_TASKS and self._lines < MAX_LINES

    def _merge(self, report: Report) -> None:
        earlier = self._waiting.get(report.lease_key)
        merged = report if earlier is None else _merged(earlier, report)
        self._lines += len(merged.lines) - (len(earlier.lines) if earlier else 0)
        self._waiting[report.lease_key] = merged

    def _clear(self) -> None:
        self._waiting = {}
        self._lines = 0
        self.filled.clear()
        self._room.set()

    def _put_back(self, batch: Sequence[Report]) -> None:
        newer = list(self._waiting.values())
        self._clear()
        for report in (*batch, *newer):
            self._merge(report)
        self.filled.set()


def _merged(earlier: Report, later: Report) -> Report:
    lines = (earlier.lines + later.lines)[-MAX_LOG_LINES:]
    checkpoint = earlier.checkpoint if later.checkpoint is None else later.checkpoint
    if later.fraction is None:
        return replace(earlier, lines=lines, checkpoint=checkpoint)
    return replace(later, lines=lines, checkpoint=checkpoint)
