"""The agents connected to this replica: what they can take, what they hold, what is to be said to them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection
from itertools import zip_longest

from automesh.core.errors import AutomationError, Unavailable, ValidationError
from services.orchestrator.domain.agents import MAX_SLOTS, Agent
from services.orchestrator.domain.errors import ReplicaStopping
from services.orchestrator.domain.events import Beat, Event
from services.orchestrator.domain.lease import LeaseKey, LeaseRequest

OUTBOX = 2 * MAX_SLOTS + 64
"""Messages that wait for a slow agent; one that reads nothing at all is cut off."""
Monotonic = Callable[[], float]
"""Seconds that never go back."""


class Session:
    """One open stream of one agent."""

    def __init__(self, agent: Agent, session_id: str, monotonic: Monotonic) -> None:
        self.agent = agent
        self.session_id = session_id
        self.credits = 0
        self.draining = False
        self.leases: dict[LeaseKey, bool] = {}  # whether it was accepted
        self._monotonic = monotonic
        self.heard_at = monotonic()
        self._outbox: asyncio.Queue[Event | None] = asyncio.Queue(OUTBOX)
        self._error: AutomationError | None = None
        self.closed = False

    @property
    def agent_id(self) -> str:
        """The agent's id."""
        return self.agent.agent_id

    def heard(self) -> None:
        """Any frame is a sign of life."""
        self.heard_at = self._monotonic()

    def silent_s(self) -> float:
        """Seconds since the last frame."""
        return self._monotonic() - self.heard_at

    def add_credit(self, count: int) -> None:
        """The agent can take so many more; never more than its slots in all."""
        if not 1 <= count <= MAX_SLOTS:
            raise ValidationError(f"credit {count} is not between 1 and {MAX_SLOTS}", field="credit.count")
        self.credits = min(self.credits + count, self.agent.spec.slots)

    def wants(self) -> int:
        """How many tasks it can be given now."""
        return 0 if self.closed or self.draining else self.credits

    def running(self) -> list[LeaseKey]:
        """The leases it has accepted."""
        return [lease_key for lease_key, accepted in self.leases.items() if accepted]

    async def say(self, event: Event) -> None:
        """Says something; waits while the agent reads too slowly."""
        if not self.closed:
            await self._outbox.put(event)

    def push(self, event: Event) -> None:
        """Says something without waiting; an agent that does not read is cut off."""
        if self.closed:
            return
        try:
            self._outbox.put_nowait(event)
        except asyncio.QueueFull:
            self.close(Unavailable(f"agent {self.agent_id} does not read its stream"))

    def close(self, error: AutomationError | None = None) -> None:
        """Ends the stream, with what is still to be said, or at once with an error. Only the first call counts."""
        if self.closed:
            return
        self.closed = True
        self._error = error
        while error is not None and not self._outbox.empty():
            self._outbox.get_nowait()
        if self._outbox.full():
            self._outbox.get_nowait()
        self._outbox.put_nowait(None)

    async def events(self, beat_s: float) -> AsyncGenerator[Event, None]:
        """What is to be said, with a beat whenever nothing was for `beat_s` seconds. Raises what `close` was given."""
        while True:
            event = await self._next(beat_s)
            if event is None:
                break
            yield event
        if self._error is not None:
            raise self._error

    async def _next(self, beat_s: float) -> Event | None:
        try:
            async with asyncio.timeout(beat_s):
                return await self._outbox.get()
        except TimeoutError:
            return Beat()


class Sessions:
    """All open streams of this replica, at most one an agent."""

    def __init__(self, *, limit: int = 10_000) -> None:
        self._by_agent: dict[str, Session] = {}
        self._limit = limit
        self.stopping = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._by_agent)

    def all(self) -> list[Session]:
        """The sessions, as a list of its own."""
        return list(self._by_agent.values())

    def add(self, session: Session) -> None:
        """Adds a session; an older one of the same agent ends."""
        if self.stopping:
            raise ReplicaStopping("this replica is stopping: reconnect, another one will answer")
        old = self._by_agent.get(session.agent_id)
        if old is None and len(self._by_agent) >= self._limit:
            raise Unavailable(f"this replica serves {self._limit} agents already")
        if old is not None:
            old.close(superseded(session.agent_id))
        self._by_agent[session.agent_id] = session
        self._empty.clear()

    def remove(self, session: Session) -> None:
        """Removes a session, unless a newer one took its place."""
        if self._by_agent.get(session.agent_id) is session:
            del self._by_agent[session.agent_id]
        if not self._by_agent:
            self._empty.set()

    async def gone(self) -> None:
        """Until no stream is open."""
        await self._empty.wait()

    def of(self, agent_id: str) -> Session | None:
        """The open stream of an agent."""
        return self._by_agent.get(agent_id)

    def requests(self, *, heard_within_s: float, limit: int) -> list[LeaseRequest]:
        """What the agents want: one request for all that can do the same work, taking turns."""
        groups: dict[tuple[tuple[str, ...], str], list[Session]] = defaultdict(list)
        for session in self._by_agent.values():
            if session.wants() and session.silent_s() <= heard_within_s:
                groups[session.agent.spec.types, session.agent.owner.tenant_id].append(session)
        return [LeaseRequest(types, tenant_id, _in_turns(group, limit)) for (types, tenant_id), group in groups.items()]


def superseded(agent_id: str) -> Unavailable:
    """The error that ends a stream when its agent opens another one."""
    return Unavailable(f"agent {agent_id} has opened another stream")


def _in_turns(sessions: Collection[Session], limit: int) -> tuple[str, ...]:
    rows = ([session.agent_id] * session.wants() for session in sessions)
    turns = (agent_id for turn in zip_longest(*rows) for agent_id in turn if agent_id is not None)
    return tuple(agent_id for agent_id, _ in zip(turns, range(limit), strict=False))
