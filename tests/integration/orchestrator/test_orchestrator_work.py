"""The Work stream, frame by frame, against a real server and a real PostgreSQL."""

import asyncio

import grpc
import pytest

from automesh.orchestrator.v1 import task_pb2, task_service_pb2
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.testing.wire import LIMIT_S, OrchestratorOnWire, task_request
from services.orchestrator.engine import Engine

pytestmark = pytest.mark.postgres
SCHEDULED, RUNNING, COMPLETED, FAILED, CANCELLED = (
    task_pb2.TASK_STATUS_SCHEDULED,
    task_pb2.TASK_STATUS_RUNNING,
    task_pb2.TASK_STATUS_COMPLETED,
    task_pb2.TASK_STATUS_FAILED,
    task_pb2.TASK_STATUS_CANCELLED,
)


async def create(served: OrchestratorOnWire, tenant_id: str = "default", **fields: object) -> task_pb2.Task:
    return (await (await served.tasks(tenant_id)).CreateTask(task_request(**fields))).task  # type: ignore[arg-type]


async def get(served: OrchestratorOnWire, task: task_pb2.Task) -> task_pb2.Task:
    request = task_service_pb2.GetTaskRequest(task_id=task.task_id)
    return (await (await served.tasks(task.tenant_id)).GetTask(request)).task


async def until(served: OrchestratorOnWire, task: task_pb2.Task, status: int) -> task_pb2.Task:
    """Watches until the task has this status."""
    stub = await served.tasks(task.tenant_id)
    async with asyncio.timeout(LIMIT_S):
        async for seen in stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task.task_id)):
            if seen.task.status == status:
                return seen.task
    raise AssertionError(f"the watch ended before the task was {status}")


