"""Messages and domain: what is refused, what is trimmed, what is left out."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from automesh.core.errors import ValidationError
from automesh.mesh import times
from automesh.orchestrator.v1 import artifact_service_pb2, task_pb2, task_service_pb2
from automesh.orchestrator.v1 import work_service_pb2 as pb
from services.orchestrator.convert import artifacts, tasks, values, work
from services.orchestrator.domain.document import Document
from services.orchestrator.domain.events import Goaway, Lost
from services.orchestrator.domain.lease import Ended, LeaseKey, LeaseLoss
from services.orchestrator.domain.spec import NewTask
from services.orchestrator.domain.task import Draft, Status, Task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = LeaseKey("t1", 1)


def stored(**changes: object) -> Task:
    draft = Draft(task_id="t1", tenant_id="acme", spec=NewTask(type="noop"))
    return Task(**{**{name: getattr(Task.stored(draft, NOW), name) for name in Task.__slots__}, **changes})


def test_an_offered_task_is_shown_as_scheduled() -> None:
    assert tasks.task(stored(status=Status.OFFERED)).status == task_pb2.TASK_STATUS_SCHEDULED


def test_what_a_task_does_not_have_is_absent() -> None:
    message = tasks.task(stored())
    for name in ("result", "failure", "progress", "run_at", "start_time", "finish_time"):
        assert not message.HasField(name)
    assert message.HasField("priority")


def test_whole_numbers_stay_whole_and_objects_survive() -> None:
    content = {"n": 3, "f": 0.5, "s": "ä", "l": [1, None, True], "o": {"k": {}}}
    document = Document.of(content, field="x")
    assert values.document(values.struct(document), field="x") == document


def test_a_time_that_no_calendar_has_is_refused() -> None:
    with pytest.raises(ValidationError):
        times.moment(Timestamp(seconds=2**60), field="task.run_at")
    with pytest.raises(ValidationError):
        times.span(Duration(seconds=2**62), field="task.timeout")


def test_a_deep_input_is_refused_or_kept_but_never_breaks() -> None:
    struct = Struct()
    inner = struct
    for _ in range(40):
        inner = inner.get_or_create_struct("k")
    assert values.document(struct, field="task.input").json.count(b"k") == 40


def test_a_scheduled_filter_finds_offered_tasks_too() -> None:
    query = tasks.query(task_service_pb2.ListTasksRequest(status=["scheduled"]))
    assert query.statuses == {Status.SCHEDULED, Status.OFFERED}


def test_a_cursor_reads_back_for_its_own_task_only() -> None:
    request = task_service_pb2.WatchTaskRequest(task_id="t1", cursor=tasks.cursor(7, "t1"))
    assert tasks.sequence(request) == 7
    assert tasks.sequence(task_service_pb2.WatchTaskRequest(task_id="t1")) == 0
    request.task_id = "t2"
    with pytest.raises(ValidationError):
        tasks.sequence(request)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_progress_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValidationError):
        work.progress(pb.Progress(fraction=fraction), LEASE, "a")


def test_a_checkpoint_is_bounded_and_may_be_absent_or_empty() -> None:
    assert work.progress(pb.Progress(), LEASE, "a").checkpoint is None
    assert work.progress(pb.Progress(checkpoint=b""), LEASE, "a").checkpoint == b""
    with pytest.raises(ValidationError):
        work.progress(pb.Progress(checkpoint=b"x" * (64 * 1024 + 1)), LEASE, "a")


def test_lines_are_cut_and_cleaned() -> None:
    [long, nul] = work.lines(pb.Log(lines=["x" * 5000, "a\0b"]), LEASE, "a").lines
    assert (len(long), long[-1], nul) == (4096, "…", "a\ufffdb")
    with pytest.raises(ValidationError):
        work.lines(pb.Log(lines=["x"] * 1001), LEASE, "a")


def test_a_result_that_cannot_be_stored_fails_the_attempt_for_good() -> None:
    done = pb.Done()
    done.result.update({"text": "x" * (1 << 20)})
    outcome = work.outcome(done, LEASE, "a", 1.0)
    assert outcome.result is None
    assert outcome.failure is not None
    assert (outcome.failure.reason, outcome.failure.retryable) == ("RESULT_INVALID", False)


def test_a_done_without_outcome_is_an_empty_result() -> None:
    assert work.outcome(pb.Done(), LEASE, "a", 1.0).result == Document()


def test_an_odd_reason_is_replaced() -> None:
    done = pb.Done(failure=pb.Failure(reason="it broke", message="m" * 20_000, retryable=True))
    failure = work.outcome(done, LEASE, "a", 1.0).failure
    assert failure is not None
    assert (failure.reason, len(failure.message), failure.retryable) == ("UNSPECIFIED", 16 * 1024, True)


def test_only_a_cancelled_lease_comes_with_a_cancel() -> None:
    cancelled = work.responses(Lost(b"t", LeaseLoss(Ended.CANCELLED, "enough")))
    assert [message.WhichOneof("message") for message in cancelled] == ["cancel", "revoked"]
    [stale] = work.responses(Lost(b"t", LeaseLoss(Ended.STALE)))
    assert stale.revoked.reason == "STALE"
    [goaway] = work.responses(Goaway(timedelta(seconds=2)))
    assert goaway.goaway.reconnect_after.seconds == 2


@pytest.mark.parametrize(
    "request_",
    [
        pb.WorkRequest(),
        pb.WorkRequest(heartbeat=pb.Heartbeat()),
        pb.WorkRequest(attach=pb.Attach(session_id="s")),
        pb.WorkRequest(attach=pb.Attach(agent_id="a")),
        pb.WorkRequest(attach=pb.Attach(agent_id="a", session_id="\0")),
        pb.WorkRequest(attach=pb.Attach(agent_id="a", session_id="s", held=[b"x"] * 10_001)),
    ],
)
def test_an_odd_attach_is_refused(request_: pb.WorkRequest) -> None:
    with pytest.raises(ValidationError):
        work.attach(request_)


async def test_an_upload_is_a_header_and_then_chunks() -> None:
    async def requests(*parts: artifact_service_pb2.UploadArtifactRequest) -> object:
        for part in parts:
            yield part

    request = artifact_service_pb2.UploadArtifactRequest
    header = request(header=artifact_service_pb2.UploadArtifactHeader(name="a"))
    for wrong in ((), (request(chunk=b"x"),), (request(),)):
        with pytest.raises(ValidationError):
            await artifacts.header(requests(*wrong))  # type: ignore[arg-type] # an async generator
    assert (await artifacts.header(requests(header))).name == "a"  # type: ignore[arg-type]
    chunks = artifacts.chunks(requests(request(chunk=b"x"), header))  # type: ignore[arg-type]
    assert await anext(chunks) == b"x"
    with pytest.raises(ValidationError):
        await anext(chunks)
