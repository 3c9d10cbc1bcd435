"""The loops on fakes: leasing, reaping, housekeeping."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from automesh.core.errors import Unavailable
from services.orchestrator.clients.meters import PrometheusMeter
from services.orchestrator.domain.agents import Agent, Capability, NewAgent, Owner
from services.orchestrator.domain.desk import WorkDesk
from services.orchestrator.domain.events import Acked, Lost
from services.orchestrator.domain.lease import Ended, LeaseKey, LeaseLoss, LeaseRequest, LeaseTokens, Reaped
from services.orchestrator.domain.reports import Reports
from services.orchestrator.domain.sessions import Session, Sessions
from services.orchestrator.domain.signals import Signal, Signals, Topic
from services.orchestrator.domain.spec import NewTask
from services.orchestrator.domain.task import Draft, Status, Task
from services.orchestrator.fakes.task_store import FakeTaskStore
from services.orchestrator.loops.dispatcher import FARTHEST_ALARM_S, MAX_ALARMS, Dispatcher
from services.orchestrator.loops.housekeeping import CLEAN_EVERY, ROUNDS, Housekeeping
from services.orchestrator.loops.reaper import Reaper

SECOND = timedelta(seconds=1)


class House:
    """The task engine on a fake store."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.monotonic = 0.0
        self.store = FakeTaskStore(lambda: self.now, types={("", "noop")})
        self.registry = CollectorRegistry()
        self.meter = PrometheusMeter(self.registry)
        self.signals, self.sessions = Signals(), Sessions()
        self.heard: list[Signal] = []
        self.signals.listen(self.heard.append)
        none: Any = None  # no test here registers an agent
        self.desk = WorkDesk(
            none,
            self.store,
            sessions=self.sessions,
            reports=Reports(self.store),
            signals=self.signals,
            tokens=LeaseTokens({"k": b"k" * 32}.get, "k"),
            meter=self.meter,
            make_id=str,
            monotonic=lambda: self.monotonic,
        )
        self.dispatcher = Dispatcher(self.sessions, self.store, self.desk, floor_s=60)
        self.signals.listen(self.dispatcher.on_signal)

    async def create(self, task_id: str, **spec: Any) -> None:
        draft = Draft(task_id=task_id, tenant_id="acme", spec=NewTask(**{"type": "noop", **spec}))
        await self.store.create(draft, request_id="", queue_limit=99)

    def session(self, agent_id: str = "a", credits: int = 2) -> Session:
        spec = NewAgent(name="a", capabilities=(Capability("noop"),), slots=9)
        agent = Agent(agent_id=agent_id, owner=Owner("", "w"), spec=spec, last_seen_at=self.now)
        session = Session(agent, "s", lambda: self.monotonic)
        session.add_credit(credits)
        self.sessions.add(session)
        return session

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def house() -> House:
    return House()


# ---------------------------------------------------------------------- leasing
async def test_a_lease_goes_to_its_agents_stream_and_costs_a_credit(house: House) -> None:
    session = house.session(credits=2)
    await house.create("t1", priority=1)
    await house.create("t2", priority=9)
    house.now += SECOND
    assert not await house.dispatcher.lease()
    assert session.wants() == 0
    session.close()
    offered = [event.task.task_id async for event in session.events(1)]  # type: ignore[union-attr] # leases only
    assert offered == ["t2", "t1"]
    assert session.leases == {LeaseKey("t2", 1): False, LeaseKey("t1", 1): False}
    assert house.metric("automesh_task_lease_wait_seconds_count") == 2


async def test_work_for_an_agent_that_left_meanwhile_goes_back(house: House) -> None:
    session = house.session()
    await house.create("t1")
    leasing = house.store.lease

    async def lease(request: LeaseRequest, offer_for: timedelta) -> Sequence[Task]:
        tasks = await leasing(request, offer_for)
        house.sessions.remove(session)
        return tasks

    house.store.lease = lease  # type: ignore[method-assign] # leaves at the worst moment
    await house.dispatcher.lease()
    assert house.store.tasks["t1"].status is Status.SCHEDULED


