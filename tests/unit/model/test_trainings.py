"""Starting, stopping and resuming trainings, on fakes."""

from dataclasses import replace

import pytest

from automesh.core.errors import NotFound, Unavailable, ValidationError
from automesh.testing.blobs import FakeBlobStore
from services.model.domain.registry.version import NewVersion
from services.model.domain.runs.errors import (
    DataDoesNotFit,
    DatasetNotReady,
    NoGpu,
    RunNotResumable,
    RunRequestReused,
    TooManyRuns,
)
from services.model.domain.runs.run import RunState
from services.model.domain.training.data_view import ColumnView, DataView, PartView
from services.model.fakes.neighbours import SUNSPOTS, FakeDatasets
from services.model.fakes.training_house import SPEC, TENANT, TrainingHouse
from services.model.loops.reconciler import Reconciler

CUDA = {"device": "DEVICE_CUDA"}


@pytest.fixture
def house() -> TrainingHouse:
    return TrainingHouse(FakeBlobStore())


def reconciler(house: TrainingHouse) -> Reconciler:
    return Reconciler(house.store, house.queue, house.datasets, house.registry, signals=house.signals, clock=house.time)


async def test_a_training_becomes_a_queued_run_with_a_task(house: TrainingHouse) -> None:
    run = await house.start()
    assert (run.state, run.model_id, run.task_id) == (RunState.QUEUED, "model_1", "task_1")
    task = house.queue.tasks["task_1"].new
    assert (task.type, task.tenant_id, task.subject) == ("model_training", TENANT, "user_1")
    assert task.input["run_id"] == run.run_id


async def test_the_version_of_the_data_is_fixed_in_the_spec(house: TrainingHouse) -> None:
    run = await house.start()
    assert run.spec.data.version == SUNSPOTS.version
    assert run.spec.model_id == run.model_id


async def test_the_same_request_starts_one_training(house: TrainingHouse) -> None:
    first, again = await house.start(request_id="r1"), await house.start(request_id="r1")
    assert first == again
    assert len(house.queue.tasks) == 1
    with pytest.raises(RunRequestReused):
        await house.start(request_id="r1", seed=7)


async def test_a_tenant_has_so_many_live_runs(house: TrainingHouse) -> None:
    small = TrainingHouse(FakeBlobStore(), live_limit=1)
    await small.start()
    with pytest.raises(TooManyRuns, match="1 runs wait or train already"):
        await small.start()


# ---------------------------------------------------------------------- data that does not fit
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": {"data_id": "data_sunspots", "features": ["size"]}}, "has no column 'size'; it has year, number"),
        (
            {"data": {"data_id": "data_sunspots", "features": ["station"]}},
            "column 'station' of data_sunspots version 3 is STRING, not numeric",
        ),
        (
            {"data": {"data_id": "data_sunspots", "features": ["number"], "window": 300}},
            r"one window is \[300 rows, 1 features\] and 1 rows after it, but part 'train' .* is \[240 rows, 3 col",
        ),
    ],
)
async def test_a_spec_that_does_not_fit_is_refused_before_anything_is_made(
    house: TrainingHouse, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(DataDoesNotFit, match=told):
        await house.start(**changes)
    assert house.store.runs == {}
    assert house.registry.models == {}
    assert house.queue.tasks == {}


async def test_a_target_that_is_text_can_only_be_classified(house: TrainingHouse) -> None:
    data = {"data_id": "data_sunspots", "features": ["number"], "targets": ["station"]}
    with pytest.raises(DataDoesNotFit, match="STRING, not numeric"):
        await house.start(data=data, objective={"kind": "OBJECTIVE_KIND_REGRESSION"})
    await house.start(data=data, objective={"kind": "OBJECTIVE_KIND_CLASSIFICATION"})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (replace(SUNSPOTS, window=0), "was not cut into windows"),
        (replace(SUNSPOTS, parts=(PartView("train", 240, 0, 30),)), "all its series are shorter"),
        (replace(SUNSPOTS, parts=(PartView("test", 9, 9, 1),)), "no rows in a part 'train'"),
        (replace(SUNSPOTS, columns=(ColumnView("station", "STRING"),)), "has no column 'number'"),
    ],
)
async def test_a_dataset_that_cannot_be_learned_is_refused(house: TrainingHouse, data: DataView, told: str) -> None:
    house.datasets.versions = (data,)
    with pytest.raises(DataDoesNotFit, match=told):
        await house.start()


