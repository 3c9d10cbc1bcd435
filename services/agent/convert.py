"""The domain <-> protobuf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from automesh.agent.v1 import agent_service_pb2 as pb
from automesh.data.v1 import dataset_pb2, processing_service_pb2
from automesh.model.v1 import run_pb2, training_service_pb2
from services.agent.domain.ability import Ability
from services.agent.domain.files import FileInfo
from services.agent.domain.gpus import Gpu
from services.agent.domain.processing import ProcessingClaim, ProcessingEnd
from services.agent.domain.program import ProgramGarbled
from services.agent.domain.training import TrainingClaim

MAX_NAMED_CHECKS = 5


class FileMessage(Protocol):
    """A file as any of the contracts shows it."""

    name: str
    size: int
    sha256: str


def ability_to_proto(ability: Ability) -> pb.TaskType:
    """A task type as the contract shows it."""
    return pb.TaskType(
        type=ability.type,
        description=ability.description,
        available=ability.available,
        unavailable_reason=ability.unavailable_reason,
    )


def result_from_proto(message: struct_pb2.Struct) -> dict[str, Any]:
    """The result of a task."""
    return dict(MessageToDict(message))


def file_from_proto(message: FileMessage) -> FileInfo:
    """A file."""
    return FileInfo(message.name, message.size, message.sha256)


def processing_claim_from_proto(message: processing_service_pb2.ClaimProcessingResponse) -> ProcessingClaim:
    """A claimed job."""
    return ProcessingClaim(
        token=message.claim_token,
        job=message.job,
        inputs=[file_from_proto(each) for each in message.inputs],
        result=result_from_proto(message.result) if message.finished else None,
    )


def processing_end_from_proto(message: processing_service_pb2.FinishProcessingResponse) -> ProcessingEnd:
    """How a job ended."""
    rejected = message.version.state == dataset_pb2.VERSION_STATE_REJECTED
    return ProcessingEnd(result_from_proto(message.result), _rejection(message.version.report) if rejected else "")


def _rejection(report: dataset_pb2.ValidationReport) -> str:
    failed = [check for check in report.checks if not check.passed]
    named = "; ".join(
        f"{check.column}: {check.check} ({check.failed_rows} rows)"
        if check.failed_rows
        else f"{check.column}: {check.check}"
        for check in failed[:MAX_NAMED_CHECKS]
    )
    more = f"; and {len(failed) - MAX_NAMED_CHECKS} more" if len(failed) > MAX_NAMED_CHECKS else ""
    return f"the data does not meet {len(failed)} expectation(s): {named}{more}"


def training_claim_from_proto(message: training_service_pb2.ClaimRunResponse) -> TrainingClaim:
    """A claimed run."""
    return TrainingClaim(
        token=message.run_token,
        run_id=message.run_id,
        job=message.job,
        data_id=message.data_id,
        data_version=message.data_version,
        checkpoint=[file_from_proto(each) for each in message.checkpoint],
        processes=max(1, message.processes),
        threads=max(1, message.threads),
        device=message.device or "cpu",
        share_gpu=message.share_gpu,
        silence_s=message.silence_limit.ToTimedelta().total_seconds(),
        memory_bytes=message.memory_limit,
        reports=message.rendezvous.host_here or not message.HasField("rendezvous"),
        result=result_from_proto(message.result) if message.finished else None,
    )


def gpu_to_proto(gpu: Gpu) -> training_service_pb2.Gpu:
    """A GPU as the model service hears of it."""
    return training_service_pb2.Gpu(index=gpu.index, name=gpu.name, memory=gpu.memory_bytes)


def checkpoint_file_to_proto(file: FileInfo) -> training_service_pb2.CheckpointFile:
    """A file of a checkpoint."""
    return training_service_pb2.CheckpointFile(name=file.name, size=file.size, sha256=file.sha256)


def points_to_proto(points: Sequence[Mapping[str, Any]]) -> list[run_pb2.MetricPoint]:
    """Values of metrics as a program says them; `time` is in seconds since the epoch. Raises ProgramGarbled."""
    try:
        return [_point(each) for each in points]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProgramGarbled(f"a program said a point that is none: {type(error).__name__} {error}") from error


def _point(said: Mapping[str, Any]) -> run_pb2.MetricPoint:
    point = run_pb2.MetricPoint(
        name=str(said["name"]), value=float(said["value"]), step=int(said["step"]), epoch=int(said.get("epoch", 0))
    )
    if (moment := said.get("time")) is not None:
        point.time.FromMicroseconds(int(float(moment) * 1_000_000))
    return point


def progress_to_proto(progress: Mapping[str, Any]) -> run_pb2.RunProgress:
    """How far a program says it is. Raises ProgramGarbled."""
    try:
        return ParseDict(dict(progress), run_pb2.RunProgress(), ignore_unknown_fields=True)
    except ParseError as error:
        raise ProgramGarbled(f"a program said how far it is in a way nobody understands: {error}") from error
