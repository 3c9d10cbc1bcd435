"""An agent at work: what the orchestrator hears of it while nothing is wrong with the line."""

import asyncio
from typing import Any

import pytest

from automesh.core.errors import PermissionDenied, ValidationError
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import Agent, LeasedTask, PermanentError, RetryableError, TaskContext
from automesh.sdk.job import Handler
from automesh.testing.agents import at_work
from automesh.testing.orchestrator import LIMIT_S, FakeOrchestrator


def agent_with(handler: Handler) -> Agent:
    agent = Agent(name="test-agent", version="1")
    agent.task("work", description="does what the test wants")(handler)
    return agent


async def test_a_task_is_accepted_worked_on_and_its_result_told() -> None:
    async def double(task: LeasedTask, context: TaskContext) -> dict[str, Any]:
        context.log("thinking")
        context.progress(0.5, "half way")
        return {"double": task.input["number"] * 2, "attempt": context.attempt, "checkpoint": task.checkpoint.decode()}

    async with FakeOrchestrator() as fake, at_work(agent_with(double), fake):
        token = fake.lease("work", {"number": 21}, attempt=3, checkpoint=b"before")
        done = await fake.done(token)

    assert dict(done.result) == {"double": 42, "attempt": 3, "checkpoint": "before"}
    kinds = [frame.WhichOneof("message") for frame in fake.heard if frame.WhichOneof("message") != "heartbeat"]
    assert kinds[:5] == ["credit", "accepted", "log", "progress", "done"]
    assert fake.of("log")[0].lines == ["thinking"]
    assert fake.of("progress")[0].fraction == 0.5


async def test_registration_tells_name_capabilities_slots_and_version() -> None:
    async with FakeOrchestrator() as fake, at_work(agent_with(_nothing), fake, slots=7, version="2.1"):
        await fake.hears("credit")

    request = fake.registered[0]
    assert (request.name, request.slots, request.version, request.agent_id) == ("test-agent", 7, "2.1", "")
    assert [(each.type, each.description) for each in request.capabilities] == [("work", "does what the test wants")]
    assert fake.metadata[0]["authorization"] == "Bearer fake"


async def test_an_agent_that_is_refused_at_its_start_says_so_and_stops() -> None:
    async with FakeOrchestrator() as fake:
        fake.refuses = PermissionDenied("the key lacks the permission work.lease")
        with pytest.raises(PermissionDenied, match="lacks the permission"):
            async with asyncio.timeout(LIMIT_S):
                await agent_with(_nothing).run(fake.connection)


async def test_two_slots_work_in_parallel_and_no_more_is_asked_for() -> None:
    meet = asyncio.Barrier(2)
    release = asyncio.Event()

    async def together(task: LeasedTask, context: TaskContext) -> None:
        if task.input.get("meet"):
            await meet.wait()
            await release.wait()

    async with FakeOrchestrator() as fake, at_work(agent_with(together), fake, slots=2) as worker:
        first, second, third = (
            fake.lease("work", {"meet": True}),
            fake.lease("work", {"meet": True}),
            fake.lease("work"),
        )
        await fake.hears("accepted", first)
        await fake.hears("accepted", second)
        await fake.hears("heartbeat", times=len(fake.of("heartbeat")) + 2)
        assert sum(credit.count for credit in fake.of("credit")) == 2
        assert (worker.running, fake.of("accepted", third)) == (2, [])
        release.set()
        await fake.done(third)


async def test_credit_never_exceeds_the_free_slots_over_many_tasks() -> None:
    async with FakeOrchestrator() as fake, at_work(agent_with(_nothing), fake, slots=3):
        tokens = [fake.lease("work") for _ in range(30)]
        for token in tokens:
            await fake.done(token)

    asked = held = ended = 0
    for frame in fake.heard:
        asked += frame.credit.count
        held += frame.HasField("accepted") - frame.HasField("done")
        ended += frame.HasField("done")
        assert asked <= 3 + ended
        assert held <= 3