async def test_a_version_that_is_not_ready_is_refused(house: TrainingHouse) -> None:
    house.datasets = FakeDatasets()
    house.datasets.versions = (replace(SUNSPOTS, state="REJECTED", failure="3 rows are negative"),)
    house.trainings._datasets = house.datasets
    with pytest.raises(DatasetNotReady, match="is REJECTED: 3 rows are negative"):
        await house.start()


async def test_a_dataset_that_is_not_there_is_not_found(house: TrainingHouse) -> None:
    with pytest.raises(NotFound, match="data_moon"):
        await house.start(data={"data_id": "data_moon", "features": ["number"]})


async def test_without_an_orchestrator_nothing_is_left_of_a_training(house: TrainingHouse) -> None:
    house.queue.error = Unavailable("the orchestrator is away")
    with pytest.raises(Unavailable):
        await house.start(request_id="r1")
    house.queue.error = None
    assert house.store.runs == {}
    assert (await house.start(request_id="r1")).task_id


# ---------------------------------------------------------------------- GPUs
async def test_a_gpu_that_nobody_has_is_refused_at_once(house: TrainingHouse) -> None:
    with pytest.raises(NoGpu, match="without_device"):
        await house.start(resources=CUDA)
    assert house.store.runs == {}


async def test_with_a_gpu_agent_only_such_agents_get_the_task(house: TrainingHouse) -> None:
    house.queue.gpu = True
    run = await house.start(resources=CUDA)
    assert house.queue.tasks[run.task_id].new.type == "model_training.gpu"


async def test_a_run_may_fall_back_to_the_cpu(house: TrainingHouse) -> None:
    run = await house.start(resources={**CUDA, "without_device": "NO_DEVICE_CPU"})
    assert house.queue.tasks[run.task_id].new.type == "model_training"
    assert (await house.claim(run)).device == "cpu"


async def test_a_run_waits_until_a_gpu_comes(house: TrainingHouse) -> None:
    run = await house.start(resources={**CUDA, "without_device": "NO_DEVICE_WAIT"})
    assert (run.state, run.waits_for_gpu, run.task_id) == (RunState.QUEUED, True, "")
    house.time.advance(20)
    await reconciler(house).step()
    assert house.queue.tasks == {}
    house.queue.gpu = True
    house.time.advance(20)
    await reconciler(house).step()
    run = await house.trainings.get(TENANT, run.run_id)
    assert (run.waits_for_gpu, house.queue.tasks[run.task_id].new.type) == (False, "model_training.gpu")


# ---------------------------------------------------------------------- cancel and resume
async def test_cancelling_stops_run_and_task_and_may_be_repeated(house: TrainingHouse) -> None:
    run = await house.start()
    for _ in range(2):
        run = await house.trainings.cancel(TENANT, "user_1", run.run_id, "enough")
        assert (run.state, run.cancel_reason) == (RunState.CANCELLED, "enough")
    assert house.queue.cancelled == [(run.task_id, "enough")]


async def test_a_run_is_cancelled_also_while_the_orchestrator_is_away(house: TrainingHouse) -> None:
    run = await house.start()
    house.queue.error = Unavailable("away")
    assert (await house.trainings.cancel(TENANT, "user_1", run.run_id, "")).state is RunState.CANCELLED
    house.queue.error = None
    house.time.advance(20)
    await reconciler(house).step()
    assert house.queue.tasks[run.task_id].status == "CANCELLED"


async def test_a_cancelled_run_is_resumed_with_more_epochs_under_a_new_task(house: TrainingHouse) -> None:
    run = await house.start()
    with pytest.raises(RunNotResumable):
        await house.trainings.resume(TENANT, run.run_id, 0)
    await house.trainings.cancel(TENANT, "user_1", run.run_id, "")
    with pytest.raises(ValidationError, match="less than the 9"):
        await house.trainings.resume(TENANT, run.run_id, 3)
    again = await house.trainings.resume(TENANT, run.run_id, 30)
    assert (again.state, again.task_id, again.spec.optimization.epochs) == (RunState.QUEUED, "task_2", 30)
    assert again.finished_at is None


