"""Watching runs over mutual TLS: cuts, restarts, slow readers, two replicas."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from automesh.model.v1 import run_pb2
from automesh.model.v1 import run_service_pb2 as pb
from tests.integration.model.training_stand import (
    LIMIT_S,
    Replica,
    Stand,
    next_update,
    running,
    steps,
    updates,
)

pytestmark = pytest.mark.postgres


async def test_a_watch_cut_again_and_again_on_two_replicas_misses_and_repeats_nothing(stand: Stand) -> None:
    async with stand.replica("first") as first, stand.replica("second") as second:
        run_id, agent = await running(stand, first)
        watchers = [await first.runs(), await second.runs()]
        ahead = 8  # batches of 5 points: fewer than PACE.max_behind, beyond which a reader loses points
        room = asyncio.Semaphore(ahead)

        async def train() -> None:
            for batch in range(40):
                await room.acquire()
                await agent.report(range(batch * 5 + 1, batch * 5 + 6))
            await agent.finish()

        training = asyncio.create_task(train())
        seen: list[int] = []
        sequence, cuts, over = 0, 0, False
        while not over:
            call = watchers[cuts % 2].WatchTraining(pb.WatchTrainingRequest(run_id=run_id, from_sequence=sequence))
            for _ in range(3):  # then the line is cut
                update = await next_update(call)
                assert not update.dropped
                seen += steps([update])
                for _ in range(update.sequence // 5 - sequence // 5):
                    room.release()
                sequence = update.sequence
                over = update.state == run_pb2.RUN_STATE_COMPLETED and update.model_version == 1 and sequence == 200
                if over:
                    break
            call.cancel()
            cuts += 1
        await training
        assert seen == list(range(1, 201))
        assert cuts > 2


async def test_a_watch_goes_on_after_a_restart_of_the_service(stand: Stand) -> None:
    async with stand.replica() as before:
        run_id, agent = await running(stand, before)
        call = (await before.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
        await agent.report([1, 2, 3])
        seen = [await next_update(call)]
        while seen[-1].sequence < 3:
            seen.append(await next_update(call))
        before.engine.hub.stop()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await updates(call)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        token, batch = agent.token, agent.batch
    async with stand.replica() as after:
        agent = await after.agent()
        agent.token, agent.batch = token, batch  # the trainer went on meanwhile
        call = (await after.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id, from_sequence=3))
        await agent.report([4, 5])
        await agent.finish()
        seen += await updates(call)
    assert steps(seen) == [1, 2, 3, 4, 5]
    assert seen[-1].state == run_pb2.RUN_STATE_COMPLETED


async def test_a_reader_that_stops_reading_loses_the_oldest_points_and_hears_the_end(
    stand: Stand, replica: Replica
) -> None:
    run_id, agent = await running(stand, replica)
    call = (await replica.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
    await agent.report([1])
    seen = [await next_update(call)]
    while seen[-1].sequence < 1:
        seen.append(await next_update(call))
    total = 30_000  # far more than the buffers of a connection hold
    for first in range(2, total + 1, 1000):
        await agent.report(range(first, min(first + 1000, total + 1)))
    await agent.finish()
    seen += await updates(call)
    dropped = sum(update.dropped for update in seen)
    got = steps(seen)
    assert dropped > 0
    assert len(got) + dropped == total
    assert got == sorted(set(got))
    assert got[-1] == total
    assert (seen[-1].state, seen[-1].sequence) == (run_pb2.RUN_STATE_COMPLETED, total)


async def test_without_hints_a_watch_finds_everything_by_looking(stand: Stand) -> None:
    stand.fanout.healthy = False
    async with stand.replica("first") as first, stand.replica("second") as second:
        run_id, agent = await running(stand, first)
        call = (await second.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
        await next_update(call)
        await agent.report([1, 2])
        await agent.finish()
        assert steps(await updates(call)) == [1, 2]


async def test_a_watcher_that_leaves_frees_everything(stand: Stand, replica: Replica) -> None:
    run_id, _ = await running(stand, replica)
    call = (await replica.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
    await next_update(call)
    assert replica.engine.hub.watchers == 1
    call.cancel()
    await asyncio.wait_for(replica.engine.hub.gone(), LIMIT_S)
    assert replica.engine.hub.watchers == 0