async def test_a_lease_that_was_not_asked_for_is_left_alone() -> None:
    release = asyncio.Event()

    async def wait(task: LeasedTask, context: TaskContext) -> None:
        await release.wait()

    async with FakeOrchestrator() as fake, at_work(agent_with(wait), fake, slots=1):
        await fake.hears("accepted", fake.lease("work"))
        fake.say(lease=pb.Lease(lease_token=b"pushed", task_id="task_x", type="work", attempt=1))
        await fake.hears("heartbeat", times=len(fake.of("heartbeat")) + 2)
        assert fake.of("accepted", b"pushed") == []


async def test_progress_is_coalesced_and_the_latest_wins() -> None:
    async def eager(task: LeasedTask, context: TaskContext) -> None:
        for step in range(2000):
            context.progress(step / 2000, f"step {step}")
            if step % 100 == 0:
                await asyncio.sleep(0)
        context.progress(2.0, "x" * 5000)

    async with FakeOrchestrator() as fake, at_work(agent_with(eager), fake):
        token = fake.lease("work")
        await fake.done(token)

    said = fake.of("progress", token)
    assert len(said) <= 3
    assert said[-1].fraction == 1.0
    assert len(said[-1].message) == 1024


async def test_a_flood_of_log_lines_keeps_the_newest_and_counts_the_lost() -> None:
    async def chatty(task: LeasedTask, context: TaskContext) -> None:
        for number in range(5000):
            context.log(f"line {number}")
        context.log("y" * 10_000)
        context.log("two\nlines \udc80")

    async with FakeOrchestrator() as fake, at_work(agent_with(chatty), fake):
        token = fake.lease("work")
        await fake.done(token)

    messages = fake.of("log", token)
    lines = [line for message in messages for line in message.lines]
    assert all(len(message.lines) <= 1000 for message in messages)
    assert lines[0].startswith("(3003 earlier lines were dropped")
    assert len(lines) == 2001
    assert len(lines[-3]) == 4096
    assert lines[-2:] == ["two", "lines ?"]


async def test_a_checkpoint_and_what_was_said_before_a_failure_arrive_before_the_failure() -> None:
    async def dies(task: LeasedTask, context: TaskContext) -> None:
        context.progress(0.4)
        context.checkpoint(b"so far")
        raise RetryableError("TOOL_BUSY", "the tool is busy")

    async with FakeOrchestrator() as fake, at_work(agent_with(dies), fake):
        token = fake.lease("work")
        done = await fake.done(token)

    assert (done.failure.reason, done.failure.message, done.failure.retryable) == (
        "TOOL_BUSY",
        "the tool is busy",
        True,
    )
    assert fake.of("progress", token)[-1].checkpoint == b"so far"


async def test_a_checkpoint_that_is_too_large_is_refused_where_it_is_made() -> None:
    async def greedy(task: LeasedTask, context: TaskContext) -> None:
        context.checkpoint(bytes(64 * 1024 + 1))

    async with FakeOrchestrator() as fake, at_work(agent_with(greedy), fake):
        done = await fake.done(fake.lease("work"))

    assert (done.failure.reason, done.failure.retryable) == ("VALIDATION", False)
    assert "at most 65536" in done.failure.message


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (PermanentError("MODULE_NOT_FOUND", "no such module"), "MODULE_NOT_FOUND", False),
        (RetryableError("TOOL_BUSY", "busy"), "TOOL_BUSY", True),
        (ValidationError("no"), "VALIDATION", False),
        (RuntimeError("password=hunter2"), "HANDLER_ERROR", True),
        (SystemExit(3), "HANDLER_ERROR", True),
        (asyncio.CancelledError(), "HANDLER_CANCELLED", True),
    ],
)
async def test_what_a_handler_raises_becomes_a_failure(error: BaseException, reason: str, retryable: bool) -> None:
    async def fails(task: LeasedTask, context: TaskContext) -> None:
        raise error

    async with FakeOrchestrator() as fake, at_work(agent_with(fails), fake):
        done = await fake.done(fake.lease("work"))

    assert (done.failure.reason, done.failure.retryable) == (reason, retryable)
    assert "hunter2" not in done.failure.message
    assert "Traceback" not in done.failure.message


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"blob": "x" * 1024 * 1024}, "RESULT_TOO_LARGE"),
        ({"blob": "\x00" * 1024 * 200}, "RESULT_TOO_LARGE"),
        ({"number": float("nan")}, "RESULT_INVALID"),
        ({"object": object()}, "RESULT_INVALID"),
        ({1: "key"}, "RESULT_INVALID"),
        (["a", "list"], "RESULT_INVALID"),
        ({"text": "\udc80"}, "RESULT_INVALID"),
    ],
)
async def test_a_result_that_cannot_be_sent_fails_for_good_and_says_how_to_mend_it(result: Any, reason: str) -> None:
    async def returns(task: LeasedTask, context: TaskContext) -> Any:
        return result

    async with FakeOrchestrator() as fake, at_work(agent_with(returns), fake):
        done = await fake.done(fake.lease("work"))

    assert (done.failure.reason, done.failure.retryable) == (reason, False)
    assert ("artifact" if reason == "RESULT_TOO_LARGE" else "mapping of JSON values") in done.failure.message


