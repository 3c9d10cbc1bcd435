"""`data_processing` and `model_training` tasks: the real SDK, handlers and program guard; services kept in memory."""

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from automesh.core.errors import ValidationError
from automesh.data.v1 import dataset_pb2, processing_service_pb2
from automesh.model.v1 import training_service_pb2
from automesh.orchestrator.v1 import work_service_pb2
from services.agent.clients.program.program import Programs
from tests.integration.agent.works import Works, working

LIMIT_S = 20.0
STAND_IN = Path(__file__).parent / "programs" / "stand_in.py"


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    python.chmod(0o755)
    programs = Programs({"PATH": os.environ["PATH"]}, python=str(python))
    async with working(tmp_path, programs, limit_s=LIMIT_S) as works:
        yield works


def job(**fields: Any) -> bytes:
    return json.dumps({"op": "process", **fields}).encode()


# ---------------------------------------------------------------------- data_processing
async def test_a_dataset_is_made_by_the_program_and_its_files_are_stored(works: Works) -> None:
    done = await works.done("data_processing")

    assert MessageToDict(done.result) == {"data_id": "data_1", "version": 2.0}
    assert works.data.stored == {
        "train.parquet": b"rows of source/manifest.json, upload.csv",
        "deep/statistics.json": b"{}",
    }
    finish = works.data.of(processing_service_pb2.FinishProcessingRequest)[0]
    assert json.loads(finish.manifest)["rows"] == 3
    assert works.data.heard[0].lease_token == b"lease-1"
    assert works.orchestrator.of("log")[0].lines == ["hello from the program"]
    assert 0.9 <= works.orchestrator.of("progress")[-1].fraction <= 1


@pytest.mark.parametrize(
    ("instruction", "reason", "retryable"),
    [
        ({"failure": {"reason": "ROWS_RAGGED", "message": "line 7", "retryable": False}}, "ROWS_RAGGED", False),
        ({"failure": {"reason": "DISK_FULL", "message": "no room", "retryable": True}}, "DISK_FULL", True),
        ({"dies": True}, "PROGRAM_DIED", True),
    ],
)
async def test_a_failure_of_the_program_is_the_tasks_and_a_lasting_one_is_told_to_the_data_service(
    works: Works, instruction: dict[str, Any], reason: str, retryable: bool
) -> None:
    works.data.job = job(**instruction)
    done = await works.done("data_processing")

    assert (done.failure.reason, done.failure.retryable) == (reason, retryable)
    told = [each.failure.reason for each in works.data.of(processing_service_pb2.FinishProcessingRequest)]
    assert told == ([] if retryable else [reason])


async def test_data_that_does_not_meet_expectations_fails_the_task_and_names_the_checks(works: Works) -> None:
    works.data.job = job(state="REJECTED")
    works.data.end.state = dataset_pb2.VERSION_STATE_REJECTED
    works.data.end.report.checks.add(column="age", check="0 <= value <= 150", failed_rows=4)
    works.data.end.report.checks.add(column="name", check="not null", passed=True)
    done = await works.done("data_processing")

    assert (done.failure.reason, done.failure.retryable) == ("DATA_REJECTED", False)
    assert "1 expectation(s): age: 0 <= value <= 150 (4 rows)" in done.failure.message
    assert len(works.data.of(processing_service_pb2.FinishProcessingRequest)) == 1


async def test_a_job_that_is_finished_already_is_not_done_again(works: Works) -> None:
    works.data.finished = {"data_id": "data_1", "version": 2, "state": "READY"}
    done = await works.done("data_processing")
    assert done.result["version"] == 2
    for state in ("REJECTED", "FAILED"):
        works.data.finished = {"data_id": "data_1", "version": 2, "state": state}
        done = await works.done("data_processing")
        assert (done.failure.reason, done.failure.retryable) == (f"DATA_{state}", False)
    assert works.data.stored == {}


