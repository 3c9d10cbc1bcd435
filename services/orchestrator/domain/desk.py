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
    LeaseKey,
    LeaseLoss,
    LeaseTokens,
    Outcome,
    Report,
    Settled,
    Terms,
)
from services.orchestrator.domain.ports import AgentStore, LeaseStore, Meter
from services.orchestrator.domain.reports import Reports
from services.orchestrator.domain.sessions import Monotonic, Session, Sessions, superseded
from services.orchestrator.domain.signals import Signal, Signals, Topic
from services.orchestrator.domain.task import FINISHED, Status, Task

End = tuple[bytes, Callable[[LeaseKey], Outcome]]
"""The token of a lease, and what to record once it is read."""


class WorkDesk:
    """The use cases of agents. One per replica: it knows the streams that are open here."""

    def __init__(
        self,
        agents: AgentStore,
        leases: LeaseStore,
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
        self._leases = leases
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
        good = await self._leases.accept(
            [lease_key for lease_key in named.values() if lease_key], agent_id, self.terms.lease_ttl
        )
        session = Session(agent, session_id, self._monotonic)
        session.leases = dict.fromkeys(good, True)
        keep = tuple(token for token, lease_key in named.items() if lease_key in good)
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
        good = await self._leases.accept(
            [lease_key for lease_key in named.values() if lease_key], session.agent_id, self.terms.lease_ttl
        )
        for lease_key in good:
            if not session.leases.get(lease_key, False):
                session.leases[lease_key] = True
                self._meter.became(Status.RUNNING)
                self._signals.task_changed(lease_key.task_id)
        lost = {token: lease_key for token, lease_key in named.items() if lease_key not in good}
        losses = await self._leases.losses([lease_key for lease_key in lost.values() if lease_key]) if lost else {}
        for token, unknown in lost.items():
            await session.say(Lost(token, _loss(losses, unknown)))

    async def report(self, session: Session, token: bytes, report: Callable[[LeaseKey], Report]) -> None:
        """It says how far it is, or what it wrote; becomes durable soon after."""
        lease_key = self._tokens.read(token)
        if lease_key is None:
            await session.say(Lost(token, LeaseLoss(Ended.STALE)))
            return
        await self._reports.add(report(lease_key))

    async def done(self, session: Session, ends: Sequence[End]) -> None:
        """Attempts ended. Acknowledged once recorded; repeating one is answered alike."""
        named = [(token, self._tokens.read(token), outcome) for token, outcome in ends]
        outcomes = [outcome(lease_key) for _, lease_key, outcome in named if lease_key]
        if any(self._reports.holds(outcome.lease_key) for outcome in outcomes):
            await self.flush_reports()  # what it said before comes before
        settled = {end.lease_key: end for end in await self._leases.settle(outcomes)}
        for end in settled.values():
            session.leases.pop(end.lease_key, None)
            self._settled(end)
        for token, lease_key, _ in named:
            await session.say(Acked(token, stale=lease_key not in settled))

    # ------------------------------------------------------------------ what services ask
    async def describe(self, token: bytes) -> Task:
        """What a lease is for, told to a service that its agent turned to. Raises LeaseLost."""
        lease_key = self._tokens.read(token)
        if lease_key is None:
            raise unknown_lease()
        return await self._leases.held(lease_key)

    # ------------------------------------------------------------------ for the loops
    def offered(self, task: Task, waited_s: float) -> bool:
        """Hands a lease to its agent's stream; False when the stream is gone."""
        session = self._sessions.of(task.agent_id)
        if session is None or not session.wants():
            return False
        lease_key = LeaseKey(task.task_id, task.attempt)
        session.credits -= 1
        session.leases[lease_key] = False
        session.push(Leased(self._tokens.issue(lease_key), task))
        self._meter.leased(waited_s)
        return True

    async def flush_reports(self) -> None:
        """Writes what agents reported, and tells them of leases that turned out to be lost."""
        written = self._reports.waiting()
        lost = await self._reports.flush()
        await self.tell_lost(lost)
        for lease_key in written:
            if lease_key not in lost:
                self._signals.task_changed(lease_key.task_id)

    async def extend_leases(self) -> None:
        """Extends the leases of all agents heard of since the last time; cuts off the silent ones."""
        since, self._extended_at = self._extended_at, self._monotonic()
        sessions = self._sessions.all()
        alive = [session for session in sessions if session.heard_at >= since]
        lease_keys = {lease_key: session.agent_id for session in alive for lease_key in session.running()}
        if lease_keys:
            await self.tell_lost(lease_keys.keys() - await self._leases.extend(lease_keys, self.terms.lease_ttl))
        if alive:
            await self._agents.seen([session.agent_id for session in alive])
        for session in sessions:
            if session.silent_s() > 2 * self.terms.lease_ttl.total_seconds():
                session.close(Unavailable(f"agent {session.agent_id} was silent for too long"))

    async def tell_lost(self, lease_keys: Collection[LeaseKey]) -> None:
        """Tells the agents connected here that these leases are over, and why."""
        held = {
            lease_key: session
            for session in self._sessions.all()
            for lease_key in session.leases
            if lease_key in lease_keys
        }
        if not held:
            return
        losses = await self._leases.losses(held)
        for lease_key, session in held.items():
            self._revoke(session, lease_key, _loss(losses, lease_key))

    # ------------------------------------------------------------------ inside
    def _on_signal(self, signal: Signal) -> None:
        session = self._sessions.of(signal.agent_id) if signal.agent_id else None
        if session is None:
            return
        if signal.topic is Topic.LOST:
            self._revoke(
                session, LeaseKey(signal.task_id, signal.attempt), LeaseLoss(Ended(signal.reason), signal.text)
            )
        elif signal.topic is Topic.ATTACHED and session.session_id != signal.text:
            session.close(superseded(signal.agent_id))

    def _revoke(self, session: Session, lease_key: LeaseKey, loss: LeaseLoss) -> None:
        if session.leases.pop(lease_key, None) is not None:
            session.push(Lost(self._tokens.issue(lease_key), loss))

    def _settled(self, end: Settled) -> None:
        if not end.fresh:
            return
        self._meter.became(end.status)
        self._signals.task_changed(end.lease_key.task_id)
        if end.status not in FINISHED:
            self._signals.work_waits(end.retry_in_s)

    def _tasks_changed(self, lease_keys: Collection[LeaseKey]) -> None:
        for lease_key in lease_keys:
            self._signals.task_changed(lease_key.task_id)


def _loss(losses: Mapping[LeaseKey, LeaseLoss], lease_key: LeaseKey | None) -> LeaseLoss:
    return losses.get(lease_key, LeaseLoss(Ended.STALE)) if lease_key else LeaseLoss(Ended.STALE)
