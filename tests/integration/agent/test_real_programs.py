"""The programs of the data and the model service as an agent runs them: what one writes, the other learns from."""

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from automesh.data.v1 import processing_service_pb2
from automesh.model.v1 import training_service_pb2
from automesh.orchestrator.v1 import work_service_pb2
from services.agent.clients.program.program import Programs
from services.agent.settings import program_environment
from tests.integration.agent.houses import DataHouse
from tests.integration.agent.works import Works, working

LIMIT_S = 240.0
PIPELINE = {
    "series_column": "series",
    "time_column": "step",
    "steps": [
        {"split": {"method": "SPLIT_METHOD_SERIES", "test_fraction": 0.2, "validation_fraction": 0.2, "seed": 1}},
        {"window": {"length": 8, "stride": 4, "horizon": 1}},
    ],
}
GENERATOR = {"kind": "sine", "samples": 40, "steps": 20, "features": 3, "seed": 5}
SPEC = {
    "name": "tested",
    "data": {"data_id": "data_1", "version": 2},
    "architecture": {"lstm": {"hidden": 8, "layers": 1, "dropout": 0.1}},
    "objective": {"kind": "OBJECTIVE_KIND_FORECASTING"},
    "optimization": {"epochs": 2, "batch_size": 16},
    "seed": 7,
}


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    async with working(tmp_path, Programs(program_environment()), limit_s=LIMIT_S) as works:
        yield works


def process_job() -> bytes:
    source = {"kind": "generator", "generator": GENERATOR}
    return json.dumps({"op": "process", "engine": "polars", "source": source, "pipeline": PIPELINE}).encode()


def train_job(*, checkpoint: bool = False, epochs: int = 2) -> bytes:
    spec = {**SPEC, "optimization": {"epochs": epochs, "batch_size": 16}}
    job = {"run_id": "run_1", "spec": spec, "data": "data/manifest.json", "device": "cpu", "processes": 1, "threads": 1}
    return json.dumps({**job, "checkpoint": "checkpoint" if checkpoint else None, "digests": {}}).encode()


async def processed(works: Works) -> dict[str, Any]:
    """Has the data made; afterwards it is what trainings read."""
    works.data.job, works.data.inputs = process_job(), {}
    done = await works.done("data_processing")
    assert not done.HasField("failure"), done.failure
    manifest: dict[str, Any] = json.loads(_finish(works.data).manifest)
    works.data.version = {file["name"]: works.data.stored[file["name"]] for file in manifest["files"]}
    works.data.manifest = json.dumps(manifest).encode()
    return manifest


def _finish(data: DataHouse) -> Any:
    return data.of(processing_service_pb2.FinishProcessingRequest)[-1]


def points(works: Works, name: str) -> list[tuple[int, float]]:
    reports = works.model.of(training_service_pb2.ReportProgressRequest)
    return [(point.step, point.value) for report in reports for point in report.points if point.name == name]


async def test_the_processor_makes_a_version_with_all_the_files_it_names(works: Works) -> None:
    manifest = await processed(works)
    assert (manifest["state"], manifest["rows"]) == ("READY", 800)
    assert {part["name"] for part in manifest["parts"]} == {"train", "validation", "test"}
    assert {"train.parquet", "train.windows.parquet", "statistics.json"} <= works.data.stored.keys()


async def test_a_job_that_the_processor_cannot_do_fails_for_good_with_its_reason(works: Works) -> None:
    works.data.job, works.data.inputs = b'{"op": "unheard of"}', {}
    done = await works.done("data_processing")
    assert not done.failure.retryable
    assert _finish(works.data).failure.reason == done.failure.reason


@pytest.mark.torch
async def test_the_trainer_learns_from_what_the_processor_made(works: Works) -> None:
    await processed(works)
    works.model.job = train_job()
    done = await works.done("model_training")

    assert not done.HasField("failure"), done.failure
    assert all(math.isfinite(value) for _, value in points(works, "val/loss"))
    assert len(points(works, "val/loss")) == 2
    result = json.loads(works.model.of(training_service_pb2.FinishRunRequest)[0].result)
    assert {file["name"] for file in result["files"]} <= works.model.stored.keys()
    assert {"model/model.safetensors", "model/model.onnx"} <= works.model.stored.keys()


@pytest.mark.torch
async def test_a_training_that_was_cancelled_goes_on_from_its_checkpoint_to_the_same_weights(works: Works) -> None:
    await processed(works)
    epochs = 100  # it is stopped in the middle, also by a fast machine
    works.model.job = train_job(epochs=epochs)
    token = works.orchestrator.lease("model_training", {})
    commits = training_service_pb2.CommitCheckpointRequest
    await works.model.until(lambda: len(works.model.of(commits)) >= 2)
    works.orchestrator.say(cancel=work_service_pb2.Cancel(lease_token=token))
    before = len(works.model.of(commits))
    await works.model.until(lambda: len(works.model.of(commits)) > before)
    last = works.model.of(commits)[-1]
    assert last.step > 0
    works.model.checkpoint = {file.name: works.model.stored[f"{last.folder}/{file.name}"] for file in last.files}
    works.model.heard.clear()

    works.model.job = train_job(checkpoint=True, epochs=epochs)
    resumed = await works.done("model_training", attempt=2)
    assert not resumed.HasField("failure"), resumed.failure
    assert points(works, "train/loss")[0][0] > last.step
    weights = works.model.stored["model/model.safetensors"]

    works.model.checkpoint, works.model.job = {}, train_job(epochs=epochs)
    whole = await works.done("model_training", attempt=3)
    assert not whole.HasField("failure"), whole.failure
    assert works.model.stored["model/model.safetensors"] == weights