async def test_a_service_that_is_away_for_a_moment_and_a_damaged_file_do_no_harm(works: Works) -> None:
    for method in ("ClaimProcessingRequest", "ReadInputRequest", "WriteOutputHeader", "FinishProcessingRequest"):
        works.data.failing[method] = 1
    works.data.damages = 1
    done = await works.done("data_processing")
    assert done.result["version"] == 2
    assert works.data.stored["train.parquet"] == b"rows of source/manifest.json, upload.csv"


async def test_a_job_that_makes_no_sense_is_refused_for_good(works: Works) -> None:
    works.data.refuses = ValidationError("pipeline.steps[0] has no columns", field="pipeline.steps[0]")
    done = await works.done("data_processing")
    assert (done.failure.reason, done.failure.retryable) == ("VALIDATION", False)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/../../b", ""])
async def test_no_file_is_put_outside_of_the_work_folder(works: Works, name: str) -> None:
    works.data.inputs = {name: b"evil"}
    done = await works.done("data_processing")
    assert (done.failure.reason, done.failure.retryable) == ("VALIDATION", False)


async def test_a_stale_claim_ends_the_attempt_and_says_nothing(works: Works) -> None:
    works.data.stale = True
    done = await works.done("data_processing")
    assert (done.failure.reason, done.failure.retryable) == ("CLAIM_STALE", True)
    assert works.data.of(processing_service_pb2.FinishProcessingRequest) == []


# ---------------------------------------------------------------------- model_training
def environment(works: Works) -> dict[str, Any]:
    reports = works.model.of(training_service_pb2.ReportProgressRequest)
    return next(MessageToDict(each.environment) for each in reports if each.HasField("environment"))


async def test_a_model_is_trained_its_points_stream_and_its_files_are_stored(works: Works) -> None:
    done = await works.done("model_training")

    assert MessageToDict(done.result)["model_version"] == 4
    reports = works.model.of(training_service_pb2.ReportProgressRequest)
    points = [point for report in reports for point in report.points]
    assert [(point.name, point.step, point.epoch) for point in points] == [
        ("train/loss", step, 1) for step in (1, 2, 3)
    ]
    assert points[0].time.ToMilliseconds() == 1790000000500
    assert [report.batch for report in reports] == list(range(1, len(reports) + 1))
    assert reports[-1].progress.best.value == 0.5
    commit = works.model.of(training_service_pb2.CommitCheckpointRequest)[0]
    assert (commit.folder, commit.step, commit.best) == ("checkpoints/000001", 1, True)
    assert [file.name for file in commit.files] == ["model.safetensors", "state.json"]
    assert works.model.stored["checkpoints/000001/model.safetensors"] == b"weights of step 1"
    assert works.model.stored["model/model.safetensors"] == b"weights"
    finish = works.model.of(training_service_pb2.FinishRunRequest)[0]
    assert json.loads(finish.result)["metrics"] == {"val/loss": 0.25}


async def test_the_trainer_finds_the_data_the_checkpoint_and_its_share_of_the_machine(works: Works) -> None:
    works.model.checkpoint = {"model.safetensors": b"earlier weights", "state.json": b"{}"}
    await works.done("model_training")

    told = environment(works)
    assert told["inputs"] == {
        "checkpoint/model.safetensors": "earlier weights",
        "checkpoint/state.json": "{}",
        "data/manifest.json": '{"digest": "d1"}',
        "data/train.parquet": "a lot of rows",
        "data/train.windows.parquet": "windows",
    }
    assert (told["env"]["OMP_NUM_THREADS"], told["env"]["CUDA_VISIBLE_DEVICES"]) == ("2", "")
    assert told["argv"][1:] == ["-m", "services.model.trainer"]
    claim = works.model.of(training_service_pb2.ClaimRunRequest)[0]
    assert (claim.advertise_host, claim.gpus[0].index, claim.gpus[0].memory) == ("127.0.0.1", 3, 80 * 1024**3)


