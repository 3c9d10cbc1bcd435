"""What the data and model services ask of the orchestrator, over mutual TLS and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from automesh.mesh.acting import acting_for
from automesh.orchestrator.v1 import task_pb2, task_service_pb2, work_service_pb2_grpc
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.testing.wire import OrchestratorOnWire, task_request

pytestmark = pytest.mark.postgres


async def code_of(call: Awaitable[object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def described(
    stub: work_service_pb2_grpc.WorkServiceAsyncStub, lease: pb.Lease, token: bytes = b""
) -> task_pb2.Task:
    return (await stub.DescribeLease(pb.DescribeLeaseRequest(lease_token=token or lease.lease_token))).task


async def test_a_lease_tells_a_service_what_it_is_for(served: OrchestratorOnWire) -> None:
    what = Struct()
    what.update({"run_id": "run_1"})
    async with served.attached() as agent:
        created = await (await served.tasks("acme")).CreateTask(task_request(input=what))
        lease = await agent.take()
        task = await described(await served.work_service("model"), lease)
        assert (task.task_id, task.tenant_id, task.type) == (created.task.task_id, "acme", "noop")
        assert (task.attempt, task.created_by, task.input["run_id"]) == (1, "user_test", "run_1")


async def test_a_lease_that_is_over_or_made_up_tells_nothing(served: OrchestratorOnWire) -> None:
    data = await served.work_service("data")
    async with served.attached() as agent:
        await (await served.tasks()).CreateTask(task_request())
        lease = await agent.take()
        forged = lease.lease_token[:-1] + bytes([lease.lease_token[-1] ^ 1])
        for token in (forged, b"x", b"\x00" * 64):
            assert await code_of(described(data, lease, token)) is grpc.StatusCode.ABORTED
        await agent.complete(lease)
        assert await code_of(described(data, lease)) is grpc.StatusCode.ABORTED


async def test_a_cancelled_task_is_described_no_more(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        people = await served.tasks()
        created = (await people.CreateTask(task_request())).task
        lease = await agent.take()
        await people.CancelTask(task_service_pb2.CancelTaskRequest(task_id=created.task_id))
        assert await code_of(described(await served.work_service("data"), lease)) is grpc.StatusCode.ABORTED


async def test_agents_and_people_are_not_told_what_a_lease_is_for(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        await (await served.tasks()).CreateTask(task_request())
        lease = await agent.take()
        for stub in (await served.platform_agents(), await served.people(), await served.work_service("gateway")):
            assert await code_of(described(stub, lease)) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_service_makes_reads_and_cancels_tasks_for_a_person(served: OrchestratorOnWire) -> None:
    await served.agent()
    stub = await served.task_service("data")
    with acting_for("acme", "user_ann"):
        task = (await stub.CreateTask(task_request("once"))).task
        again = (await stub.CreateTask(task_request("once"))).task
    assert (task.tenant_id, task.created_by, again.task_id) == ("acme", "user_ann", task.task_id)
    seen = await (await served.tasks("acme")).GetTask(task_service_pb2.GetTaskRequest(task_id=task.task_id))
    assert seen.task.created_by == "user_ann"
    with acting_for("acme"):
        assert (await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task.task_id))).task.task_id == task.task_id
        cancelled = await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task.task_id, reason="enough"))
    assert cancelled.task.status == task_pb2.TASK_STATUS_CANCELLED


async def test_a_service_sees_no_task_of_another_tenant_than_it_acts_for(served: OrchestratorOnWire) -> None:
    await served.agent()
    task = (await (await served.tasks("acme")).CreateTask(task_request())).task
    stub = await served.task_service("model")
    request = task_service_pb2.GetTaskRequest(task_id=task.task_id)
    with acting_for("globex"):
        assert await code_of(stub.GetTask(request)) is grpc.StatusCode.NOT_FOUND
    assert await code_of(stub.GetTask(request)) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_service_sees_the_agents_of_the_platform_and_of_whom_it_acts_for(served: OrchestratorOnWire) -> None:
    await served.agent(stub=await served.agents_of("acme"))
    await served.agent(stub=await served.agents_of("globex"))
    platform = await served.agent()
    stub = await served.work_service("model")
    [alone] = (await stub.ListAgents(pb.ListAgentsRequest())).agents
    assert alone.agent_id == platform.agent_id
    with acting_for("acme"):
        assert len((await stub.ListAgents(pb.ListAgentsRequest())).agents) == 2
