"""Keeps leases alive and reports flowing: two writes every so often, whatever the number of agents."""

from __future__ import annotations

import asyncio

from services.orchestrator.domain.desk import WorkDesk
from services.orchestrator.domain.reports import Reports


class Keeper:
    """Extends the leases of agents heard of, every `every_s` seconds."""

    def __init__(self, desk: WorkDesk, *, every_s: float) -> None:
        self._desk = desk
        self._every_s = every_s

    async def step(self) -> None:
        """Waits, then extends."""
        await asyncio.sleep(self._every_s)
        await self._desk.extend_leases()


class Reporter:
    """Writes what agents report, gathered for `gather_s` seconds."""

    def __init__(self, desk: WorkDesk, reports: Reports, *, gather_s: float = 0.1) -> None:
        self._desk = desk
        self._reports = reports
        self._gather_s = gather_s

    async def step(self) -> None:
        """Waits for a report, and a little for more, then writes."""
        await self._reports.filled.wait()
        await asyncio.sleep(self._gather_s)
        await self._desk.flush_reports()
