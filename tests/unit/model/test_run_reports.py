"""What trainers report, and how runs end, on fakes."""

import math
from datetime import timedelta

import pytest

from automesh.core.errors import Unavailable, ValidationError
from services.model.domain.runs.errors import (
    ResultIncomplete,
)
from services.model.domain.runs.progress import MetricPoint, RunProgress
from services.model.domain.runs.reporting import Batch, Outcome
from services.model.domain.runs.run import RunFailure, RunState
from services.model.fakes.training_house import TENANT, TrainingHouse


async def test_a_batch_that_is_sent_again_is_recorded_once(house: TrainingHouse) -> None:
    claimed = await house.running()
    assert await house.report(claimed.token, 1, 1, 2) == 2
    assert await house.report(claimed.token, 1, 1, 2) == 2
    assert await house.report(claimed.token, 2, 3) == 3
    assert [each.sequence for each in house.store.recorded[claimed.run.run_id]] == [1, 2, 3]


async def test_steps_that_an_earlier_claim_recorded_are_not_recorded_again(house: TrainingHouse) -> None:
    first = await house.running()
    await house.report(first.token, 1, 1, 2, 3, 4)
    second = await house.claim(first.run)  # goes on from step 2
    assert await house.report(second.token, 1, 3, 4, 5) == 5
    steps = [each.step for each in house.store.recorded[first.run.run_id]]
    assert steps == [1, 2, 3, 4, 5]


async def test_best_and_time_left_are_reckoned_where_the_trainer_leaves_them_open(house: TrainingHouse) -> None:
    claimed = await house.running()

    async def say(batch: int, step: int, value: float) -> RunProgress:
        point = MetricPoint("val/loss", value, step, batch, house.time())
        told = Batch(number=batch, points=[point], progress=RunProgress(step=step, steps=100))
        await house.reporting.report(claimed.token, told, tenant_id="")
        return (await house.trainings.get(TENANT, claimed.run.run_id)).progress

    assert (await say(1, 10, 0.5)).eta is None
    house.time.advance(10)
    second = await say(2, 20, 0.25)
    assert second.eta == timedelta(seconds=80)
    await say(3, 30, math.nan)
    last = await say(4, 40, 0.75)
    assert last.best is not None
    assert (last.best.value, last.best.step, last.best.epoch) == (0.25, 20, 2)


@pytest.mark.parametrize("point", [("", 1), ("x" * 201, 1), ("loss", -1)])
async def test_points_that_make_no_sense_are_refused(house: TrainingHouse, point: tuple[str, int]) -> None:
    claimed = await house.running()
    name, step = point
    bad = MetricPoint(name, 0.0, step, 1, house.time())
    with pytest.raises(ValidationError):
        await house.reporting.report(claimed.token, Batch(number=1, points=[bad]), tenant_id="")


async def test_finishing_registers_a_version_and_completes_once(house: TrainingHouse) -> None:
    claimed = await house.running(aliases=["candidate"])
    await house.checkpoint(claimed.token, 5)
    run = await house.finish(claimed.token, **{"val/loss": 0.25, "test/mae": math.nan})
    assert (run.state, run.model_version, run.checkpoints) == (RunState.COMPLETED, 1, ())
    version = house.registry.versions[run.run_id]
    assert [each.name for each in version.files] == ["model.safetensors"]
    assert (version.data_id, version.data_version, version.size) == ("data_sunspots", 3, 7)
    assert house.registry.asked == [("candidate",)]
    assert house.datasets.dependents == [("data_sunspots", 3, run.model_id, 1)]
    again = await house.reporting.complete(claimed.token, Outcome(), tenant_id="")
    assert again.model_version == 1
    assert len(house.registry.versions) == 1


async def test_a_crash_between_version_and_completion_makes_no_second_version(house: TrainingHouse) -> None:
    claimed = await house.running()
    change = house.store.change

    async def dies(*_: object) -> object:
        raise Unavailable("killed")

    await house.upload(claimed.token, "model/model.safetensors", b"trained")
    outcome = Outcome(files=("model/model.safetensors",))
    house.store.change = dies  # type: ignore[method-assign,assignment] # until it is put back
    with pytest.raises(Unavailable):
        await house.reporting.complete(claimed.token, outcome, tenant_id="")
    house.store.change = change  # type: ignore[method-assign] # as it was
    assert len(house.registry.versions) == 1
    second = await house.claim(claimed.run)  # another attempt finds it done
    assert second.finished
    assert (second.run.model_version, second.run.files.keys()) == (1, {"model/model.safetensors"})
    assert not {each.blob for each in house.registry.versions[second.run.run_id].files} & house.store.discarded.keys()
    assert len(house.registry.versions) == 1


async def test_a_new_claim_lets_go_of_what_an_earlier_one_stored(house: TrainingHouse) -> None:
    claimed = await house.running()
    stored = await house.upload(claimed.token, "model/model.safetensors", b"trained")
    second = await house.claim(claimed.run)
    assert second.run.files == {}
    assert house.store.discarded[stored.blob] <= house.time()


async def test_a_result_must_name_stored_files(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.upload(claimed.token, "model/model.onnx", b"graph")
    for files in (("model/model.safetensors",), ("model/model.onnx",), ("checkpoints/x",), ()):
        with pytest.raises(ResultIncomplete):
            await house.reporting.complete(claimed.token, Outcome(files=files), tenant_id="")
    assert (await house.trainings.get(TENANT, claimed.run.run_id)).state is RunState.RUNNING


async def test_a_failure_ends_the_run_and_it_can_be_resumed(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.checkpoint(claimed.token, 5)
    failure = RunFailure("TRAINING_DIVERGED", "the loss is NaN since step 6")
    run = await house.reporting.fail(claimed.token, failure, tenant_id="")
    assert (run.state, run.failure) == (RunState.FAILED, failure)
    again = await house.claim(await house.trainings.resume(TENANT, run.run_id, 0))
    assert again.checkpoint is not None
    assert again.run.failure is None
