"""Takes back leases that are over, by the database's clock. Any replica may; none needs to lead."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import structlog

from automesh.core.errors import AutomationError
from services.orchestrator.domain.lease import Reaped
from services.orchestrator.domain.ports import LeaseStore, Meter
from services.orchestrator.domain.retry import jitter_between
from services.orchestrator.domain.sessions import Monotonic
from services.orchestrator.domain.signals import Signal, Signals, Topic
from services.orchestrator.domain.task import FINISHED

log = structlog.get_logger(__name__)

BATCH = 500


class Reaper:
    """Waits `grace_s` after its start and after every failure of the database.

    Agents that could not reach us meanwhile are not dead: they get time to come back before their leases are taken.
    """

    def __init__(
        self,
        leases: LeaseStore,
        signals: Signals,
        meter: Meter,
        *,
        every_s: float,
        grace_s: float,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._leases = leases
        self._signals = signals
        self._meter = meter
        self._every_s = every_s
        self._grace_s = grace_s
        self._monotonic = monotonic
        self._not_before = monotonic() + grace_s

    async def step(self) -> None:
        """Waits, then reaps until nothing is left."""
        await asyncio.sleep(self._every_s)
        if self._monotonic() >= self._not_before:
            while len(await self.reap()) == BATCH:
                pass

    async def reap(self) -> Sequence[Reaped]:
        """One batch."""
        try:
            jitter = jitter_between(random.random())  # noqa: S311 # spreads load, is no secret
            reaped = await self._leases.reap(limit=BATCH, jitter=jitter)
        except AutomationError:
            self._not_before = self._monotonic() + self._grace_s
            raise
        for lease in reaped:
            self._tell(lease)
        return reaped

    def _tell(self, lease: Reaped) -> None:
        lease_key = lease.lease_key
        log.info(
            "lease taken back",
            task_id=lease_key.task_id,
            attempt=lease_key.attempt,
            agent_id=lease.agent_id,
            why=lease.ended,
        )
        self._meter.became(lease.status)
        self._signals.task_changed(lease_key.task_id)
        self._signals.emit(
            Signal(
                Topic.LOST,
                task_id=lease_key.task_id,
                agent_id=lease.agent_id,
                attempt=lease_key.attempt,
                reason=lease.ended,
            )
        )
        if lease.status not in FINISHED:
            self._signals.work_waits(lease.retry_in_s)
