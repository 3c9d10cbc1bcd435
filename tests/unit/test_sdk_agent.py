"""How an agent is put together, and the small parts below it."""

import pytest

from automesh.core.backoff import Backoff
from automesh.core.errors import AlreadyExists, Exhausted, InternalError, Kind, NotFound, PermissionDenied, Unavailable
from automesh.mesh.errors import Aborted
from automesh.sdk import Agent, LeasedTask, PermanentError, RetryableError, TaskContext, frames
from automesh.sdk.errors import Failed, failed


async def nothing(task: LeasedTask, context: TaskContext) -> None:
    return None


def test_an_agent_knows_its_task_types() -> None:
    agent = Agent(name="a")
    agent.task("one", description="does one")(nothing)
    agent.task("two")(nothing)
    assert agent.task_types == {"one": "does one", "two": ""}


def test_an_agent_refuses_what_cannot_work() -> None:
    agent = Agent(name="a")
    agent.task("one")(nothing)
    with pytest.raises(ValueError, match="has a handler already"):
        agent.task("one")(nothing)
    with pytest.raises(ValueError, match="empty"):
        agent.task("")(nothing)
    with pytest.raises(TypeError, match="async def handler"):
        agent.task("two")(lambda task, context: None)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="needs a name"):
        Agent(name="")
    with pytest.raises(ValueError, match="from 1 to 1000"):
        Agent(name="a", slots=1001)


def test_a_reason_must_be_upper_snake() -> None:
    with pytest.raises(ValueError, match="UPPER_SNAKE"):
        PermanentError("not a reason", "message")
    assert RetryableError("TOOL_BUSY", "busy", tool="x").metadata == {"tool": "x"}


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (NotFound("x"), False),
        (AlreadyExists("x"), False),
        (PermissionDenied("x"), False),
        (Unavailable("x"), True),
        (Exhausted("x"), True),
        (Aborted("x"), True),
        (InternalError("x"), True),
    ],
)
def test_the_kind_of_an_error_decides_whether_it_is_retried(error: Exception, retryable: bool) -> None:
    assert failed(error, "work").retryable is retryable


def test_kinds_of_the_two_own_errors() -> None:
    assert (PermanentError.kind, RetryableError.kind) == (Kind.PRECONDITION, Kind.UNAVAILABLE)


def test_backoff_doubles_up_to_its_limit_and_starts_over() -> None:
    backoff = Backoff(first_s=1.0, most_s=5.0, rand=lambda: 1.0)
    assert [backoff.next_s() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_backoff_has_jitter_of_up_to_a_half() -> None:
    assert Backoff(first_s=1.0, most_s=5.0, rand=lambda: 0.0).next_s() == 0.5
    assert 0.5 <= Backoff(first_s=1.0, most_s=5.0).next_s() <= 1.0


def test_backoff_never_overflows() -> None:
    backoff = Backoff(first_s=1.0, most_s=5.0)
    for _ in range(5000):
        assert backoff.next_s() <= 5.0


def test_log_lines_are_split_over_messages_of_bounded_size() -> None:
    messages = list(frames.log_frames(b"t", ["é" * 4000] * 200))
    assert sum(len(message.log.lines) for message in messages) == 200
    assert len(messages) > 1
    assert all(message.ByteSize() <= frames.MAX_LOG_BYTES + 4096 for message in messages)


def test_a_failure_message_is_cut_to_its_bytes() -> None:
    frame = frames.failed_frame(b"t", Failed("R", "é" * 20_000, retryable=False))
    assert len(frame.done.failure.message.encode()) <= frames.MAX_FAILURE_MESSAGE
    assert frame.done.failure.message.endswith("…")


@pytest.mark.parametrize(("said", "sent"), [(-1.0, 0.0), (7.0, 1.0), (float("nan"), 0.0), (0.25, 0.25)])
def test_a_fraction_is_brought_into_its_range(said: float, sent: float) -> None:
    assert frames.fraction(said) == sent