async def test_a_result_nested_without_end_harms_only_its_own_task() -> None:
    async def deep(task: LeasedTask, context: TaskContext) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for _ in range(int(task.input["depth"])):
            result = {"in": result}
        return result

    async with FakeOrchestrator() as fake, at_work(agent_with(deep), fake):
        done = await fake.done(fake.lease("work", {"depth": 31}))
        assert done.failure.reason == "RESULT_INVALID"
        assert (await fake.done(fake.lease("work", {"depth": 30}))).HasField("result")
        assert len(fake.streams) == 1


async def test_the_message_limit_of_the_orchestrator_bounds_the_result() -> None:
    async def returns(task: LeasedTask, context: TaskContext) -> dict[str, Any]:
        return {"blob": "x" * 5000}

    async with FakeOrchestrator(max_message_bytes=4096) as fake, at_work(agent_with(returns), fake):
        done = await fake.done(fake.lease("work"))

    assert done.failure.reason == "RESULT_TOO_LARGE"
    assert "at most 3072" in done.failure.message


async def test_a_task_of_a_type_nobody_knows_fails_for_good() -> None:
    async with FakeOrchestrator() as fake, at_work(agent_with(_nothing), fake):
        done = await fake.done(fake.lease("other"))

    assert (done.failure.reason, done.failure.retryable) == ("UNKNOWN_TASK_TYPE", False)


async def test_an_attempt_that_takes_longer_than_its_timeout_is_stopped() -> None:
    async def forever(task: LeasedTask, context: TaskContext) -> None:
        assert context.deadline is not None
        await asyncio.Event().wait()

    async with FakeOrchestrator() as fake, at_work(agent_with(forever), fake):
        done = await fake.done(fake.lease("work", timeout={"nanos": 50_000_000}))

    assert (done.failure.reason, done.failure.retryable) == ("TIMED_OUT", True)


async def test_progress_and_log_may_come_from_another_thread() -> None:
    async def threaded(task: LeasedTask, context: TaskContext) -> None:
        def work() -> None:
            context.log("from a thread")
            context.progress(0.9)

        await asyncio.to_thread(work)

    async with FakeOrchestrator() as fake, at_work(agent_with(threaded), fake):
        token = fake.lease("work")
        await fake.done(token)

    assert fake.of("log", token)[0].lines == ["from a thread"]
    assert fake.of("progress", token)[-1].fraction == 0.9


async def test_done_is_repeated_until_it_is_acknowledged() -> None:
    async with FakeOrchestrator(lease_ttl_s=1.0) as fake, at_work(agent_with(_nothing), fake) as worker:
        fake.answers_done = False
        token = fake.lease("work")
        await fake.hears("done", token, times=2)
        assert worker.running == 1
        fake.say(ack=pb.Ack(lease_token=token))
        fake.answers_done = True
        await fake.done(fake.lease("work"))


async def _nothing(task: LeasedTask, context: TaskContext) -> None:
    return None
