"""One suite for both stores of runs and sweeps: the fakes, and the real ones on PostgreSQL."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from automesh.core.ids import new_id
from automesh.storage.postgres import ENGINE, Database
from automesh.testing.postgres import PostgresForTests
from services.model.convert.runs import SpecMessages
from services.model.domain.registry.errors import ModelNameTaken, ModelNotFound
from services.model.domain.registry.model import ModelText
from services.model.domain.runs.checkpoint import Checkpoint, StoredFile
from services.model.domain.runs.errors import RunNotFound, RunRequestReused, SweepNotFound, TooManyRuns
from services.model.domain.runs.ports import RunQuery, RunStore, SweepStore
from services.model.domain.runs.progress import BestMetric, Latest, MetricPoint, Pace, RunProgress
from services.model.domain.runs.run import Run, RunFailure, RunState
from services.model.domain.sweeps.sweep import Sweep, SweepMethod, Trial
from services.model.domain.webhooks.events import RUN_COMPLETED, RUN_FAILED
from services.model.fakes.run_store import FakeRunStore, FakeSweepStore
from services.model.fakes.training_house import SPEC, FakeTime
from services.model.store.runs import SqlRunStore
from services.model.store.sweeps import SqlSweepStore
from services.model.store.versions import SqlModelStore

TENANT, OTHER = "acme", "globex"
MOMENT = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
SHIFTS = (
    "UPDATE run SET created_at = created_at - $1::interval, checked_at = checked_at - $1::interval, "
    "heard_at = heard_at - $1::interval, finished_at = finished_at - $1::interval",
    "UPDATE sweep SET checked_at = checked_at - $1::interval",
)
SPECS = SpecMessages()


@dataclass
class House:
    """The stores, with a handle on their time."""

    runs: RunStore
    sweeps: SweepStore
    model_id: str
    advance: Callable[[float], Awaitable[None]]
    discarded: Callable[[], Awaitable[set[str]]]
    database: Database | None = None

    def draft(self, tenant_id: str = TENANT, **fields: Any) -> Run:
        spec = SPECS.read({**SPEC, "model_id": self.model_id})
        run = Run(
            run_id=new_id("run"),
            tenant_id=tenant_id,
            model_id=self.model_id,
            spec=spec,
            created_by="user_1",
            created_at=MOMENT,
        )
        return replace(run.expecting(1), **fields)

    async def create(self, request_id: str = "", fingerprint: str = "", limit: int = 100, **fields: Any) -> Run:
        run, _ = await self.runs.create(
            self.draft(**fields), request_id=request_id, fingerprint=fingerprint, limit=limit
        )
        return run

    async def set(self, run: Run, **fields: Any) -> Run:
        _, after = await self.runs.change(run.tenant_id, run.run_id, lambda run, _: replace(run, **fields))
        return after

    def sweep(self, **fields: Any) -> Sweep:
        plain: dict[str, Any] = {
            "sweep_id": new_id("sweep"),
            "tenant_id": TENANT,
            "model_id": self.model_id,
            "spec": SPECS.read(SPEC),
            "method": SweepMethod.GRID,
            "trials": (Trial(number=0, parameters={"seed": "1"}), Trial(number=1, parameters={"seed": "2"})),
            "max_parallel": 2,
            "metric": "val/loss",
            "higher_is_better": False,
            "created_by": "user_1",
            "created_at": MOMENT,
        }
        return Sweep(**(plain | fields))


def fake_house() -> House:
    time = FakeTime()
    runs = FakeRunStore(time)

    async def advance(seconds: float) -> None:
        time.advance(seconds)

    async def discarded() -> set[str]:
        return set(runs.discarded)

    return House(runs, FakeSweepStore(time), "model_1", advance, discarded)


async def sql_house(database: Database) -> House:
    model_id = new_id("model")
    for tenant_id, suffix in ((TENANT, ""), (OTHER, "x")):
        await SqlModelStore(database).create(model_id + suffix, tenant_id, ModelText(name="sunspots"), "user_1")

    async def advance(seconds: float) -> None:
        for shift in SHIFTS:
            await database.execute(shift, timedelta(seconds=seconds), tenant=ENGINE)

    async def discarded() -> set[str]:
        return {row["blob"] for row in await database.fetch("SELECT blob FROM discarded_blob", tenant=ENGINE)}

    return House(SqlRunStore(database), SqlSweepStore(database), model_id, advance, discarded, database)


@pytest.fixture(params=["fake", pytest.param("sql", marks=pytest.mark.postgres)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "fake":
        yield fake_house()
        return
    postgres: PostgresForTests = request.getfixturevalue("postgres")
    async with (
        postgres.fresh({"model": "services.model.migrations"}) as dsn,
        Database.open(dsn, schema="model") as database,
    ):
        yield await sql_house(database)


def whole(run: Run) -> Run:
    """With a value in every field."""
    file = StoredFile("state.json", "runs/acme/x/b1", 3, "a" * 64)
    return replace(
        run.carried_by(0, new_id("task")),
        state=RunState.RUNNING,
        claims=2,
        host_node=0,
        endpoint="box:29400",
        claimed_checkpoint="checkpoints/000001",
        last_batch=4,
        progress=RunProgress(
            epoch=1,
            epochs=9,
            step=5,
            steps=90,
            eta=timedelta(seconds=12.5),
            samples_per_second=math.inf,
            gpu_memory=7,
            best=BestMetric("val/loss", math.nan, 5, 1),
        ),
        metrics={"val/loss": Latest(math.nan, 5), "lr": Latest(0.1, 5)},
        replayed={"val/loss": 3},
        pace=Pace(2, MOMENT),
        files={"a": StoredFile("a", "runs/acme/x/b2", 1, "b" * 64)},
        checkpoints=(Checkpoint(folder="checkpoints/000001", step=1, files=(file,), best=True),),
        environment={"torch": "2.13.0"},
        origin="run_before",
        started_at=MOMENT,
        heard_at=MOMENT,
        revision=3,
    )


def points(*numbers: int) -> list[MetricPoint]:
    return [MetricPoint("train/loss", 1 / number, number, 1, MOMENT, number) for number in numbers]


# ---------------------------------------------------------------------- one run
async def test_a_run_is_read_as_it_was_written(house: House) -> None:
    run = await house.create()
    _, written = await house.runs.change(TENANT, run.run_id, lambda run, _: whole(run))
    read = await house.runs.get(TENANT, run.run_id)
    assert repr(read) == repr(written)  # NaN equals nothing, its text does


async def test_a_run_of_another_tenant_is_not_there(house: House) -> None:
    run = await house.create()
    for attempt in (
        house.runs.get(OTHER, run.run_id),
        house.runs.stamp(OTHER, run.run_id),
        house.runs.change(OTHER, run.run_id, lambda run, _: run),
    ):
        with pytest.raises(RunNotFound):
            await attempt
    assert await house.runs.list(OTHER, RunQuery(limit=10)) == []
    assert await house.runs.points(OTHER, run.run_id, after=0, limit=9) == []


async def test_a_request_makes_one_run(house: House) -> None:
    first = await house.create(request_id="r1", fingerprint="f")
    again = await house.create(request_id="r1", fingerprint="f")
    assert again.run_id == first.run_id
    assert (await house.runs.by_request(TENANT, "r1", "f")) == first
    assert await house.runs.by_request(TENANT, "r2", "f") is None
    with pytest.raises(RunRequestReused):
        await house.create(request_id="r1", fingerprint="other")


async def test_a_model_that_was_made_for_a_run_or_sweep_is_not_shared_with_one_that_was_as_quick(house: House) -> None:
    drafts = [house.draft() for _ in range(4)]
    outcomes = await asyncio.gather(
        *(house.runs.create(each, limit=9, new_model=True) for each in drafts), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, ModelNameTaken)]
    assert (len(refused), len(await house.runs.list(TENANT, RunQuery(limit=9)))) == (3, 1)
    await house.create()  # whoever names the model may join


async def test_a_model_that_was_made_for_a_sweep_is_not_shared_either(house: House) -> None:
    outcomes = await asyncio.gather(
        *(house.sweeps.create(house.sweep(), new_model=True) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(each, ModelNameTaken) for each in outcomes) == 2


async def test_side_by_side_one_request_for_a_new_model_makes_one_run(house: House) -> None:
    made = await asyncio.gather(
        *(house.runs.create(house.draft(), request_id="r1", fingerprint="f", limit=9, new_model=True) for _ in range(4))
    )
    assert len({run.run_id for run, _ in made}) == 1


async def test_a_task_makes_one_run(house: House) -> None:
    draft = house.draft().carried_by(0, "task_1")
    first, fresh = await house.runs.create(draft, limit=9)
    again, later = await house.runs.create(replace(draft, run_id=new_id("run")), limit=9)
    assert (fresh, later, again.run_id) == (True, False, first.run_id)


async def test_the_same_run_id_is_made_once(house: House) -> None:
    draft = house.draft()
    _, fresh = await house.runs.create(draft, limit=9)
    again, later = await house.runs.create(draft, limit=9)
    assert (fresh, later, again.run_id) == (True, False, draft.run_id)


async def test_side_by_side_one_request_makes_one_run(house: House) -> None:
    made = await asyncio.gather(*(house.create(request_id="r1", fingerprint="f") for _ in range(5)))
    assert len({run.run_id for run in made}) == 1


async def test_live_runs_are_bounded(house: House) -> None:
    first = await house.create(limit=1)
    with pytest.raises(TooManyRuns):
        await house.create(limit=1)
    await house.runs.change(TENANT, first.run_id, lambda run, now: run.cancelled("", now))
    await house.create(limit=1)


async def test_a_run_is_found_by_task_and_token_until_they_change(house: House) -> None:
    run = await house.create()
    assert await house.runs.of_task("task_1") is None
    held = run.carried_by(0, "task_1")
    await house.set(run, tasks=(replace(held.tasks[0], token="t1"),))
    assert (await house.runs.of_task("task_1")) == (await house.runs.of_token("t1"))
    await house.set(run, tasks=(replace(held.tasks[0], token="t2"),))
    assert await house.runs.of_token("t1") is None
    found = await house.runs.of_token("t2")
    assert found is not None
    assert found.run_id == run.run_id
    await house.set(run, tasks=house.draft().tasks)  # resumed: the old task still leads here, so that it is refused
    old = await house.runs.of_task("task_1")
    assert old is not None
    assert old.task_id == ""


async def test_only_a_run_that_nobody_claimed_is_deleted(house: House) -> None:
    run, other = await house.create(request_id="r1", fingerprint="f"), await house.create()
    await house.set(other, claims=1)
    for each in (run, other):
        await house.runs.delete(TENANT, each.run_id)
    with pytest.raises(RunNotFound):
        await house.runs.get(TENANT, run.run_id)
    assert (await house.runs.get(TENANT, other.run_id)).claims == 1
    assert await house.runs.by_request(TENANT, "r1", "f") is None


async def test_lists_are_newest_first_and_filtered(house: House) -> None:
    runs = [await house.create(sweep_id=sweep) for sweep in ("", "sweep_1", "sweep_1")]
    await house.runs.change(TENANT, runs[0].run_id, lambda run, now: run.cancelled("", now))
    ids = [run.run_id for run in runs]

    async def listed(**query: Any) -> list[str]:
        return [run.run_id for run in await house.runs.list(TENANT, RunQuery(**{"limit": 10, **query}))]

    assert await listed() == sorted(ids, reverse=True)
    assert await listed(limit=1) == [max(ids)]
    assert await listed(before=max(ids)) == sorted(ids, reverse=True)[1:]
    assert await listed(state=RunState.CANCELLED) == ids[:1]
    assert sorted(await listed(sweep_id="sweep_1")) == sorted(ids[1:])
    assert await listed(model_id="model_of_nobody") == []


WRONG: tuple[dict[str, Any], ...] = (
    {"state": RunState.RUNNING, "claims": 1, "finished_at": MOMENT},
    {"state": RunState.CANCELLED},
    {"state": RunState.COMPLETED, "claims": 1, "finished_at": MOMENT},
    {"model_version": 1},
    {"state": RunState.FAILED, "finished_at": MOMENT},
    {"failure": RunFailure("BROKEN", "x")},
    {"state": RunState.RUNNING},
    {"state": RunState.RUNNING, "claims": 1, "waits_for_gpu": True},
    {"settled": True},
)


async def test_what_no_run_can_be_is_never_stored(house: House) -> None:
    run = await house.create()
    for wrong in WRONG:
        with pytest.raises((AssertionError, asyncpg.CheckViolationError)):
            await house.set(run, **wrong)
        assert await house.runs.get(TENANT, run.run_id) == run


# ---------------------------------------------------------------------- points
async def test_points_come_back_in_order(house: House) -> None:
    run = await house.create()
    await house.runs.record(TENANT, run.run_id, lambda run, _: (replace(run, last_sequence=2), points(1, 2)))
    await house.runs.record(TENANT, run.run_id, lambda run, _: (replace(run, last_sequence=3), points(3)))
    assert list(await house.runs.points(TENANT, run.run_id, after=0, limit=9)) == points(1, 2, 3)
    assert list(await house.runs.points(TENANT, run.run_id, after=1, limit=1)) == points(2)
    assert list(await house.runs.points(TENANT, run.run_id, after=0, limit=9, names=["lr"])) == []
    assert (await house.runs.stamp(TENANT, run.run_id)).last_sequence == 3


async def test_values_that_are_no_numbers_are_kept(house: House) -> None:
    run = await house.create()
    odd = [
        replace(point, value=value)
        for point, value in zip(points(1, 2, 3), (math.nan, math.inf, -math.inf), strict=True)
    ]
    await house.runs.record(TENANT, run.run_id, lambda run, _: (replace(run, last_sequence=3), odd))
    values = [each.value for each in await house.runs.points(TENANT, run.run_id, after=0, limit=9)]
    assert str(values) == "[nan, inf, -inf]"


async def test_nothing_is_recorded_when_the_recording_raises(house: House) -> None:
    run = await house.create()

    def refuse(run: Run, now: datetime) -> tuple[Run, list[MetricPoint]]:
        raise RunNotFound("no")

    with pytest.raises(RunNotFound):
        await house.runs.record(TENANT, run.run_id, refuse)
    assert await house.runs.points(TENANT, run.run_id, after=0, limit=9) == []


async def test_side_by_side_numbers_have_neither_gap_nor_repetition(house: House) -> None:
    run = await house.create()

    async def report(name: str) -> None:
        def next_three(run: Run, _: datetime) -> tuple[Run, list[MetricPoint]]:
            first = run.last_sequence + 1
            numbered = [replace(each, name=name) for each in points(*range(first, first + 3))]
            return replace(run, last_sequence=first + 2), numbered

        await house.runs.record(TENANT, run.run_id, next_three)

    await asyncio.gather(*(report(f"m{number}") for number in range(8)))
    found = await house.runs.points(TENANT, run.run_id, after=0, limit=99)
    assert [each.sequence for each in found] == list(range(1, 25))


async def test_points_that_are_old_or_too_many_are_forgotten(house: House) -> None:
    ended, living = await house.create(), await house.create()
    for run in (ended, living):
        await house.runs.record(
            TENANT, run.run_id, lambda run, _: (replace(run, last_sequence=5), points(1, 2, 3, 4, 5))
        )
    await house.runs.change(TENANT, ended.run_id, lambda run, now: run.cancelled("", now))
    assert await house.runs.forget_points(ended_for=timedelta(days=1), keep=5, limit=99) == 0
    await house.advance(2 * 86_400)
    assert await house.runs.forget_points(ended_for=timedelta(days=1), keep=3, limit=99) == 7
    assert await house.runs.points(TENANT, ended.run_id, after=0, limit=9) == []
    assert list(await house.runs.points(TENANT, living.run_id, after=0, limit=9)) == points(3, 4, 5)


# ---------------------------------------------------------------------- blobs
async def test_blobs_that_a_run_no_longer_names_are_discarded(house: House) -> None:
    run = await house.create()
    file = StoredFile("a", "runs/acme/x/b1", 1, "a" * 64)
    await house.runs.reserve(file.blob, timedelta(days=1))
    assert await house.discarded() == {file.blob}
    run = await house.set(run, files={"a": file})
    assert await house.discarded() == set()
    checkpoint = Checkpoint(folder="c", step=1, files=(file,))
    run = await house.set(run, files={}, checkpoints=(checkpoint,))  # it only moved
    assert await house.discarded() == set()
    await house.set(run, checkpoints=())
    assert await house.discarded() == {file.blob}


# ---------------------------------------------------------------------- for the loops
async def test_silent_runs_come_to_one_caller_each(house: House) -> None:
    silent, heard, over = await house.create(), await house.create(), await house.create()
    await house.runs.change(TENANT, over.run_id, lambda run, now: run.cancelled("", now))
    await house.advance(20)
    await house.runs.change(TENANT, heard.run_id, lambda run, now: replace(run, heard_at=now))
    limit = timedelta(seconds=10)
    took = [await house.runs.unheard(silent_for=limit, limit=1) for _ in range(3)]
    assert {run.run_id for batch in took for run in batch} == {silent.run_id, over.run_id}
    await house.set(over, settled=True, state=RunState.CANCELLED, finished_at=MOMENT)
    await house.advance(20)
    assert {run.run_id for run in await house.runs.unheard(silent_for=limit, limit=9)} == {
        silent.run_id,
        heard.run_id,
    }


# ---------------------------------------------------------------------- sweeps
async def test_a_sweep_is_read_as_it_was_written(house: House) -> None:
    sweep, fresh = await house.sweeps.create(house.sweep(), request_id="r1", fingerprint="f")
    again, later = await house.sweeps.create(house.sweep(), request_id="r1", fingerprint="f")
    assert (fresh, later, again.sweep_id) == (True, False, sweep.sweep_id)
    with pytest.raises(RunRequestReused):
        await house.sweeps.create(house.sweep(), request_id="r1", fingerprint="other")
    trial = Trial(number=0, parameters={"a.b": "0.5"}, round=1, epochs=3, origin="run_0", run_id="run_1", value=0.25)
    _, written = await house.sweeps.change(
        TENANT, sweep.sweep_id, lambda sweep, _: replace(sweep, trials=(trial, replace(trial, value=math.nan)))
    )
    assert repr(await house.sweeps.get(TENANT, sweep.sweep_id)) == repr(written)
    with pytest.raises(SweepNotFound):
        await house.sweeps.get(OTHER, sweep.sweep_id)


async def test_a_sweep_under_way_is_due_now_and_then(house: House) -> None:
    sweep, _ = await house.sweeps.create(house.sweep())
    second = timedelta(seconds=1)
    assert [each.sweep_id for each in await house.sweeps.due(every=second, limit=9)] == [sweep.sweep_id]
    assert await house.sweeps.due(every=second, limit=9) == []
    await house.advance(2)
    assert len(await house.sweeps.due(every=second, limit=9)) == 1
    await house.advance(2)
    await house.sweeps.change(TENANT, sweep.sweep_id, lambda sweep, now: sweep.cancelled(now))
    assert await house.sweeps.due(every=second, limit=9) == []


# ---------------------------------------------------------------------- what only SQL has
@pytest.fixture
async def sql(postgres: PostgresForTests) -> AsyncIterator[House]:
    async with (
        postgres.fresh({"model": "services.model.migrations"}) as dsn,
        Database.open(dsn, schema="model") as database,
    ):
        yield await sql_house(database)


@pytest.mark.postgres
async def test_a_run_needs_its_model(sql: House) -> None:
    with pytest.raises(ModelNotFound):
        await sql.create(model_id="model_of_nobody")


@pytest.mark.postgres
async def test_the_end_of_a_run_is_announced_once(sql: House) -> None:
    assert sql.database is not None
    insert = (
        "INSERT INTO webhook (webhook_id, tenant_id, url, events, description, secret, request_id) "
        "VALUES ('w', 'acme', 'https://x', '{}', '', '', '')"
    )
    await sql.database.execute(insert, tenant=TENANT)
    done, lost = await sql.create(), await sql.create()
    await sql.set(done, state=RunState.RUNNING, claims=1)
    for _ in range(2):
        await sql.runs.change(
            TENANT, done.run_id, lambda run, now: run if run.model_version else run.completed(1, {"val/loss": 1.0}, now)
        )
        await sql.runs.change(TENANT, lost.run_id, lambda run, now: run.failed(RunFailure("BROKEN", "x"), now))
    told = await sql.database.fetch("SELECT event FROM delivery ORDER BY delivery_id", tenant=TENANT)
    assert [row["event"] for row in told] == [RUN_COMPLETED, RUN_FAILED]


@pytest.mark.postgres
async def test_two_replicas_never_take_the_same_silent_run(sql: House) -> None:
    for _ in range(20):
        await sql.create()
    await sql.advance(20)
    took = await asyncio.gather(*(sql.runs.unheard(silent_for=timedelta(seconds=10), limit=5) for _ in range(4)))
    ids = [run.run_id for batch in took for run in batch]
    assert len(ids) == len(set(ids)) == 20
