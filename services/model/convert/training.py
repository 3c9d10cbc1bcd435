"""Messages of TrainingService and the domain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import orjson
from google.protobuf import json_format

from automesh.core.errors import ValidationError
from automesh.mesh.times import duration
from automesh.model.v1 import run_pb2, training_service_pb2
from automesh.model.v1 import training_service_pb2 as pb
from automesh.model.v1.model_pb2 import Signature
from services.model.convert.job import job
from services.model.convert.runs import point_of, progress_of, run, struct
from services.model.domain import bounds
from services.model.domain.registry.version import MAX_METRICS
from services.model.domain.runs.checkpoint import Checkpoint, StoredFile
from services.model.domain.runs.claims import Claimant, Claimed
from services.model.domain.runs.files import CheckpointFacts, FileFact
from services.model.domain.runs.reporting import Batch, Outcome, task_result
from services.model.domain.runs.run import MAX_ENVIRONMENT, Run, RunFailure

MAX_RESULT = 4 * 1024 * 1024
MIN_RANK = 2
"""Of a tensor: the batch and what is in it."""


def claimant(request: pb.ClaimRunRequest, *, tenant_id: str) -> Claimant:
    """Who claims."""
    return Claimant(tenant_id=tenant_id, host=request.advertise_host, gpus=len(request.gpus))


def claimed(claimed: Claimed, *, silence_limit: timedelta) -> pb.ClaimRunResponse:
    """What the agent is to do."""
    run = claimed.run
    if claimed.finished:
        return pb.ClaimRunResponse(run_id=run.run_id, finished=True, result=struct(task_result(run)))
    resources = run.spec.resources
    return pb.ClaimRunResponse(
        run_token=claimed.token,
        run_id=run.run_id,
        job=job(claimed),
        data_id=run.spec.data.data_id,
        data_version=run.spec.data.version,
        checkpoint=_files(claimed.checkpoint),
        processes=resources.processes,
        threads=resources.threads,
        device=claimed.device,
        share_gpu=resources.share_gpu,
        silence_limit=duration(silence_limit),
        memory_limit=resources.memory_limit,
        rendezvous=_rendezvous(claimed),
        engine=resources.engine,
    )


def batch(request: pb.ReportProgressRequest) -> Batch:
    """What is reported."""
    return Batch(
        number=request.batch,
        points=[point_of(each) for each in request.points],
        progress=progress_of(request.progress) if request.HasField("progress") else None,
        environment=_environment(request) if request.HasField("environment") else None,
    )


def outcome(result: bytes) -> Outcome:
    """What the program said with `done`. Raises ValidationError."""
    told = _object(result)
    files = told.get("files", [])
    if not isinstance(files, list) or not all(isinstance(each, dict) and "name" in each for each in files):
        raise ValidationError("result.files is a list of objects with a name", field="result.files")
    return Outcome(
        metrics=_metrics(told.get("metrics", {})),
        signature=_signature(told.get("signature", {})),
        card=_mapping(told.get("card", {}), "result.card"),
        parameters=_count(told.get("parameters", 0), "result.parameters"),
        files=tuple(str(each["name"]) for each in files),
    )


def failure(message: run_pb2.RunFailure) -> RunFailure:
    """Why it failed."""
    return RunFailure(message.reason or "TRAINING_FAILED", message.message or "the trainer gave no reason")


def finished(run_: Run) -> pb.FinishRunResponse:
    """How the run stands, and the task's result where it is COMPLETED."""
    result = struct(task_result(run_)) if run_.model_version else None
    return pb.FinishRunResponse(run=run(run_), result=result)


def checkpoint(request: pb.CommitCheckpointRequest) -> CheckpointFacts:
    """A whole checkpoint, as the agent tells of it."""
    files = [FileFact(each.name, each.size, each.sha256) for each in request.files]
    return CheckpointFacts(step=request.step, folder=request.folder, files=files, best=request.best)


def file(stored: StoredFile) -> pb.CheckpointFile:
    """The message of a file."""
    return pb.CheckpointFile(name=stored.name, size=stored.size, sha256=stored.sha256)


async def header(requests: AsyncIterator[pb.UploadFileRequest]) -> pb.UploadFileHeader:
    """The first message. Raises ValidationError for anything else."""
    first = await anext(requests, None)
    if first is None or first.WhichOneof("part") != "header":
        raise ValidationError("an upload begins with its header", field="header")
    return first.header


async def chunks(requests: AsyncIterator[pb.UploadFileRequest]) -> AsyncIterator[bytes]:
    """The rest. Raises ValidationError for a second header."""
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise ValidationError("after the header come chunks only", field="chunk")
        yield request.chunk


def _files(given: Checkpoint | None) -> list[training_service_pb2.CheckpointFile]:
    return [file(each) for each in given.files] if given else []


def _rendezvous(claimed: Claimed) -> pb.Rendezvous | None:
    meeting = claimed.rendezvous
    if meeting is None:
        return None
    return pb.Rendezvous(endpoint=meeting.endpoint, host_here=meeting.here, nodes=meeting.nodes, id=meeting.id)


def _environment(request: pb.ReportProgressRequest) -> dict[str, Any]:
    try:
        told = json_format.MessageToDict(request.environment)
    except ValueError as error:  # NaN and infinities
        raise ValidationError(f"environment is not JSON: {error}", field="environment") from error
    if len(orjson.dumps(told)) > MAX_ENVIRONMENT:
        raise ValidationError(f"environment has more than {MAX_ENVIRONMENT} bytes as JSON", field="environment")
    return told


def _object(content: bytes) -> Mapping[str, Any]:
    if len(content) > MAX_RESULT:
        raise ValidationError(f"result has {len(content)} bytes, more than {MAX_RESULT}", field="result")
    try:
        told = orjson.loads(content)
    except ValueError as error:
        raise ValidationError(f"result is not JSON: {error}", field="result") from error
    return _mapping(told, "result")


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValidationError(f"{field} is not a JSON object", field=field)
    return value


def _metrics(told: Any) -> dict[str, float]:
    """Numbers; NaN and infinities come as null or as the texts that protojson has for them."""
    try:
        metrics = {
            str(name): float("nan") if value is None else float(value)
            for name, value in _mapping(told, "result.metrics").items()
        }
    except (TypeError, ValueError) as error:
        raise ValidationError(f"result.metrics holds what is no number: {error}", field="result.metrics") from error
    bounds.names(metrics, MAX_METRICS, field="result.metrics")
    return metrics


def _signature(told: Any) -> dict[str, Any]:
    try:
        message = json_format.ParseDict(dict(_mapping(told, "result.signature")), Signature())
    except json_format.ParseError as error:
        raise ValidationError(f"result.signature is none: {error}", field="result.signature") from error
    for tensors in (message.inputs, message.outputs) if message.ByteSize() else ():
        if (
            len(tensors) != 1
            or not tensors[0].name
            or tensors[0].datatype != "FP32"
            or len(tensors[0].shape) < MIN_RANK
        ):
            raise ValidationError(
                "result.signature has one input and one output, each FP32, with a name and a shape of at least "
                f"{MIN_RANK} sizes: nothing else can be served",
                field="result.signature",
            )
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _count(value: Any, field: str) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValidationError(f"{field} is {value!r}, not a count", field=field)
    return value
