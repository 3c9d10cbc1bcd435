"""TaskService against a real server and a real PostgreSQL."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from automesh.orchestrator.v1 import task_pb2
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.testing.wire import LIMIT_S, OrchestratorOnWire, task_request
from services.orchestrator.engine import Engine

pytestmark = pytest.mark.postgres
SCHEDULED, COMPLETED, CANCELLED = (
    task_pb2.TASK_STATUS_SCHEDULED,
    task_pb2.TASK_STATUS_COMPLETED,
    task_pb2.TASK_STATUS_CANCELLED,
)


@pytest.fixture(autouse=True)
async def noop_is_known(served: OrchestratorOnWire) -> None:
    await served.agent("noop", "other")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an aio error has what it needs
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return str(info.reason)
    return ""


async def refused(call: grpc.aio.Call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call  # type: ignore[misc] # a unary call is awaitable
    return error.value.code(), reason_of(error.value)


BAD: list[tuple[str, Callable[[task_pb2.Task], object]]] = [
    ("no type", lambda task: task.ClearField("type")),
    ("odd type", lambda task: setattr(task, "type", "Not A Type")),
    ("unknown type", lambda task: setattr(task, "type", "unheard_of")),
    ("priority 10", lambda task: setattr(task, "priority", 10)),
    ("priority -1", lambda task: setattr(task, "priority", -1)),
    ("long description", lambda task: setattr(task, "description", "x" * 4097)),
    ("NUL", lambda task: setattr(task, "description", "\0")),
    ("big input", lambda task: task.input.update({"text": "x" * (1 << 20)})),
    ("NaN", lambda task: task.input.update({"n": float("nan")})),
    ("no time to run", lambda task: task.timeout.FromSeconds(0)),
    ("8 days", lambda task: task.timeout.FromSeconds(8 * 86400)),
    ("2 years ahead", lambda task: task.run_at.FromDatetime(datetime.now(UTC) + timedelta(days=730))),
    ("101 retries", lambda task: setattr(task.retry_policy, "max_retries", 101)),
    ("negative wait", lambda task: task.retry_policy.initial_delay.FromSeconds(-1)),
    ("shrinking wait", lambda task: setattr(task.retry_policy, "multiplier", 0.5)),
]


@pytest.mark.parametrize("spoil", [bad for _, bad in BAD], ids=[name for name, _ in BAD])
async def test_a_bad_task_is_refused(served: OrchestratorOnWire, spoil: Callable[[task_pb2.Task], object]) -> None:
    request = task_request()
    spoil(request.task)
    stub = await served.tasks()
    code, _ = await refused(stub.CreateTask(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert not (await stub.ListTasks(pb.ListTasksRequest())).tasks


async def test_defaults_are_filled_in(served: OrchestratorOnWire) -> None:
    task = (await (await served.tasks()).CreateTask(task_request())).task
    assert (task.priority, task.timeout.seconds, task.retry_policy.max_retries) == (5, 3600, 3)
    assert (task.retry_policy.initial_delay.seconds, task.retry_policy.multiplier) == (5, 2)
    assert (task.created_by, task.created_by_name) == ("user_test", "test")
    assert not task.HasField("result")
    zero = (await (await served.tasks()).CreateTask(task_request(priority=0))).task
    assert zero.priority == 0


async def test_a_request_id_makes_create_safe_to_repeat(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    first = await stub.CreateTask(task_request("r1", description="one"))
    again = await stub.CreateTask(task_request("r1", description="one"))
    assert again.task == first.task
    assert await refused(stub.CreateTask(task_request("r1", description="two"))) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )
    code, _ = await refused(stub.CreateTask(task_request("with space")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_full_queue_asks_to_come_back_later(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    calls = [stub.CreateTask(task_request()) for _ in range(25)]
    made = await asyncio.gather(*calls, return_exceptions=True)
    errors = [error for error in made if isinstance(error, grpc.aio.AioRpcError)]
    assert len(errors) == 5
    assert {(error.code(), reason_of(error)) for error in errors} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    }
    status = rpc_status.from_call(errors[0])  # type: ignore[arg-type] # an aio error has what it needs
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.seconds == 5


async def test_a_task_of_another_tenant_is_not_found(served: OrchestratorOnWire) -> None:
    task = (await (await served.tasks()).CreateTask(task_request())).task
    stub = await served.tasks("acme")
    for call in (
        stub.GetTask(pb.GetTaskRequest(task_id=task.task_id)),
        stub.UpdateTask(pb.UpdateTaskRequest(task_id=task.task_id)),
        stub.CancelTask(pb.CancelTaskRequest(task_id=task.task_id)),
        stub.DeleteTask(pb.DeleteTaskRequest(task_id=task.task_id)),
        stub.GetTask(pb.GetTaskRequest(task_id="task_that_never_was")),
    ):
        assert await refused(call) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert not (await stub.ListTasks(pb.ListTasksRequest())).tasks
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await anext(aiter(stub.WatchTask(pb.WatchTaskRequest(task_id=task.task_id))))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_lists_are_paged_and_filtered_and_tokens_keep_to_their_filter(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    ids = [(await stub.CreateTask(task_request(type=kind))).task.task_id for kind in ("noop", "other") * 3]
    seen: list[str] = []
    request = pb.ListTasksRequest(page_size=4, status=["scheduled", "TASK_STATUS_RUNNING"])
    while True:
        page = await stub.ListTasks(request)
        seen += [task.task_id for task in page.tasks]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sorted(seen) == sorted(ids)
    assert seen == sorted(seen, reverse=True)
    others = await stub.ListTasks(pb.ListTasksRequest(type=["other"], page_size=2))
    assert {task.type for task in others.tasks} == {"other"}
    token = others.next_page_token
    for bad in (
        pb.ListTasksRequest(page_token=token),
        pb.ListTasksRequest(page_size=-1),
        pb.ListTasksRequest(status=["asleep"]),
        pb.ListTasksRequest(page_token="made up"),
    ):
        assert (await refused(stub.ListTasks(bad)))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_page_of_big_tasks_is_cut_short_but_leads_on(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    for _ in range(3):
        request = task_request()
        request.task.input.update({"text": "x" * 600_000})
        await stub.CreateTask(request)
    sizes: list[int] = []
    token = ""
    while len(sizes) < 5:
        page = await stub.ListTasks(pb.ListTasksRequest(page_token=token))
        sizes.append(len(page.tasks))
        token = page.next_page_token
        if not token:
            break
    assert sizes == [1, 1, 1]


async def test_a_mask_says_what_an_update_changes(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    made = (await stub.CreateTask(task_request(description="old", priority=7))).task
    new = task_pb2.Task(description="new", priority=1)
    request = pb.UpdateTaskRequest(task_id=made.task_id, task=new, update_mask=FieldMask(paths=["description"]))
    task = (await stub.UpdateTask(request)).task
    assert (task.description, task.priority) == ("new", 7)
    request = pb.UpdateTaskRequest(task_id=made.task_id, task=task_pb2.Task(description="bare"))
    task = (await stub.UpdateTask(request)).task
    assert (task.description, task.priority) == ("bare", 5)
    bad = pb.UpdateTaskRequest(task_id=made.task_id, task=new, update_mask=FieldMask(paths=["status"]))
    assert (await refused(stub.UpdateTask(bad)))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_running_task_is_neither_updated_nor_deleted(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    made = (await stub.CreateTask(task_request())).task
    async with served.attached() as agent:
        lease = await agent.take()
        async for seen in stub.WatchTask(pb.WatchTaskRequest(task_id=made.task_id)):
            if seen.task.status == task_pb2.TASK_STATUS_RUNNING:
                break
        update, delete = (
            pb.UpdateTaskRequest(task_id=made.task_id, task=made),
            pb.DeleteTaskRequest(task_id=made.task_id),
        )
        assert await refused(stub.UpdateTask(update)) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_SCHEDULED")
        assert await refused(stub.DeleteTask(delete)) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_STILL_RUNNING")
        await agent.complete(lease)
    await stub.DeleteTask(delete)
    assert (await refused(stub.GetTask(pb.GetTaskRequest(task_id=made.task_id))))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_waiting_task_is_cancelled_at_once_and_only_once(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    made = (await stub.CreateTask(task_request())).task
    request = pb.CancelTaskRequest(task_id=made.task_id)
    assert (await stub.CancelTask(request)).task.status == CANCELLED
    assert await refused(stub.CancelTask(request)) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_ALREADY_FINISHED")


async def test_a_task_waits_for_its_run_at(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    request = task_request(description="later")
    request.task.run_at.FromDatetime(datetime.now(UTC) + timedelta(milliseconds=700))
    later = (await stub.CreateTask(request)).task
    now = (await stub.CreateTask(task_request(description="now"))).task
    async with served.attached() as agent:
        await agent.credit(2)
        leases = [await agent.leased()]
        await agent.accept(leases[0])
        leases.append(await agent.leased())
        assert [lease.task_id for lease in leases] == [now.task_id, later.task_id]
        assert datetime.now(UTC) >= later.run_at.ToDatetime(tzinfo=UTC)


async def test_a_watch_shows_the_state_then_changes_and_lines_and_ends(served: OrchestratorOnWire) -> None:
    from automesh.orchestrator.v1 import work_service_pb2 as work

    stub = await served.tasks()
    made = (await stub.CreateTask(task_request())).task
    watch = aiter(stub.WatchTask(pb.WatchTaskRequest(task_id=made.task_id)))
    first = await anext(watch)
    assert first.task.status == SCHEDULED
    async with served.attached() as agent:
        lease = await agent.take()
        await agent.send(log=work.Log(lease_token=lease.lease_token, lines=["one", "two"]))
        seen, lines = first, list(first.log_lines)
        async with asyncio.timeout(LIMIT_S):
            while len(lines) < 2:
                seen = await anext(watch)
                lines += seen.log_lines
            cursor = seen.cursor
            await agent.send(log=work.Log(lease_token=lease.lease_token, lines=["three"]))
            await agent.complete(lease, ok=True)
            async for message in watch:
                seen = message
                lines += message.log_lines
    assert [(line.sequence, line.text) for line in lines] == [(1, "one"), (2, "two"), (3, "three")]
    assert seen.task.status == COMPLETED
    again = stub.WatchTask(pb.WatchTaskRequest(task_id=made.task_id, cursor=cursor))
    rest = [line.text async for message in again for line in message.log_lines]
    assert rest == ["three"]
    stolen = stub.WatchTask(pb.WatchTaskRequest(task_id="task_other", cursor=cursor))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await anext(aiter(stolen))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_watch_ends_when_its_task_is_deleted(served: OrchestratorOnWire) -> None:
    stub = await served.tasks()
    made = (await stub.CreateTask(task_request())).task
    watch = stub.WatchTask(pb.WatchTaskRequest(task_id=made.task_id))
    await watch.read()
    await stub.DeleteTask(pb.DeleteTaskRequest(task_id=made.task_id))
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await watch.read()
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_tables_show_nothing_to_a_transaction_without_a_tenant(
    served: OrchestratorOnWire, engine: Engine
) -> None:
    stub = await served.tasks()
    request = task_request("r1", description="visible")
    request.task.input.update({"secret": "hunter2"})
    await stub.CreateTask(request)
    database = engine.tasks._database
    for table in ("task", "task_request", "task_log", "artifact"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}", tenant=None) == 0  # noqa: S608 # our tables
        assert await database.fetchval(f"SELECT count(*) FROM {table}", tenant="acme") == 0  # noqa: S608
    row = await database.fetchrow("SELECT input FROM task", tenant="default")
    assert row is not None
    assert b"hunter2" not in row["input"]
