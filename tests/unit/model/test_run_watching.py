"""Watching a run on fakes: no gap, no repetition, slow readers, cuts, an absent database, cancellation."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from automesh.core.errors import Unavailable
from automesh.testing.blobs import FakeBlobStore
from services.model.domain.runs.errors import ReplicaStopping, RunNotFound, TooManyWatchers
from services.model.domain.runs.ports import Stamp
from services.model.domain.runs.run import RunState
from services.model.domain.runs.signals import GAP
from services.model.domain.runs.watching import RunSight, WatchHub, WatchPace
from services.model.fakes.training_house import TENANT, TrainingHouse

Sights = AsyncGenerator[RunSight, None]


@pytest.fixture
def house() -> TrainingHouse:
    return TrainingHouse(FakeBlobStore())


async def next_of(sights: Sights) -> RunSight:
    return await asyncio.wait_for(anext(sights), 5)


def steps(*sights: RunSight) -> list[int]:
    return [point.step for sight in sights for point in sight.points]


async def test_the_state_comes_first_then_points_then_the_end(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.report(claimed.token, 1, 1, 2)
    async with aclosing(house.trainings.watch(TENANT, claimed.run.run_id, 0)) as sights:
        first = await next_of(sights)
        assert (first.run.state, list(first.points), first.sequence) == (RunState.RUNNING, [], 0)
        second = await next_of(sights)
        assert (steps(second), second.sequence) == ([1, 2], 2)
        await house.report(claimed.token, 2, 3)
        await house.finish(claimed.token)
        rest = [sight async for sight in sights]
        assert steps(*rest) == [3]
        assert (rest[-1].run.state, rest[-1].run.model_version) == (RunState.COMPLETED, 1)


async def test_a_run_that_has_ended_is_told_with_all_its_points(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.report(claimed.token, 1, *range(1, 6))
    await house.finish(claimed.token)
    sights = [sight async for sight in house.trainings.watch(TENANT, claimed.run.run_id, 2)]
    assert steps(*sights) == [3, 4, 5]
    assert len([sight async for sight in house.trainings.watch(TENANT, claimed.run.run_id, 5)]) == 1


async def test_a_watch_that_is_cut_goes_on_without_gap_or_repetition(house: TrainingHouse) -> None:
    claimed = await house.running()
    seen: list[int] = []
    sequence = 0
    for batch in range(1, 8):
        await house.report(claimed.token, batch, 3 * batch, 3 * batch + 1, 3 * batch + 2)
        async with aclosing(house.trainings.watch(TENANT, claimed.run.run_id, sequence)) as sights:
            await next_of(sights)
            sight = await next_of(sights)
            seen += [point.sequence for point in sight.points]
            sequence = sight.sequence
    assert seen == list(range(1, 22))
    assert house.hub.watchers == 0


async def test_the_past_comes_in_bounded_messages_and_nothing_of_it_is_dropped() -> None:
    pace = WatchPace(poll_s=0.02, gather_s=0.001, max_points=10, max_behind=20)
    house = TrainingHouse(FakeBlobStore(), pace=pace)
    claimed = await house.running()
    await house.report(claimed.token, 1, *range(1, 96))
    await house.finish(claimed.token)
    sights = [sight async for sight in house.trainings.watch(TENANT, claimed.run.run_id, 0)]
    assert steps(*sights) == list(range(1, 96))
    assert max(len(sight.points) for sight in sights) == 10
    assert sum(sight.dropped for sight in sights) == 0


async def test_a_slow_reader_loses_the_oldest_points_and_never_the_end() -> None:
    pace = WatchPace(poll_s=0.02, gather_s=0.001, max_points=10, max_behind=20)
    house = TrainingHouse(FakeBlobStore(), pace=pace)
    claimed = await house.running()
    async with aclosing(house.trainings.watch(TENANT, claimed.run.run_id, 0)) as sights:
        await next_of(sights)
        await house.report(claimed.token, 1, 1)
        seen = [await next_of(sights)]
        waiting = asyncio.create_task(next_of(sights))  # it has caught up, and hears of the next point
        await house.report(claimed.token, 2, 2)
        seen.append(await waiting)
        await house.report(claimed.token, 3, *range(3, 203))  # while nobody reads
        await house.finish(claimed.token)
        seen += [sight async for sight in sights]
    assert sum(sight.dropped for sight in seen) == 180
    assert steps(*seen) == [1, 2, *range(183, 203)]
    assert seen[-1].run.state is RunState.COMPLETED
    assert seen[-1].sequence == 202


async def test_hints_are_heard_at_once_and_lost_ones_found_by_polling(house: TrainingHouse) -> None:
    claimed = await house.running()
    silent = TrainingHouse(FakeBlobStore())  # its signals reach nobody here
    house.reporting._signals = silent.signals
    async with aclosing(house.trainings.watch(TENANT, claimed.run.run_id, 0)) as sights:
        await next_of(sights)
        await house.report(claimed.token, 1, 1)
        assert steps(await next_of(sights)) == [1]


async def test_a_gap_in_the_hints_wakes_everybody(house: TrainingHouse) -> None:
    hub = WatchHub()
    with hub.watching("run_1") as one, hub.watching("run_2") as two:
        hub.on_signal("run_1")
        assert (one.is_set(), two.is_set()) == (True, False)
        hub.on_signal(GAP)
        assert two.is_set()


async def test_watchers_are_bounded_and_let_go(house: TrainingHouse) -> None:
    hub = WatchHub(limit=1)
    with hub.watching("run_1"):
        with pytest.raises(TooManyWatchers):
            with hub.watching("run_1"):
                pass
    assert hub.watchers == 0


async def test_a_cancelled_watch_leaves_nothing_behind(house: TrainingHouse) -> None:
    claimed = await house.running()

    async def watch() -> None:
        async with aclosing(house.trainings.watch(TENANT, claimed.run.run_id, 0)) as sights:
            async for _ in sights:
                started.set()

    started = asyncio.Event()
    watching = asyncio.create_task(watch())
    await asyncio.wait_for(started.wait(), 5)
    assert house.hub.watchers == 1
    watching.cancel()
    await asyncio.wait([watching])
    assert house.hub.watchers == 0


async def test_a_run_of_another_tenant_cannot_be_watched(house: TrainingHouse) -> None:
    run = await house.start()
    with pytest.raises(RunNotFound):
        await next_of(house.trainings.watch("globex", run.run_id, 0))


async def test_a_replica_that_stops_ends_its_watches(house: TrainingHouse) -> None:
    run = await house.start()
    sights = house.trainings.watch(TENANT, run.run_id, 0)
    await next_of(sights)
    waiting = asyncio.create_task(next_of(sights))
    house.hub.stop()
    with pytest.raises(ReplicaStopping):
        await waiting


async def test_a_watch_bears_a_database_that_is_away_for_a_moment(house: TrainingHouse) -> None:
    claimed = await house.running()
    sights = house.trainings.watch(TENANT, claimed.run.run_id, 0)
    await next_of(sights)
    stamp, failures = house.store.stamp, 0

    async def away(tenant_id: str, run_id: str) -> Stamp:
        nonlocal failures
        failures += 1
        if failures < 4:
            raise Unavailable("away")
        return await stamp(tenant_id, run_id)

    house.store.stamp = away  # type: ignore[method-assign] # away for a while
    await house.report(claimed.token, 1, 1)
    assert steps(await next_of(sights)) == [1]
    assert failures >= 4
    await sights.aclose()