async def test_a_task_goes_all_the_way(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        await agent.credit()
        task = await create(served, description="first")
        assert (task.status, task.attempt, task.tenant_id) == (SCHEDULED, 0, "default")
        lease = await agent.leased()
        assert (lease.task_id, lease.type, lease.attempt, lease.description) == (task.task_id, "noop", 1, "first")
        assert lease.traceparent
        assert (await get(served, task)).status == SCHEDULED
        await agent.accept(lease)
        running = await until(served, task, RUNNING)
        assert running.agent_id == agent.agent_id
        await agent.send(progress=pb.Progress(lease_token=lease.lease_token, fraction=0.5, message="half"))
        ack = await agent.complete(lease, answer=42)
        assert (ack.lease_token, ack.stale) == (lease.lease_token, False)
        done = await get(served, task)
        assert (done.status, done.result["answer"], done.progress.fraction) == (COMPLETED, 42, 0.5)
        assert done.HasField("finish_time")


async def test_registering_tells_the_terms_and_makes_the_type_known(served: OrchestratorOnWire) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(served, type="brand_new")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    agent = await served.agent("brand_new")
    assert agent.registered.lease_ttl.ToTimedelta().total_seconds() == 1.5
    assert agent.registered.heartbeat_interval.ToTimedelta().total_seconds() == 0.3
    assert (await create(served, type="brand_new")).status == SCHEDULED


async def test_a_stream_that_does_not_begin_with_attach_is_refused(served: OrchestratorOnWire) -> None:
    call = (await served.platform_agents()).Work()
    await call.write(pb.WorkRequest(credit=pb.Credit(count=1)))
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_agent_id_belongs_to_its_workload_and_tenant(served: OrchestratorOnWire) -> None:
    agent = await served.agent()
    foreign = await served.agents_of("acme")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.agent(agent_id=agent.agent_id, stub=foreign)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    call = foreign.Work()
    await call.write(pb.WorkRequest(attach=pb.Attach(agent_id=agent.agent_id, session_id="s")))
    assert await call.code() is grpc.StatusCode.NOT_FOUND


async def test_an_agent_of_a_tenant_gets_that_tenants_tasks_only(served: OrchestratorOnWire) -> None:
    agent = await served.agent(stub=await served.agents_of("acme"))
    await served.agent()  # makes the type known to all
    await agent.attach()
    await agent.credit(2)
    await create(served, "default")
    theirs = await create(served, "acme")
    assert (await agent.leased()).task_id == theirs.task_id
    await agent.vanish()


async def test_credits_bound_what_an_agent_gets(served: OrchestratorOnWire) -> None:
    async with served.attached(slots=2) as agent:
        for _ in range(4):
            await create(served)
        await agent.credit(4)  # more than its slots
        leases = [await agent.leased(), await agent.leased()]
        for lease in leases:
            await agent.accept(lease)
        assert not (await agent.complete(leases[0])).stale  # an ack, not a third lease
        await agent.credit()
        assert (await agent.leased()).task_id not in {lease.task_id for lease in leases}


async def test_two_agents_never_get_the_same_attempt(served: OrchestratorOnWire) -> None:
    async with served.attached(slots=8) as one, served.attached(slots=8) as other:
        await one.credit(8)
        await other.credit(8)
        tasks = {task.task_id for task in await asyncio.gather(*(create(served) for _ in range(16)))}
        leased = [await agent.leased() for agent in (one, other) for _ in range(8)]
        assert {lease.task_id for lease in leased} == tasks
        assert {lease.attempt for lease in leased} == {1}


async def test_an_unaccepted_lease_goes_to_another_agent(served: OrchestratorOnWire) -> None:
    async with served.attached() as slow, served.attached() as quick:
        await slow.credit()
        task = await create(served)
        ignored = await slow.leased()
        await quick.credit()
        lease = await quick.leased()
        assert (ignored.attempt, lease.task_id, lease.attempt) == (1, task.task_id, 2)
        assert (await slow.expect("revoked")).revoked.reason == "STALE"
        await quick.accept(lease)
        assert not (await quick.complete(lease)).stale


async def test_reattaching_keeps_the_leases(served: OrchestratorOnWire) -> None:
    agent = await served.agent()
    await agent.attach()
    await create(served)
    lease = await agent.take()
    await agent.vanish()
    attached = await agent.attach(held=[lease.lease_token, b"made up"])
    assert (list(attached.keep), list(attached.drop)) == ([lease.lease_token], [b"made up"])
    assert not (await agent.complete(lease)).stale
    await agent.vanish()


async def test_a_beating_agent_keeps_its_lease_for_longer_than_the_ttl(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        task = await create(served)
        lease = await agent.take()
        for _ in range(10):  # the orchestrator beats every 0.3 s: twice its ttl
            assert (await agent.next_frame(beats=True)).WhichOneof("message") == "heartbeat"
        assert not (await agent.complete(lease)).stale
        assert (await get(served, task)).attempt == 1


async def test_an_agent_that_falls_silent_loses_its_lease_although_its_stream_is_open(
    served: OrchestratorOnWire,
) -> None:
    async with served.attached() as stopped, served.attached() as other:
        await create(served)
        lost = await stopped.take()
        stopped.stop_beating()
        lease = await other.take()
        assert (lease.task_id, lease.attempt) == (lost.task_id, 2)
        assert (await stopped.expect("revoked")).revoked.reason == "STALE"
        assert (await stopped.complete(lost)).stale
        assert not (await other.complete(lease)).stale


async def test_a_vanished_agents_task_goes_to_another_and_its_late_answer_is_stale(served: OrchestratorOnWire) -> None:
    agent = await served.agent()
    await agent.attach()
    task = await create(served)
    lost = await agent.take()
    await until(served, task, RUNNING)
    await agent.vanish()
    async with served.attached() as other:
        lease = await other.take()
        assert (lease.task_id, lease.attempt) == (task.task_id, 2)
        attached = await agent.attach(held=[lost.lease_token])
        assert list(attached.drop) == [lost.lease_token]
        assert (await agent.complete(lost, who="late")).stale
        assert not (await other.complete(lease, who="other")).stale
        done = await get(served, task)
        assert (done.result["who"], done.attempt, done.status) == ("other", 2, COMPLETED)
    await agent.vanish()


async def test_a_repeated_done_is_answered_alike(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        await create(served)
        lease = await agent.take()
        assert not (await agent.complete(lease, n=1)).stale
        assert not (await agent.complete(lease, n=2)).stale


async def test_a_failed_task_is_retried_with_its_checkpoint(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        policy = task_pb2.RetryPolicy(max_retries=1)
        policy.initial_delay.FromMilliseconds(50)
        task = await create(served, retry_policy=policy)
        lease = await agent.take()
        await agent.send(progress=pb.Progress(lease_token=lease.lease_token, fraction=0.1, checkpoint=b"so far"))
        assert not (await agent.fail(lease)).stale
        again = await agent.take()
        assert (again.attempt, again.checkpoint) == (2, b"so far")
        await agent.fail(again)
        failed = await until(served, task, FAILED)
        assert (failed.failure.reason, failed.failure.attempt, failed.attempt) == ("BROKEN", 2, 2)


async def test_a_permanent_failure_is_final(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        task = await create(served)
        await agent.fail(await agent.take(), "MODULE_IMPORT_FAILED", retryable=False)
        failed = await get(served, task)
        assert (failed.status, failed.failure.reason) == (FAILED, "MODULE_IMPORT_FAILED")


async def test_cancelling_a_running_task_reaches_its_agent(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        task = await create(served)
        lease = await agent.take()
        await until(served, task, RUNNING)
        stub = await served.tasks()
        request = task_service_pb2.CancelTaskRequest(task_id=task.task_id, reason="not needed")
        assert (await stub.CancelTask(request)).task.status == CANCELLED
        cancel = (await agent.expect("cancel")).cancel
        assert (cancel.lease_token, cancel.reason) == (lease.lease_token, "not needed")
        assert (await agent.expect("revoked")).revoked.reason == "CANCELLED"
        assert (await agent.complete(lease)).stale
        assert (await get(served, task)).status == CANCELLED


async def test_an_attempt_beyond_its_timeout_is_taken_away(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        request = task_request(retry_policy=task_pb2.RetryPolicy(max_retries=0))
        request.task.timeout.FromSeconds(1)
        task = (await (await served.tasks()).CreateTask(request)).task
        await agent.take()
        assert (await agent.expect("revoked")).revoked.reason == "TIMED_OUT"
        failed = await get(served, task)
        assert (failed.status, failed.failure.reason) == (FAILED, "TIMED_OUT")


async def test_a_draining_agent_gets_nothing_more(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        await create(served)
        lease = await agent.take()
        await agent.credit(3)
        await agent.send(drain=pb.Drain())
        assert not (await agent.complete(lease)).stale
        await create(served)
        async with served.attached() as other:
            assert (await other.take()).attempt == 1
        listed = await (await served.people()).ListAgents(pb.ListAgentsRequest())
        assert {info.agent_id: info.draining for info in listed.agents}[agent.agent_id]


async def test_a_newer_stream_ends_the_older_one(served: OrchestratorOnWire) -> None:
    agent = await served.agent()
    again = await served.agent(agent_id=agent.agent_id)
    await agent.attach()
    await again.attach()
    assert await agent.ended() is grpc.StatusCode.UNAVAILABLE
    await again.vanish()


async def test_agents_are_listed_with_what_they_hold(served: OrchestratorOnWire) -> None:
    agent = await served.agent(slots=3)
    await agent.attach()
    await create(served)
    lease = await agent.take()
    people = await served.people()
    [info] = (await people.ListAgents(pb.ListAgentsRequest())).agents
    assert (info.agent_id, info.slots, info.leases, info.connected) == (agent.agent_id, 3, 1, True)
    assert [capability.type for capability in info.capabilities] == ["noop"]
    await agent.complete(lease)
    await agent.leave()
    [info] = (await people.ListAgents(pb.ListAgentsRequest())).agents
    assert (info.leases, info.connected) == (0, False)


async def test_agents_of_another_tenant_are_not_shown(served: OrchestratorOnWire) -> None:
    ours, theirs = await served.agents_of("default"), await served.agents_of("acme")
    for stub in (ours, theirs):
        await served.agent(stub=stub)
    await served.agent()
    shown = await (await served.people()).ListAgents(pb.ListAgentsRequest(page_size=1))
    rest = await (await served.people()).ListAgents(pb.ListAgentsRequest(page_token=shown.next_page_token))
    assert len([*shown.agents, *rest.agents]) == 2  # ours and the platform's
    assert not rest.next_page_token


async def test_a_task_that_no_key_opens_is_given_up_and_others_go_on(
    served: OrchestratorOnWire, engine: Engine
) -> None:
    async with served.attached() as agent:
        broken = await create(served)
        task = await create(served)
        await engine.tasks._database.execute(
            "UPDATE task SET input = (SELECT input FROM task WHERE task_id = $2) WHERE task_id = $1",
            broken.task_id,
            task.task_id,
            tenant="default",
        )
        await agent.credit(2)
        assert (await agent.leased()).task_id == task.task_id
        row = await engine.tasks._database.fetchrow(
            "SELECT status, failure_reason FROM task WHERE task_id = $1", broken.task_id, tenant="default"
        )
        assert row is not None
        assert tuple(row) == ("FAILED", "TASK_UNREADABLE")


async def test_a_bad_frame_ends_the_stream_with_the_reason(served: OrchestratorOnWire) -> None:
    async with served.attached() as agent:
        await agent.credit(0)
        assert await agent.ended() is grpc.StatusCode.INVALID_ARGUMENT