async def test_a_run_that_was_settled_long_ago_is_resumed(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.trainings.cancel(TENANT, "user_1", claimed.run.run_id, "")
    house.time.advance(20)
    await reconciler(house).step()
    assert (await house.trainings.get(TENANT, claimed.run.run_id)).settled
    again = await house.trainings.resume(TENANT, claimed.run.run_id, 0)
    assert (again.state, again.settled) == (RunState.QUEUED, False)


# ---------------------------------------------------------------------- the loop that looks after runs
@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ("FAILED", RunState.FAILED, "PROGRAM_DIED"),
        ("CANCELLED", RunState.CANCELLED, ""),
        ("SCHEDULED", RunState.QUEUED, ""),
        ("COMPLETED", RunState.FAILED, "TASK_ENDED"),
    ],
)
async def test_a_silent_run_follows_its_task(house: TrainingHouse, status: str, state: RunState, reason: str) -> None:
    claimed = await house.running()
    run = claimed.run
    house.queue.end(run.task_id, status, "PROGRAM_DIED" if status == "FAILED" else "", "it died")
    await reconciler(house).step()
    assert (await house.trainings.get(TENANT, run.run_id)).state is RunState.RUNNING  # it was heard a moment ago
    house.time.advance(20)
    await reconciler(house).step()
    run = await house.trainings.get(TENANT, run.run_id)
    assert run.state is state
    assert (run.failure.reason if run.failure else "") == reason


async def test_a_run_whose_version_is_there_completes_however_its_task_ended(house: TrainingHouse) -> None:
    run = (await house.running()).run
    house.registry.versions[run.run_id] = NewVersion(
        metrics={"val/loss": 0.5}, signature={}, size=1, parameters=1, digest="0" * 64, files=(), spec={}
    )  # as after a crash before the run could be completed
    house.queue.end(run.task_id, "FAILED", "PROGRAM_DIED", "it died")
    house.time.advance(20)
    await reconciler(house).step()
    run = await house.trainings.get(TENANT, run.run_id)
    assert (run.state, run.model_version, run.failure) == (RunState.COMPLETED, 1, None)
    assert run.metrics["val/loss"].value == 0.5


async def test_a_run_whose_task_is_gone_fails(house: TrainingHouse) -> None:
    run = await house.start()
    del house.queue.tasks[run.task_id]
    house.time.advance(20)
    await reconciler(house).step()
    failure = (await house.trainings.get(TENANT, run.run_id)).failure
    assert failure is not None
    assert failure.reason == "TASK_GONE"


async def test_a_run_that_never_got_its_task_gets_it_later(house: TrainingHouse) -> None:
    run = await house.start()
    await house.store.change(TENANT, run.run_id, lambda run, _: run.expecting(1))  # as after a crash in between
    house.time.advance(20)
    await reconciler(house).step()
    assert (await house.trainings.get(TENANT, run.run_id)).task_id == run.task_id  # the same one: no second task


async def test_after_its_end_a_run_is_settled(house: TrainingHouse) -> None:
    claimed = await house.running()
    house.datasets.error = Unavailable("the data service is away")
    run = await house.finish(claimed.token)
    house.datasets.error = None
    assert house.datasets.dependents == []
    house.time.advance(20)
    await reconciler(house).step()
    assert house.datasets.dependents == [("data_sunspots", 3, run.model_id, 1)]
    assert not (await house.trainings.get(TENANT, run.run_id)).settled  # its task is not over
    house.queue.end(run.task_id, "COMPLETED")
    house.time.advance(20)
    await reconciler(house).step()
    assert (await house.trainings.get(TENANT, run.run_id)).settled


async def test_a_task_that_outlives_its_run_is_stopped(house: TrainingHouse) -> None:
    claimed = await house.running()
    run = await house.finish(claimed.token)
    for seconds, cancelled in ((20, 0), (60, 1)):
        house.time.advance(seconds)
        await reconciler(house).step()
        assert len(house.queue.cancelled) == cancelled, run.run_id


def test_the_spec_of_the_house_names_the_dataset() -> None:
    assert SPEC["data"]["data_id"] == SUNSPOTS.data_id
