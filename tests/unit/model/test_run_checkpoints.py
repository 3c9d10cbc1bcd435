"""Checkpoints and files of runs, on fakes."""

import json
from datetime import timedelta

import pytest

from automesh.core.errors import ValidationError
from automesh.testing.blobs import FakeBlobStore
from services.model.convert.training import claimed as claim_message
from services.model.domain.runs.claims import Claimed
from services.model.domain.runs.errors import (
    CheckpointDamaged,
    CheckpointIncomplete,
    FileNotInRun,
    RunTokenStale,
)
from services.model.domain.runs.files import CheckpointFacts, FileFact
from services.model.domain.runs.run import RunFailure, RunState
from services.model.fakes.training_house import TENANT, TrainingHouse


async def test_the_next_claim_goes_on_from_the_last_checkpoint(house: TrainingHouse) -> None:
    first = await house.running()
    for step in (10, 20):
        await house.checkpoint(first.token, step)
    second = await house.claim(first.run)
    assert second.checkpoint is not None
    assert second.checkpoint.step == 20
    assert json.loads(claim_message(second, silence_limit=timedelta(seconds=9)).job)["checkpoint"] == "checkpoint"
    assert await house.read(second.token, "state.json") == b"weightsstate.json"
    with pytest.raises(FileNotInRun):
        await house.read(second.token, "other.json")


async def test_the_last_ones_and_the_best_are_kept_and_other_blobs_let_go(
    house: TrainingHouse, blobs: FakeBlobStore
) -> None:
    claimed = await house.running()
    for step in (1, 2, 3, 4):
        await house.checkpoint(claimed.token, step, best=step == 2)
    run = await house.checkpoint(claimed.token, 5)
    assert [each.step for each in run.checkpoints] == [2, 4, 5]
    assert run.checkpoint_step == 5
    kept = {file.blob for each in run.checkpoints for file in each.files}
    assert set(blobs.blobs) - set(house.store.discarded) == kept
    assert len(house.store.discarded) == 4


async def test_a_checkpoint_counts_only_when_it_is_whole(house: TrainingHouse) -> None:
    claimed = await house.running()
    stored = await house.upload(claimed.token, "checkpoints/000001/a", b"a")
    there = FileFact("a", stored.size, stored.sha256)
    for files in ([there, FileFact("b", 1, "0" * 64)], [FileFact("a", 2, stored.sha256)]):
        told = CheckpointFacts(step=1, folder="checkpoints/000001", files=files)
        with pytest.raises(CheckpointIncomplete, match="checkpoints/000001/"):
            await house.files.commit(claimed.token, told, tenant_id="")
    assert (await house.trainings.get(TENANT, claimed.run.run_id)).checkpoint_step == -1
    for _ in range(2):  # said again it stays one
        told = CheckpointFacts(step=1, folder="checkpoints/000001", files=[there])
        run = await house.files.commit(claimed.token, told, tenant_id="")
        assert (run.checkpoint_step, len(run.checkpoints)) == (1, 1)


async def test_files_of_a_claim_that_was_given_up_are_let_go(house: TrainingHouse) -> None:
    first = await house.running()
    file = await house.upload(first.token, "checkpoints/000001/a", b"a")
    await house.claim(first.run)
    assert file.blob in house.store.discarded


async def damaged(house: TrainingHouse) -> Claimed:
    first = await house.running()
    for step in (10, 20):
        await house.checkpoint(first.token, step)
    return await house.claim(first.run)


async def test_an_attempt_that_found_its_checkpoint_damaged_makes_the_next_use_the_one_before(
    house: TrainingHouse,
) -> None:
    second = await damaged(house)
    house.queue.end(second.run.task_id, "SCHEDULED", "CHECKPOINT_DAMAGED")
    third = await house.claim(second.run)
    assert third.checkpoint is not None
    assert third.checkpoint.step == 10


async def test_a_trainer_that_reports_a_damaged_checkpoint_gets_a_new_task(house: TrainingHouse) -> None:
    second = await damaged(house)
    failure = RunFailure("CHECKPOINT_DAMAGED", "state.json is cut")
    run = await house.reporting.fail(second.token, failure, tenant_id="")
    assert (run.state, run.failure, run.task_id) == (RunState.QUEUED, None, "task_2")
    third = await house.claim(run)
    assert third.checkpoint is not None
    assert third.checkpoint.step == 10


async def test_a_checkpoint_whose_blobs_are_gone_is_passed_over(house: TrainingHouse, blobs: FakeBlobStore) -> None:
    second = await damaged(house)
    assert second.checkpoint is not None
    blobs.blobs.pop(second.checkpoint.files[0].blob)
    with pytest.raises(CheckpointDamaged):
        await house.read(second.token, second.checkpoint.files[0].name)
    third = await house.claim(second.run)
    assert third.checkpoint is not None
    assert third.checkpoint.step == 10
    run = await house.checkpoint(third.token, 30)
    assert [each.step for each in run.checkpoints] == [10, 30]


async def test_a_cancelled_run_may_still_leave_its_last_checkpoint(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.trainings.cancel(TENANT, "user_1", claimed.run.run_id, "")
    with pytest.raises(RunTokenStale):
        await house.report(claimed.token, 1, 1)
    assert (await house.checkpoint(claimed.token, 7)).checkpoint_step == 7
    again = await house.claim(await house.trainings.resume(TENANT, claimed.run.run_id, 0))
    assert again.checkpoint is not None
    assert again.checkpoint.step == 7


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\0b", "x" * 400])
async def test_names_that_are_no_plain_paths_are_refused(house: TrainingHouse, name: str) -> None:
    claimed = await house.running()
    with pytest.raises(ValidationError):
        await house.upload(claimed.token, name, b"a")


async def test_a_file_that_is_too_large_is_refused_and_nothing_kept(house: TrainingHouse, blobs: FakeBlobStore) -> None:
    claimed = await house.running()
    house.files._max_bytes = 3
    with pytest.raises(ValidationError, match="at most 3 bytes"):
        await house.upload(claimed.token, "a", b"four")
    assert blobs.blobs == {}
