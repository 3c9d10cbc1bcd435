"""Where agents report: registration, streams, and what they say about the leases they hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from automesh.core.errors import Unavailable
from services.orchestrator.domain.agents import Agent, NewAgent, Owner
from services.orchestrator.domain.errors import ReplicaStopping, unknown_lease
from services.orchestrator.domain.events import Acked, Attached, Goaway, Leased, Lost
from services.orchestrator.domain.lease import (
    Ended,
    Fate,
    Hold,
    LeaseTokens,
    Outcome,
    Report,
    Settled,
    Terms,
)
from services.orchestrator.domain.ports import AgentStore, LeaseBook, Meter
from services.orchestrator.domain.reports import Reports
from services.orchestrator.domain.sessions import Monotonic, Session, Sessions, superseded
from services.orchestrator.domain.signals import Signal, Signals, Topic
from services.orchestrator.domain.task import FINISHED, Status, Task

End = tuple[bytes, Callable[[Hold], Outcome]]
"""The token of a lease, and what to record once it is read."""


class WorkDesk:
    """The use cases of agents. One per replica: it knows the streams that are open here."""

    def __init__(
        self,
        agents: AgentStore,
        book: LeaseBook,
        *,
        sessions: Sessions,
        reports: Reports,
        signals: Signals,
        tokens: LeaseTokens,
        meter: Meter,
        make_id: Callable[[str], str],
        terms: Terms | None = None,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._agents = agents
        self._book = book
        self._sessions = sessions
        self._reports = reports
        self._signals = signals
        self._tokens = tokens
        self._meter = meter
        self._make_id = make_id
        self._monotonic = monotonic
        self._extended_at = monotonic()
        self.terms = terms or Terms()
        signals.listen(self._on_signal)

    # ------------------------------------------------------------------ agents
    async def register(self, agent_id: str, owner: Owner, spec: NewAgent) -> str:
        """Makes an agent known, or updates it; returns its id. Raises AgentNotFound for somebody else's id."""
        agent_id = agent_id or self._make_id("agent")
        await self._agents.register(agent_id, owner, spec)
        return agent_id

    async def list(self, tenant_id: str, *, limit: int, after: str | None) -> Sequence[Agent]:
        """The agents that may work for a tenant, by id; those of the platform alone for the empty tenant."""
        return await self._agents.list(tenant_id, limit=limit, after=after, fresh_for=self.terms.lease_ttl)

    async def attach(self, agent_id: str, owner: Owner, session_id: str, held: Sequence[bytes]) -> Session:
        """Opens a stream; leases among `held` that are still good stay with the agent."""
        if self._sessions.stopping:
            raise ReplicaStopping("this replica is stopping: reconnect, another one will answer")
        agent = await self._agents.attach(agent_id, owner, session_id)
        named = self._tokens.read_all(held)
        good = await self._book.accept([hold for hold in named.values() if hold], agent_id, self.terms.lease_ttl)
        session = Session(agent, session_id, self._monotonic)
        session.holds = dict.fromkeys(good, True)
        keep = tuple(token for token, hold in named.items() if hold in good)
        session.push(Attached(keep, tuple(token for token in named if token not in keep)))
        self._sessions.add(session)
        self._meter.agents(len(self._sessions))
        self._signals.emit(Signal(Topic.ATTACHED, agent_id=agent_id, text=session_id))
        self._tasks_changed(good)
        return session

    async def detach(self, session: Session) -> None:
        """The stream is gone; its leases live on until they run out or the agent comes back."""
        session.close()
        self._sessions.remove(session)
        self._meter.agents(len(self._sessions))
        await self._agents.detach(session.agent_id, session.session_id)

    def say_goodbye(self, after: timedelta) -> None:
        """Asks all agents to go elsewhere; they keep what they hold and get no more from here."""
        self._sessions.stopping = True
        for session in self._sessions.all():
            session.draining = True
            session.push(Goaway(after))

    # ------------------------------------------------------------------ what an agent says
    def credit(self, session: Session, count: int) -> None:
        """It can take so many more."""
        session.add_credit(count)
        self._signals.deliver(Signal(Topic.CREDIT))

    async def drain(self, session: Session) -> None:
        """It takes no more."""
        session.draining = True
        await self._agents.drain(session.agent_id, session.session_id)

    async def accepted(self, session: Session, tokens: Sequence[bytes]) -> None:
        """It has these leases and begins."""
        named = self._tokens.read_all(tokens)
        good = await self._book.accept(
            [hold for hold in named.values() if hold], session.agent_id, self.terms.lease_ttl
        )
        for hold in good:
            if not session.holds.get(hold, False):
                session.holds[hold] = True
                self._meter.became(Status.RUNNING)
                self._signals.task_changed(hold.task_id)
        lost = {token: hold for token, hold in named.items() if hold not in good}
        fates = await self._book.fates([hold for hold in lost.values() if hold]) if lost else {}
        for token, unknown in lost.items():
            await session.say(Lost(token, _fate(fates, unknown)))

    async def report(self, session: Session, token: bytes, report: Callable[[Hold], Report]) -> None:
        """It says how far it is, or what it wrote; becomes durable soon after."""
        hold = self._tokens.read(token)
        if hold is None:
            await session.say(Lost(token, Fate(Ended.STALE)))
            return
        await self._reports.add(report(hold))

    async def done(self, session: Session, ends: Sequence[End]) -> None:
        """Attempts ended. Acknowledged once recorded; repeating one is answered alike."""
        named = [(token, self._tokens.read(token), outcome) for token, outcome in ends]
        outcomes = [outcome(hold) for _, hold, outcome in named if hold]
        if any(self._reports.holds(outcome.hold) for outcome in outcomes):
            await self.flush_reports()  # what it said before comes before
        settled = {end.hold: end for end in await self._book.settle(outcomes)}
        for end in settled.values():
            session.holds.pop(end.hold, None)
            self._settled(end)
        for token, hold, _ in named:
            await session.say(Acked(token, stale=hold not in settled))

    # ------------------------------------------------------------------ what services ask
    async def describe(self, token: bytes) -> Task:
        """What a lease is for, told to a service that its agent turned to. Raises LeaseLost."""
        hold = self._tokens.read(token)
        if hold is None:
            raise unknown_lease()
        return await self._book.held(hold)

    # ------------------------------------------------------------------ for the loops
    def offered(self, task: Task, waited_s: float) -> bool:
        """Hands a lease to its agent's stream; False when the stream is gone."""
        session = self._sessions.of(task.agent_id)
        if session is None or not session.wants():
            return False
        hold = Hold(task.task_id, task.attempt)
        session.credits -= 1
        session.holds[hold] = False
        session.push(Leased(self._tokens.issue(hold), task))
        self._meter.leased(waited_s)
        return True

    async def flush_reports(self) -> None:
        """Writes what agents reported, and tells them of leases that turned out to be lost."""
        written = self._reports.waiting()
        lost = await self._reports.flush()
        await self.tell_lost(lost)
        for hold in written:
            if hold not in lost:
                self._signals.task_changed(hold.task_id)

    async def extend_leases(self) -> None:
        """Extends the leases of all agents heard of since the last time; cuts off the silent ones."""
        since, self._extended_at = self._extended_at, self._monotonic()
        sessions = self._sessions.all()
        alive = [session for session in sessions if session.heard_at >= since]
        holds = {hold: session.agent_id for session in alive for hold in session.running()}
        if holds:
            await self.tell_lost(holds.keys() - await self._book.extend(holds, self.terms.lease_ttl))
        if alive:
            await self._agents.seen([session.agent_id for session in alive])
        for session in sessions:
            if session.silent_s() > 2 * self.terms.lease_ttl.total_seconds():
                session.close(Unavailable(f"agent {session.agent_id} was silent for too long"))

    async def tell_lost(self, holds: Collection[Hold]) -> None:
        """Tells the agents connected here that these leases are over, and why."""
        held = {hold: session for session in self._sessions.all() for hold in session.holds if hold in holds}
        if not held:
            return
        fates = await self._book.fates(held)
        for hold, session in held.items():
            self._revoke(session, hold, _fate(fates, hold))

    # ------------------------------------------------------------------ inside
    def _on_signal(self, signal: Signal) -> None:
        session = self._sessions.of(signal.agent_id) if signal.agent_id else None
        if session is None:
            return
        if signal.topic is Topic.LOST:
            self._revoke(session, Hold(signal.task_id, signal.attempt), Fate(Ended(signal.reason), signal.text))
        elif signal.topic is Topic.ATTACHED and session.session_id != signal.text:
            session.close(superseded(signal.agent_id))

    def _revoke(self, session: Session, hold: Hold, fate: Fate) -> None:
        if session.holds.pop(hold, None) is not None:
            session.push(Lost(self._tokens.issue(hold), fate))

    def _settled(self, end: Settled) -> None:
        if not end.fresh:
            return
        self._meter.became(end.status)
        self._signals.task_changed(end.hold.task_id)
        if end.status not in FINISHED:
            self._signals.work_waits(end.retry_in_s)

    def _tasks_changed(self, holds: Collection[Hold]) -> None:
        for hold in holds:
            self._signals.task_changed(hold.task_id)


def _fate(fates: Mapping[Hold, Fate], hold: Hold | None) -> Fate:
    return fates.get(hold, Fate(Ended.STALE)) if hold else Fate(Ended.STALE)
