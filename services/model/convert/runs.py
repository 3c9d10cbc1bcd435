"""Messages of RunService and the domain of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.mesh.times import duration, moment, span, timestamp
from automesh.model.v1 import run_pb2 as pb
from automesh.model.v1 import run_service_pb2 as service_pb
from services.model.convert.spec import training_spec, training_spec_json, training_spec_message, training_spec_of_json
from services.model.domain.runs.ports import RunQuery
from services.model.domain.runs.progress import BestMetric, MetricPoint, RunProgress
from services.model.domain.runs.run import Run, RunState
from services.model.domain.runs.trainings import Order
from services.model.domain.runs.watching import RunSight
from services.model.domain.training.spec import TrainingSpec

DEFAULT_POINTS, MAX_POINTS = 1_000, 10_000
STATE = {
    RunState.QUEUED: pb.RUN_STATE_QUEUED,
    RunState.RUNNING: pb.RUN_STATE_RUNNING,
    RunState.COMPLETED: pb.RUN_STATE_COMPLETED,
    RunState.FAILED: pb.RUN_STATE_FAILED,
    RunState.CANCELLED: pb.RUN_STATE_CANCELLED,
}
_STATE_OF = {number: state for state, number in STATE.items()}


class SpecMessages:
    """A services.model.domain.run_ports.SpecJson."""

    def read(self, content: Mapping[str, Any]) -> TrainingSpec:
        """As the message TrainingSpec has it."""
        return training_spec_of_json(content)

    def write(self, spec: TrainingSpec) -> dict[str, Any]:
        """Snake case, defaults filled in."""
        return training_spec_json(spec)


def order(
    request: service_pb.StartTrainingRequest | service_pb.TrainModelRequest, *, tenant_id: str, subject: str
) -> Order:
    """What is asked for. Raises ValidationError with the path of what is wrong."""
    return Order(tenant_id=tenant_id, subject=subject, spec=training_spec(request.spec), request_id=request.request_id)


def query(request: service_pb.ListRunsRequest) -> RunQuery:
    """The page that is asked for. Raises ValidationError for foreign tokens."""
    return RunQuery(
        limit=paging.page_size(request.page_size),
        before=paging.decode_token(request.page_token, filters=_filters(request)),
        model_id=request.model_id,
        state=_state(request.state),
        sweep_id=request.sweep_id,
    )


def page_token(last: Run, request: service_pb.ListRunsRequest) -> str:
    """Continues after `last` in the same list."""
    return paging.encode_token(last.run_id, filters=_filters(request))


def points_page(request: service_pb.ListMetricsRequest) -> tuple[int, int]:
    """After which point, and how many."""
    if request.page_size < 0:
        raise ValidationError(f"page_size {request.page_size} is negative", field="page_size")
    return sequence(request.from_sequence), min(request.page_size or DEFAULT_POINTS, MAX_POINTS)


def sequence(asked: int) -> int:
    """After which point. Raises ValidationError for a negative one."""
    if asked < 0:
        raise ValidationError(f"from_sequence {asked} is negative; 0 is the beginning", field="from_sequence")
    return asked


def run(run: Run) -> pb.Run:
    """The message of a run."""
    return pb.Run(
        run_id=run.run_id,
        model_id=run.model_id,
        model_version=run.model_version,
        state=STATE[run.state],
        task_id=run.task_id,
        spec=training_spec_message(run.spec),
        sweep_id=run.sweep_id,
        progress=progress(run.progress),
        metrics={name: each.value for name, each in run.metrics.items()},
        checkpoint_step=run.checkpoint_step,
        claims=run.claims,
        failure=failure(run),
        environment=struct(run.environment),
        created_by=run.created_by,
        create_time=timestamp(run.created_at),
        start_time=timestamp(run.started_at),
        finish_time=timestamp(run.finished_at),
    )


def update(sight: RunSight) -> pb.RunUpdate:
    """What a watcher hears."""
    run = sight.run
    return pb.RunUpdate(
        run_id=run.run_id,
        sequence=sight.sequence,
        points=[point(each) for each in sight.points],
        dropped=sight.dropped,
        state=STATE[run.state],
        progress=progress(run.progress),
        model_id=run.model_id,
        model_version=run.model_version,
        failure=failure(run),
    )


def point(point: MetricPoint) -> pb.MetricPoint:
    """The message of a point."""
    return pb.MetricPoint(
        name=point.name, value=point.value, step=point.step, epoch=point.epoch, time=timestamp(point.time)
    )


def point_of(message: pb.MetricPoint) -> MetricPoint:
    """The point of a message."""
    return MetricPoint(
        message.name, message.value, message.step, message.epoch, moment(message.time, field="points.time")
    )


def progress(progress: RunProgress) -> pb.RunProgress:
    """The message of a progress."""
    best = progress.best
    return pb.RunProgress(
        epoch=progress.epoch,
        epochs=progress.epochs,
        step=progress.step,
        steps=progress.steps,
        eta=duration(progress.eta),
        samples_per_second=progress.samples_per_second,
        gpu_memory=progress.gpu_memory,
        best=pb.BestMetric(name=best.name, value=best.value, step=best.step, epoch=best.epoch) if best else None,
    )


def progress_of(message: pb.RunProgress) -> RunProgress:
    """The progress of a message. Raises ValidationError for negative counts."""
    if min(message.epoch, message.epochs, message.step, message.steps, message.gpu_memory) < 0:
        raise ValidationError("counts of a progress are 0 or more", field="progress")
    best = message.best
    return RunProgress(
        epoch=message.epoch,
        epochs=message.epochs,
        step=message.step,
        steps=message.steps,
        eta=span(message.eta, field="progress.eta") if message.HasField("eta") else None,
        samples_per_second=message.samples_per_second,
        gpu_memory=message.gpu_memory,
        best=BestMetric(best.name, best.value, best.step, best.epoch) if message.HasField("best") else None,
    )


def failure(run: Run) -> pb.RunFailure | None:
    """Why it was given up; None when it was not."""
    return pb.RunFailure(reason=run.failure.reason, message=run.failure.message) if run.failure else None


def struct(content: Mapping[str, Any]) -> Struct | None:
    """The message of a JSON object; None for an empty one."""
    if not content:
        return None
    message = Struct()
    message.update(dict(content))
    return message


def _state(number: int) -> RunState | None:
    if number == pb.RUN_STATE_UNSPECIFIED:
        return None
    if number not in _STATE_OF:
        raise ValidationError(f"state {number} means nothing here", field="state")
    return _STATE_OF[pb.RunState.ValueType(number)]


def _filters(request: service_pb.ListRunsRequest) -> list[str | int]:
    return [request.model_id, int(request.state), request.sweep_id]