async def test_a_signal_wakes_the_dispatcher_at_once_or_when_work_is_due(house: House) -> None:
    house.session()
    await house.create("t1")
    step = asyncio.create_task(house.dispatcher.step())
    await asyncio.sleep(0)
    house.signals.work_waits(0.01)
    await asyncio.wait_for(step, 5)
    assert house.store.tasks["t1"].status is Status.OFFERED
    house.signals.deliver(Signal(Topic.GAP))
    await asyncio.wait_for(house.dispatcher.step(), 5)


async def test_credits_alone_are_no_reason_to_ask_for_what_was_not_there(house: House) -> None:
    asked: list[LeaseRequest] = []
    leasing = house.store.lease

    async def lease(request: LeaseRequest, offer_for: timedelta) -> Sequence[Task]:
        asked.append(request)
        return await leasing(request, offer_for)

    house.store.lease = lease  # type: ignore[method-assign] # counts
    session = house.session()
    for _ in range(3):
        house.desk.credit(session, 1)
        await house.dispatcher.step()
    assert len(asked) == 1
    await house.create("t1")
    house.signals.work_waits()
    await house.dispatcher.step()
    assert len(asked) == 2
    assert house.store.tasks["t1"].status is Status.OFFERED


async def test_work_that_comes_while_the_dispatcher_asks_is_not_forgotten(house: House) -> None:
    leasing = house.store.lease

    async def lease(request: LeaseRequest, offer_for: timedelta) -> Sequence[Task]:
        tasks = await leasing(request, offer_for)
        if not house.store.tasks:
            await house.create("t1")
            house.signals.work_waits()
        return tasks

    house.store.lease = lease  # type: ignore[method-assign] # news at the worst moment
    session = house.session()
    house.desk.credit(session, 1)
    await house.dispatcher.step()
    await house.dispatcher.step()
    assert house.store.tasks["t1"].status is Status.OFFERED


async def test_alarms_are_bounded(house: House) -> None:
    house.signals.work_waits(FARTHEST_ALARM_S + 1)
    assert house.dispatcher._alarms == 0
    for _ in range(MAX_ALARMS + 1):
        house.signals.work_waits(30)
    assert house.dispatcher._alarms == MAX_ALARMS


# ---------------------------------------------------------------------- extending and losing
async def test_only_agents_heard_of_since_the_last_time_keep_their_leases(house: House) -> None:
    session = house.session()
    await house.create("t1")
    await house.dispatcher.lease()
    lease_key = LeaseKey("t1", 1)
    await house.desk.accepted(session, [house.desk._tokens.issue(lease_key)])
    seen: list[Collection[str]] = []

    class Agents:
        async def seen(self, agent_ids: Collection[str]) -> None:
            seen.append(agent_ids)

    house.desk._agents = Agents()  # type: ignore[assignment] # the part that is used
    house.monotonic = 0.5
    session.heard()
    house.monotonic, house.now = 1, house.now + SECOND
    await house.desk.extend_leases()
    assert house.store.tasks["t1"].lease_until == house.now + house.desk.terms.lease_ttl
    first = house.store.tasks["t1"].lease_until
    house.monotonic, house.now = 2, house.now + SECOND
    await house.desk.extend_leases()
    assert house.store.tasks["t1"].lease_until == first
    assert seen == [["a"]]
    house.monotonic = 99
    await house.desk.extend_leases()
    assert session.closed


async def test_reports_under_a_lost_lease_are_answered_with_the_reason(house: House) -> None:
    session = house.session()
    await house.create("t1")
    await house.dispatcher.lease()
    token = house.desk._tokens.issue(LeaseKey("t1", 1))
    await house.store.change("acme", "t1", lambda task, now: task.cancel("enough", now))
    from services.orchestrator.domain.lease import Report

    await house.desk.report(session, token, lambda lease_key: Report(lease_key, "a", fraction=0.5))
    await house.desk.flush_reports()
    assert session.leases == {}
    session.close()
    lost = [event async for event in session.events(1)][-1]
    assert lost == Lost(token, LeaseLoss(Ended.CANCELLED, "enough"))


