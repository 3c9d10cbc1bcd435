"""Two replicas on one database: any of them answers for any task."""

import asyncio

import grpc
import pytest

from automesh.orchestrator.v1 import task_pb2
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import work_service_pb2 as work
from automesh.storage.fanout import LocalFanout
from automesh.testing.wire import LIMIT_S, OrchestratorOnWire, WireAgent, task_request
from services.orchestrator.engine import Engine
from services.orchestrator.loops.farewell import farewell

pytestmark = pytest.mark.postgres
CANCELLED = task_pb2.TASK_STATUS_CANCELLED


async def moved(agent: WireAgent, to: OrchestratorOnWire) -> WireAgent:
    """The same agent, speaking to another replica."""
    return await to.agent(agent_id=agent.agent_id)


async def test_a_task_created_at_one_replica_is_leased_and_watched_at_another(
    served: OrchestratorOnWire, second: OrchestratorOnWire
) -> None:
    async with second.attached() as agent:
        await agent.credit()
        task = (await (await served.tasks()).CreateTask(task_request())).task
        lease = await agent.leased()
        watch = aiter((await served.tasks()).WatchTask(pb.WatchTaskRequest(task_id=task.task_id)))
        assert (await anext(watch)).task.status == task_pb2.TASK_STATUS_SCHEDULED
        await agent.accept(lease)
        await agent.complete(lease)
        async with asyncio.timeout(LIMIT_S):
            last = [message.task.status async for message in watch][-1]
        assert last == task_pb2.TASK_STATUS_COMPLETED


@pytest.mark.parametrize("hints", [True, False], ids=["with hints", "without hints"])
async def test_a_cancel_at_one_replica_reaches_the_agent_at_another(
    served: OrchestratorOnWire, second: OrchestratorOnWire, fanout: LocalFanout, hints: bool
) -> None:
    async with second.attached() as agent:
        stub = await served.tasks()
        task = (await stub.CreateTask(task_request())).task
        await agent.take()
        async for seen in stub.WatchTask(pb.WatchTaskRequest(task_id=task.task_id)):
            if seen.task.status == task_pb2.TASK_STATUS_RUNNING:
                break
        fanout.healthy = hints
        await stub.CancelTask(pb.CancelTaskRequest(task_id=task.task_id, reason="enough"))
        assert (await agent.expect("cancel")).cancel.reason == "enough"
        assert (await agent.expect("revoked")).revoked.reason == "CANCELLED"


async def test_an_agent_moves_to_another_replica_with_its_work(
    served: OrchestratorOnWire, second: OrchestratorOnWire
) -> None:
    agent = await served.agent()
    await agent.attach()
    await (await served.tasks()).CreateTask(task_request())
    lease = await agent.take()
    there = await moved(agent, second)
    attached = await there.attach(held=[lease.lease_token])
    assert list(attached.keep) == [lease.lease_token]
    assert await agent.ended() is grpc.StatusCode.UNAVAILABLE
    assert not (await there.complete(lease)).stale
    await there.vanish()


async def test_the_queue_is_bounded_over_both_replicas(served: OrchestratorOnWire, second: OrchestratorOnWire) -> None:
    await served.agent()
    stubs = [await served.tasks(), await second.tasks()]
    calls = [stub.CreateTask(task_request()) for _ in range(14) for stub in stubs]
    made = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in made) == 20


async def test_one_request_id_makes_one_task_over_both_replicas(
    served: OrchestratorOnWire, second: OrchestratorOnWire
) -> None:
    await served.agent()
    stubs = [await served.tasks(), await second.tasks()]
    made = await asyncio.gather(*(stub.CreateTask(task_request("r1")) for _ in range(5) for stub in stubs))
    assert len({one.task.task_id for one in made}) == 1


async def test_a_stopping_replica_sends_agents_away_and_their_leases_stay(
    served: OrchestratorOnWire, second: OrchestratorOnWire, engine: Engine
) -> None:
    agent = await served.agent()
    await agent.attach()
    stub = await served.tasks()
    task = (await stub.CreateTask(task_request())).task
    lease = await agent.take()
    watch = stub.WatchTask(pb.WatchTaskRequest(task_id=task.task_id))
    await watch.read()
    stopping = asyncio.Event()
    goodbye = asyncio.create_task(farewell(stopping, engine.desk, engine.sessions, engine.hub))
    stopping.set()
    assert (await agent.expect("goaway")).goaway.HasField("reconnect_after")
    await agent.leave()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        async for _ in watch:
            pass
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    there = await moved(agent, second)
    assert list((await there.attach(held=[lease.lease_token])).keep) == [lease.lease_token]
    assert not (await there.complete(lease)).stale
    await there.vanish()
    async with asyncio.timeout(LIMIT_S):
        await goodbye
    refused = (await served.platform_agents()).Work()
    await refused.write(work.WorkRequest(attach=work.Attach(agent_id=agent.agent_id, session_id="s")))
    assert await refused.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_agent_that_does_not_leave_is_let_go_after_the_grace(
    served: OrchestratorOnWire, engine: Engine
) -> None:
    async with served.attached() as agent:
        stopping = asyncio.Event()
        stopping.set()
        await farewell(stopping, engine.desk, engine.sessions, engine.hub, grace_s=0.1)
        assert await agent.ended() is grpc.StatusCode.OK
