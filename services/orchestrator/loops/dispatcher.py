"""Gives ready tasks to agents that want work: at once when something changes, else once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from services.orchestrator.domain.desk import WorkDesk
from services.orchestrator.domain.lease import LeaseKey
from services.orchestrator.domain.ports import LeaseStore
from services.orchestrator.domain.sessions import Sessions
from services.orchestrator.domain.signals import Signal, Topic
from services.orchestrator.domain.task import Task

log = structlog.get_logger(__name__)

BATCH = 200
"""Tasks of one statement."""
MAX_ALARMS = 1000
FARTHEST_ALARM_S = 60.0
"""What is due later, or does not find room, is found by looking once a second."""


class Dispatcher:
    """One loop per replica: a single leaser has no one to contend with but the other replicas."""

    def __init__(self, sessions: Sessions, leases: LeaseStore, desk: WorkDesk, *, floor_s: float = 1.0) -> None:
        self._sessions = sessions
        self._leases = leases
        self._desk = desk
        self._floor_s = floor_s
        self._wake = asyncio.Event()
        self._alarms = 0
        # Kinds of work of which nothing was left: until there is news, more credits are no reason to ask again.
        self._dry: set[tuple[tuple[str, ...], str]] = set()
        self._news = 0

    def on_signal(self, signal: Signal) -> None:
        """A listener of Signals."""
        if signal.topic is Topic.CREDIT:
            self._wake.set()
        elif signal.topic is Topic.GAP or (signal.topic is Topic.WORK and signal.in_s <= 0):
            self._look_again()
        elif signal.topic is Topic.WORK and signal.in_s <= FARTHEST_ALARM_S and self._alarms < MAX_ALARMS:
            self._alarms += 1
            asyncio.get_running_loop().call_later(signal.in_s, self._ring)

    async def step(self) -> None:
        """Waits for a reason to look, then leases until nothing more can be given."""
        try:
            async with asyncio.timeout(self._floor_s):
                await self._wake.wait()
        except TimeoutError:
            self._look_again()
        self._wake.clear()
        while await self.lease():
            pass

    async def lease(self) -> bool:
        """One round; whether another one may find more."""
        more = False
        heard_within_s = self._desk.terms.lease_ttl.total_seconds()
        for request in self._sessions.requests(heard_within_s=heard_within_s, limit=BATCH):
            if (request.types, request.tenant_id) in self._dry:
                continue
            news = self._news
            tasks = await self._leases.lease(request, self._desk.terms.offer_for)
            if len(tasks) < len(request.slots) and news == self._news:
                self._dry.add((request.types, request.tenant_id))
            more |= len(tasks) == BATCH
            await self._hand_out(tasks)
        return more

    async def _hand_out(self, tasks: Sequence[Task]) -> None:
        # Rows come back in any order; agents begin the most urgent first.
        ordered = sorted(tasks, key=lambda task: (-task.spec.priority, task.ready_at, task.task_id))
        homeless = [
            LeaseKey(task.task_id, task.attempt)
            for task in ordered
            if not self._desk.offered(task, (task.updated_at - task.ready_at).total_seconds())
        ]
        if homeless:
            log.info("agents left while work was on its way", tasks=len(homeless))
            await self._leases.withdraw(homeless)
            self._look_again()

    def _ring(self) -> None:
        self._alarms -= 1
        self._look_again()

    def _look_again(self) -> None:
        self._news += 1
        self._dry.clear()
        self._wake.set()