async def test_a_made_up_token_is_stale_in_every_frame(house: House) -> None:
    from services.orchestrator.domain.lease import Outcome, Report

    session = house.session()
    await house.desk.accepted(session, [b"x"])
    await house.desk.report(session, b"x", lambda lease_key: Report(lease_key, "a"))
    await house.desk.done(session, [(b"x", lambda lease_key: Outcome(lease_key, "a"))])
    session.close()
    said = [event async for event in session.events(1)]
    lost = Lost(b"x", LeaseLoss(Ended.STALE))
    assert said == [lost, lost, Acked(b"x", stale=True)]


# ---------------------------------------------------------------------- reaping
class PartialLeaseStore:
    """Only `reap` of a lease store."""

    def __init__(self) -> None:
        self.away = False
        self.calls = 0

    async def reap(self, *, limit: int, jitter: float) -> Sequence[Reaped]:
        self.calls += 1
        if self.away:
            raise Unavailable("away")
        return []


async def test_the_reaper_gives_agents_time_after_its_start_and_after_an_outage(house: House) -> None:
    leases = PartialLeaseStore()
    reaper = Reaper(
        leases,  # type: ignore[arg-type] # the part that is used
        house.signals,
        house.meter,
        every_s=0,
        grace_s=15,
        monotonic=lambda: house.monotonic,
    )
    await reaper.step()
    assert leases.calls == 0
    house.monotonic = 15
    await reaper.step()
    assert leases.calls == 1
    leases.away = True
    with pytest.raises(Unavailable):
        await reaper.step()
    leases.away = False
    house.monotonic = 29
    await reaper.step()
    assert leases.calls == 2
    house.monotonic = 30
    await reaper.step()
    assert leases.calls == 3


async def test_the_reaper_tells_watchers_agents_and_dispatchers(house: House) -> None:
    session = house.session()
    await house.create("t1")
    await house.dispatcher.lease()
    house.now += timedelta(seconds=3)
    house.heard.clear()
    await Reaper(house.store, house.signals, house.meter, every_s=0, grace_s=0).reap()
    assert [signal.topic for signal in house.heard] == [Topic.TASK, Topic.LOST, Topic.WORK]
    assert session.leases == {}
    assert house.metric("automesh_task_transitions_total", status="scheduled") == 1


async def test_housekeeping_samples_often_and_cleans_up_at_times(house: House) -> None:
    done: list[str] = []

    class Agents:
        async def forget(self, unseen_for: timedelta) -> int:
            done.append("agents")
            return 0

    class Shelf:
        async def sweep(self) -> int:
            done.append("blobs")
            return 0

    agents: Any = Agents()
    shelf: Any = Shelf()
    await house.create("t1")
    keeping = Housekeeping(house.store, agents, shelf, house.meter, every_s=0)
    for _ in range(CLEAN_EVERY + 1):
        await keeping.step()
    assert done == ["agents", "blobs"] * 2
    assert house.metric("automesh_task_depth", status="scheduled") == 1


@pytest.mark.parametrize(("backlog", "asked"), [(3, 4), (10 * ROUNDS, ROUNDS)])
async def test_a_clean_up_goes_on_until_nothing_is_left_but_not_for_ever(
    house: House, backlog: int, asked: int
) -> None:
    class Agents:
        async def forget(self, unseen_for: timedelta) -> int:
            return 0

    class Shelf:
        left, asked = backlog, 0

        async def sweep(self) -> int:
            self.asked += 1
            self.left -= 1
            return int(self.left >= 0)

    agents: Any = Agents()
    shelf: Any = Shelf()
    await Housekeeping(house.store, agents, shelf, house.meter, every_s=0).clean_up()
    assert shelf.asked == asked
