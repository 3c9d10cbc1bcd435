"""The line breaks: the work goes on, and nothing that matters is lost."""

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration

from automesh.core.errors import Unavailable
from automesh.mesh.errors import Cancelled
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import Agent, LeasedTask, TaskContext
from automesh.testing.agents import at_work
from automesh.testing.orchestrator import AgentForgotten, FakeOrchestrator


class Gate:
    """An agent whose handler says what it has to say, then waits to be released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.agent = Agent(name="test-agent")
        self.stopped = False
        self.runs = 0
        self.agent.task("work")(self._work)

    async def _work(self, task: LeasedTask, context: TaskContext) -> dict[str, bool]:
        self.runs += 1
        context.progress(0.5, "half way")
        context.checkpoint(b"so far")
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return {"ok": True}


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.mark.parametrize("error", [Unavailable("replica died"), Cancelled("a proxy gave up")])
async def test_a_lost_stream_keeps_the_leases(gate: Gate, error: Exception) -> None:
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake):
        token = fake.lease("work")
        await fake.hears("progress", token)
        fake.cut(error)  # type: ignore[arg-type]
        await fake.until(lambda: len(fake.streams) == 2)
        assert fake.streams[1].attach.held == [token]
        assert fake.streams[1].attach.session_id != fake.streams[0].attach.session_id
        again = await fake.hears("progress", token, times=2)  # it may have been lost with the old stream
        assert again.checkpoint == b"so far"
        gate.release.set()
        assert dict((await fake.done(token)).result) == {"ok": True}

    assert (gate.runs, gate.stopped) == (1, False)
    assert [request.agent_id for request in fake.registered] == ["", "agent_1"]


async def test_an_orchestrator_that_dies_and_comes_back_is_found_again(gate: Gate) -> None:
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake) as worker:
        token = fake.lease("work")
        await fake.hears("accepted", token)
        await fake.stop()
        gate.release.set()  # it ends while nobody listens
        await fake.start()
        assert dict((await fake.done(token)).result) == {"ok": True}
        assert worker.connected


async def test_done_is_said_again_on_a_new_stream_until_it_is_acknowledged(gate: Gate) -> None:
    gate.release.set()
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake) as worker:
        fake.answers_done = False
        token = fake.lease("work")
        await fake.hears("done", token)
        fake.cut()
        await fake.hears("done", token, times=2)
        assert fake.streams[1].attach.held == [token]
        fake.answers_done = True
        fake.cut()
        await fake.hears("done", token, times=3)
        await fake.done(fake.lease("work"))
        assert worker.running <= 1

    assert gate.runs == 2  # one run for each task, however often its end was said


async def test_a_lease_that_the_orchestrator_does_not_keep_is_stopped(gate: Gate) -> None:
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake):
        token = fake.lease("work")
        await fake.hears("accepted", token)
        fake.keeps = lambda token: False
        fake.cut()
        await fake.hears("accepted", fake.lease("work"))  # its slot is free again
        assert gate.stopped
        assert fake.of("done", token) == []


async def test_credit_is_asked_for_anew_on_every_stream(gate: Gate) -> None:
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake, slots=3):
        token = fake.lease("work")
        await fake.hears("accepted", token)
        before = len(fake.of("credit"))
        fake.cut()
        await fake.hears("credit", times=before + 1)
        assert fake.of("credit")[-1].count == 2


async def test_goaway_moves_to_another_stream_and_keeps_the_work(gate: Gate) -> None:
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake):
        token = fake.lease("work")
        await fake.hears("accepted", token)
        fake.say(goaway=pb.Goaway(reconnect_after=Duration(nanos=10_000_000)))
        await fake.until(lambda: len(fake.streams) == 2)
        gate.release.set()
        assert dict((await fake.done(token)).result) == {"ok": True}

    assert gate.runs == 1


async def test_goaway_in_place_of_the_first_answer_is_heeded_too(gate: Gate) -> None:
    gate.release.set()
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake):
        fake.goes_away_at_once = True
        assert (await fake.done(fake.lease("work"))).HasField("result")
        assert len(fake.registered) >= 2


async def test_an_agent_that_was_forgotten_registers_anew(gate: Gate) -> None:
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake):
        await fake.hears("credit")
        fake.refuses = AgentForgotten("there is no such agent")
        fake.cut()
        await fake.until(lambda: len(fake.metadata) >= 3)
        fake.refuses = None
        await fake.until(lambda: len(fake.streams) == 2)

    assert fake.registered[-1].agent_id == ""


async def test_an_end_that_the_orchestrator_cannot_take_does_not_block_the_agent_for_ever(gate: Gate) -> None:
    gate.release.set()
    async with FakeOrchestrator() as fake, at_work(gate.agent, fake):
        fake.rejects_done = True
        token = fake.lease("work")
        await fake.until(lambda: any(done.HasField("failure") for done in fake.of("done", token)))
        fake.rejects_done = False
        await fake.done(fake.lease("work"))

    assert fake.of("done", token)[-1].failure.reason == "RESULT_REFUSED"
    assert 3 <= len(fake.of("done", token)) <= 5


async def test_a_connection_on_which_nothing_comes_any_more_is_replaced(gate: Gate) -> None:
    async with FakeOrchestrator(lease_ttl_s=0.5, heartbeat_s=0.1) as fake, at_work(gate.agent, fake):
        await fake.hears("credit")
        fake.silent = True
        await fake.until(lambda: len(fake.registered) >= 2)
        fake.silent = False
        await fake.until(lambda: len(fake.streams) >= 2)