async def test_a_second_training_on_the_same_data_reads_it_from_this_machine(works: Works) -> None:
    await works.done("model_training")
    await works.done("model_training")
    reads = works.data.of(processing_service_pb2.ReadVersionRequest)
    assert [(each.manifest_only, each.lease_token) for each in reads] == [
        (True, b"lease-1"),
        (False, b"lease-1"),
        (True, b"lease-2"),
    ]


async def test_a_gpu_is_shown_to_the_trainer(works: Works) -> None:
    works.model.claim.device = "cuda"
    await works.done("model_training")
    assert environment(works)["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-abc"


async def test_more_gpus_than_there_are_fail_the_run_for_good(works: Works) -> None:
    works.model.claim.device, works.model.claim.processes = "cuda", 2
    done = await works.done("model_training")
    assert (done.failure.reason, done.failure.retryable) == ("GPU_UNAVAILABLE", False)
    assert works.model.of(training_service_pb2.FinishRunRequest)[0].failure.reason == "GPU_UNAVAILABLE"


async def test_a_node_that_only_takes_part_leaves_the_end_of_the_run_to_the_one_that_reports(works: Works) -> None:
    works.model.claim.rendezvous.endpoint, works.model.claim.rendezvous.nodes = "10.0.0.1:29400", 2
    works.model.job = json.dumps({"op": "train", "silent": True}).encode()
    done = await works.done("model_training")
    assert MessageToDict(done.result) == {"run_id": "run_1"}
    assert works.model.of(training_service_pb2.FinishRunRequest) == []


async def test_the_last_checkpoint_of_a_trainer_that_dies_is_safe(works: Works) -> None:
    works.model.job = job(dies=True)
    done = await works.done("model_training")
    assert (done.failure.reason, done.failure.retryable) == ("PROGRAM_DIED", True)
    assert [each.step for each in works.model.of(training_service_pb2.CommitCheckpointRequest)] == [7]


async def test_a_run_that_was_claimed_by_another_stops_the_trainer(works: Works) -> None:
    works.model.job = json.dumps({"op": "train", "hangs": True}).encode()
    works.model.stale = True
    done = await works.done("model_training")
    assert done.failure.reason == "CLAIM_STALE"
    assert works.model.of(training_service_pb2.FinishRunRequest) == []


@pytest.mark.parametrize("stops", ["the task is cancelled", "the agent stops"])
async def test_a_trainer_that_is_stopped_leaves_a_checkpoint(works: Works, stops: str) -> None:
    works.model.job = json.dumps({"op": "train", "hangs": True}).encode()
    token = works.orchestrator.lease("model_training", {})

    def commits() -> list[training_service_pb2.CommitCheckpointRequest]:
        return works.model.of(training_service_pb2.CommitCheckpointRequest)

    await works.model.until(lambda: len(commits()) == 1)
    if stops == "the agent stops":
        works.stopping.set()
    else:
        works.orchestrator.say(cancel=work_service_pb2.Cancel(lease_token=token))
    await works.model.until(lambda: len(commits()) == 2)

    assert [commit.step for commit in commits()] == [1, 99]
    assert works.orchestrator.of("done", token) == []
    works.orchestrator.say(cancel=work_service_pb2.Cancel(lease_token=token))


async def test_a_training_goes_on_while_the_model_service_is_away(works: Works) -> None:
    for method in ("ReportProgressRequest", "UploadFileHeader", "CommitCheckpointRequest", "FinishRunRequest"):
        works.model.failing[method] = 2
    done = await works.done("model_training")
    assert done.result["model_version"] == 4
    points = [p.step for each in works.model.of(training_service_pb2.ReportProgressRequest) for p in each.points]
    assert points == [1, 2, 3]


async def test_an_upload_that_is_refused_half_way_says_why(works: Works) -> None:
    """The service does not read to the end of what it does not want."""
    works.model.job = json.dumps({"op": "train", "bytes": 3_000_000}).encode()
    works.model.full = True
    done = await works.done("model_training")
    assert (done.failure.reason, done.failure.retryable) == ("STORE_FULL", False)
