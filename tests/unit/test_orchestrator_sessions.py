"""Streams of agents: credits, what is to be said, and what ends them."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import Unavailable, ValidationError
from services.orchestrator.domain.agents import Agent, Capability, NewAgent, Owner
from services.orchestrator.domain.errors import ReplicaStopping
from services.orchestrator.domain.events import Acked, Beat, Goaway
from services.orchestrator.domain.lease import LeaseKey, LeaseRequest
from services.orchestrator.domain.sessions import OUTBOX, Session, Sessions

GOAWAY = Goaway(timedelta(seconds=1))


@dataclass
class Time:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def agent(agent_id: str = "agent_a", *, slots: int = 4, types: tuple[str, ...] = ("noop",), tenant: str = "") -> Agent:
    spec = NewAgent(name="a", capabilities=tuple(Capability(one) for one in types), slots=slots)
    return Agent(agent_id=agent_id, owner=Owner(tenant, "w"), spec=spec, last_seen_at=datetime.now(UTC))


def session(made: Agent | None = None, time: Time | None = None) -> Session:
    return Session(made or agent(), "s1", time or Time())


async def said(one: Session) -> list[object]:
    return [event async for event in one.events(10)]


def test_credits_add_up_to_the_slots() -> None:
    one = session()
    one.add_credit(3)
    one.add_credit(3)
    assert one.wants() == 4


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_an_odd_credit_is_refused(count: int) -> None:
    with pytest.raises(ValidationError):
        session().add_credit(count)


def test_a_draining_or_closed_session_wants_nothing() -> None:
    draining, closed = session(), session()
    for one in (draining, closed):
        one.add_credit(1)
    draining.draining = True
    closed.close()
    assert (draining.wants(), closed.wants()) == (0, 0)


async def test_what_was_said_before_a_clean_end_is_still_heard() -> None:
    one = session()
    one.push(GOAWAY)
    await one.say(Acked(b"t", stale=False))
    one.close()
    one.push(GOAWAY)  # too late
    assert await said(one) == [GOAWAY, Acked(b"t", stale=False)]


async def test_an_error_ends_a_stream_at_once() -> None:
    one = session()
    one.push(GOAWAY)
    one.close(Unavailable("gone"))
    one.close(Unavailable("again"))
    with pytest.raises(Unavailable, match="gone"):
        await said(one)


async def test_silence_is_filled_with_beats() -> None:
    one = session()
    events = one.events(0.01)
    assert [await anext(events), await anext(events)] == [Beat(), Beat()]
    await events.aclose()


async def test_an_agent_that_does_not_read_is_cut_off() -> None:
    one = session()
    for _ in range(OUTBOX + 1):
        one.push(GOAWAY)
    assert one.closed
    with pytest.raises(Unavailable, match="does not read"):
        await said(one)


async def test_saying_waits_for_a_slow_reader() -> None:
    one = session()
    for _ in range(OUTBOX):
        one.push(GOAWAY)
    saying = asyncio.create_task(one.say(GOAWAY))
    events = one.events(10)
    assert not saying.done()
    assert await anext(events) == GOAWAY
    await asyncio.wait_for(saying, 5)
    await events.aclose()


async def test_a_full_stream_can_still_end_cleanly() -> None:
    one = session()
    for _ in range(OUTBOX):
        one.push(GOAWAY)
    one.close()
    assert len(await said(one)) == OUTBOX - 1


def test_a_newer_session_takes_the_place_of_the_older() -> None:
    sessions, old, new = Sessions(), session(), session()
    sessions.add(old)
    sessions.add(new)
    assert (old.closed, new.closed, sessions.of("agent_a")) == (True, False, new)
    sessions.remove(old)
    assert sessions.of("agent_a") is new
    assert len(sessions) == 1


def test_a_replica_takes_no_more_agents_than_it_can() -> None:
    sessions = Sessions(limit=1)
    sessions.add(session())
    sessions.add(session())  # the same agent again
    with pytest.raises(Unavailable):
        sessions.add(session(agent("agent_b")))


async def test_a_stopping_replica_takes_none() -> None:
    sessions = Sessions()
    await asyncio.wait_for(sessions.gone(), 1)
    sessions.stopping = True
    with pytest.raises(ReplicaStopping):
        sessions.add(session())


def test_agents_that_can_do_the_same_take_turns() -> None:
    sessions = Sessions()
    for name, count in (("agent_a", 3), ("agent_b", 1)):
        one = session(agent(name))
        one.add_credit(count)
        sessions.add(one)
    assert sessions.requests(heard_within_s=5, limit=9) == [
        LeaseRequest(("noop",), "", ("agent_a", "agent_b", "agent_a", "agent_a"))
    ]
    assert sessions.requests(heard_within_s=5, limit=2) == [LeaseRequest(("noop",), "", ("agent_a", "agent_b"))]


def test_agents_that_differ_ask_apart() -> None:
    sessions = Sessions()
    for made in (agent("a1"), agent("a2", types=("other", "noop")), agent("a3", tenant="acme")):
        one = session(made)
        one.add_credit(1)
        sessions.add(one)
    requests = sessions.requests(heard_within_s=5, limit=9)
    assert [(request.types, request.tenant_id) for request in requests] == [
        (("noop",), ""),
        (("noop", "other"), ""),
        (("noop",), "acme"),
    ]


def test_a_silent_agent_asks_for_nothing() -> None:
    time, sessions = Time(), Sessions()
    one = session(time=time)
    one.add_credit(1)
    sessions.add(one)
    time.now = 6
    assert sessions.requests(heard_within_s=5, limit=9) == []
    one.heard()
    assert len(sessions.requests(heard_within_s=5, limit=9)) == 1


def test_only_accepted_leases_run() -> None:
    one = session()
    one.leases = {LeaseKey("t1", 1): True, LeaseKey("t2", 1): False}
    assert one.running() == [LeaseKey("t1", 1)]
