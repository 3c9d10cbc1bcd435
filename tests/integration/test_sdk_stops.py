"""What ends a handler before it ends by itself: cancel, revoke, drain, a lease that cannot be renewed."""

import asyncio
from collections.abc import Callable

from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import Agent, LeasedTask, TaskContext
from automesh.sdk.job import Handler, Result
from automesh.testing.agents import at_work
from automesh.testing.orchestrator import LIMIT_S, FakeOrchestrator


class Endless:
    """A handler that works until it is stopped, and remembers how that went."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.reason = ""

    async def __call__(self, task: LeasedTask, context: TaskContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert context.cancelled.is_set()
            self.reason = context.stop_reason
            self.stopped.set()

    async def ends(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.stopped.wait()


def agent_with(handler: Handler) -> Agent:
    agent = Agent(name="test-agent")

    @agent.task("work")
    async def work(task: LeasedTask, context: TaskContext) -> Result:
        return await handler(task, context)

    return agent


class Clock:
    """Elapsed seconds that a test can push forward, as if the process had been stopped meanwhile."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


async def test_cancel_stops_the_handler_tells_it_why_and_needs_no_answer() -> None:
    handler = Endless()
    async with FakeOrchestrator() as fake, at_work(agent_with(handler), fake) as worker:
        token = fake.lease("work")
        await fake.hears("accepted", token)
        fake.say(cancel=pb.Cancel(lease_token=token, reason="not needed any more"))
        fake.say(revoked=pb.Revoked(lease_token=token, reason="CANCELLED"))
        await handler.ends()
        await until(lambda: worker.running == 0)
        assert fake.of("done", token) == []

    assert handler.reason == "not needed any more"


async def test_a_handler_that_does_not_stop_is_let_go_after_the_grace_time() -> None:
    release = asyncio.Event()
    cancelled = 0

    async def stubborn(task: LeasedTask, context: TaskContext) -> None:
        nonlocal cancelled
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled += 1

    async with FakeOrchestrator() as fake, at_work(agent_with(stubborn), fake, stop_grace_s=0.05) as worker:
        token = fake.lease("work")
        await fake.hears("accepted", token)
        fake.say(cancel=pb.Cancel(lease_token=token))
        await until(lambda: cancelled == 2)  # once when it is asked to stop, once more when it is let go
        assert worker.running == 1  # its slot stays taken: it still uses the machine
        release.set()
        await until(lambda: worker.running == 0)


async def test_a_revoked_lease_stops_the_handler_and_nothing_is_said_about_it() -> None:
    handler = Endless()
    async with FakeOrchestrator() as fake, at_work(agent_with(handler), fake):
        token = fake.lease("work")
        await fake.hears("accepted", token)
        fake.say(revoked=pb.Revoked(lease_token=token, reason="STALE"))
        await handler.ends()
        assert handler.reason == "STALE"
        await fake.hears("accepted", fake.lease("work"))  # the slot is free again
        assert fake.of("done", token) == []


async def test_a_lease_that_cannot_be_renewed_is_given_up_before_it_runs_out() -> None:
    handler = Endless()
    async with FakeOrchestrator(lease_ttl_s=0.5, heartbeat_s=0.1) as fake, at_work(agent_with(handler), fake) as worker:
        token = fake.lease("work")
        await fake.hears("accepted", token)
        await fake.stop()
        await handler.ends()
        assert "no word from the orchestrator" in handler.reason
        fake.keeps = lambda token: False
        fake.answers_stale = True
        await fake.start()
        done = await fake.done(token)
        await until(lambda: worker.running == 0)

    assert fake.streams[-1].attach.held == []  # it does not claim what it gave up
    assert (done.failure.reason, done.failure.retryable) == ("LEASE_LOST", True)


async def test_beats_keep_a_lease_for_many_times_its_life() -> None:
    handler = Endless()
    async with FakeOrchestrator(lease_ttl_s=0.5, heartbeat_s=0.05) as fake, at_work(agent_with(handler), fake):
        token = fake.lease("work")
        await fake.hears("accepted", token)
        await fake.hears("heartbeat", times=len(fake.of("heartbeat")) + 30)
        assert not handler.stopped.is_set()


async def test_a_process_that_was_stopped_past_its_lease_stops_its_handlers_when_it_goes_on() -> None:
    handler, clock = Endless(), Clock()
    async with FakeOrchestrator(lease_ttl_s=10) as fake, at_work(agent_with(handler), fake, elapsed=clock):
        token = fake.lease("work")
        await fake.hears("accepted", token)
        clock.ahead = 60.0
        await handler.ends()

    assert "no word from the orchestrator for 6" in handler.reason


async def test_a_result_that_comes_too_late_is_told_all_the_same_and_the_stale_answer_accepted() -> None:
    clock, late = Clock(), asyncio.Event()

    async def finishes_late(task: LeasedTask, context: TaskContext) -> dict[str, bool]:
        try:
            await late.wait()
        except asyncio.CancelledError:
            return {"late": True}
        return {"late": False}

    async with FakeOrchestrator(lease_ttl_s=10) as fake:
        async with at_work(agent_with(finishes_late), fake, elapsed=clock) as worker:
            fake.answers_stale = True
            token = fake.lease("work")
            await fake.hears("accepted", token)
            clock.ahead = 60.0
            done = await fake.done(token)
            await until(lambda: worker.running == 0)

    assert dict(done.result) == {"late": True}


async def test_drain_finishes_what_is_held_takes_nothing_new_and_leaves() -> None:
    release = asyncio.Event()

    async def wait(task: LeasedTask, context: TaskContext) -> dict[str, str]:
        await release.wait()
        return {"ok": "yes"}

    stop = asyncio.Event()
    async with FakeOrchestrator() as fake:
        running = asyncio.create_task(agent_with(wait).run(fake.connection, stop=stop))
        token = fake.lease("work")
        await fake.hears("accepted", token)
        stop.set()
        await fake.hears("drain")
        fake.say(lease=pb.Lease(lease_token=b"late", task_id="task_x", type="work", attempt=1))
        await fake.hears("heartbeat", times=len(fake.of("heartbeat")) + 1)
        assert not running.done()
        release.set()
        async with asyncio.timeout(LIMIT_S):
            await running
        assert dict((await fake.done(token)).result) == {"ok": "yes"}
        assert fake.of("accepted", b"late") == []


async def test_drain_gives_up_after_its_grace_time_without_costing_the_task_a_retry() -> None:
    handler = Endless()
    async with FakeOrchestrator() as fake, at_work(agent_with(handler), fake, drain_grace_s=0.1) as worker:
        token = fake.lease("work")
        await fake.hears("accepted", token)
        worker.drain()
        await handler.ends()
        assert fake.of("done", token) == []


async def test_an_idle_agent_leaves_at_once_even_while_the_orchestrator_is_away() -> None:
    stop = asyncio.Event()
    async with FakeOrchestrator() as fake:
        running = asyncio.create_task(agent_with(Endless()).run(fake.connection, stop=stop))
        await fake.hears("credit")
        await fake.stop()
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await running
        await fake.start()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not fact():  # noqa: ASYNC110  # nothing tells of it; each turn lets the loop go on
            await asyncio.sleep(0)
