"""What is asked to be made: messages, checked whole before anything happens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf import json_format

from automesh.core.errors import ValidationError
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import pipeline_pb2, source_pb2
from automesh.mesh import times
from services.data.convert import reading, values
from services.data.convert.pipeline import pipeline_of
from services.data.domain.dataset import DatasetEdit, NewDataset
from services.data.domain.order import Order

LONGEST_WAIT = timedelta(seconds=60)
ANSWER_S = 2.0
"""What is left of a call's deadline for the answer."""


def order(request: pb.ProcessDataRequest) -> Order:
    """The order of a ProcessData call. Raises ValidationError, naming the field."""
    if request.data_id and (request.name or request.description or request.labels):
        raise ValidationError(
            "name, description and labels are those of a new dataset: leave data_id empty, or change an existing "
            "one with PUT",
            field="name",
        )
    new = None
    if not request.data_id:
        new = NewDataset(name=request.name, description=request.description, labels=dict(request.labels))
    return Order(data_id=request.data_id, new=new, source=source(request.source), pipeline=pipeline(request.pipeline))


def order_of_update(request: pb.UpdateDatasetRequest) -> Order | None:
    """The new version that a PUT asks for; None when it only edits."""
    if not request.HasField("source") and not request.HasField("pipeline"):
        return None
    return Order(data_id=request.data_id, source=source(request.source), pipeline=pipeline(request.pipeline))


def edit(request: pb.UpdateDatasetRequest) -> DatasetEdit:
    """What a PUT replaces."""
    return DatasetEdit(name=request.name, description=request.description, labels=dict(request.labels))


def order_of_input(content: Mapping[str, Any]) -> Order:
    """The order in the input of a task: a ProcessDataRequest as JSON, as clients write it."""
    request = pb.ProcessDataRequest()
    try:
        json_format.ParseDict(dict(content), request)
    except json_format.ParseError as error:
        raise ValidationError(f"input is no ProcessDataRequest: {error}", field="input") from error
    return order(request)


def wait(request: pb.ProcessDataRequest | pb.UpdateDatasetRequest, left_s: float | None = None) -> timedelta:
    """How long to wait, so that an answer comes before the deadline `left_s` seconds from now; 0: not at all."""
    asked = times.span(request.wait, field="wait") if request.HasField("wait") else timedelta(0)
    if not timedelta(0) <= asked <= LONGEST_WAIT:
        raise ValidationError(f"wait is from 0 to {LONGEST_WAIT.total_seconds():g} s", field="wait")
    return asked if left_s is None else min(asked, timedelta(seconds=max(left_s - ANSWER_S, 0)))


def source(message: source_pb2.Source) -> dict[str, Any]:
    """The source as JSON; empty when none is set."""
    kind = message.WhichOneof("from")
    if kind is None:
        return {}
    if kind == "generator":
        reading.generator(message.generator, "source.generator")
    elif kind == "upload":
        reading.read_options(message.upload.options, "source.upload.options")
    elif kind == "url":
        reading.read_options(message.url.options, "source.url.options")
    elif not message.dataset.data_id or message.dataset.version < 0:
        raise ValidationError(
            "source.dataset needs a data_id, and a version from 1 (0: the latest)", field="source.dataset"
        )
    return {kind: values.to_json(getattr(message, kind))}


def pipeline(message: pipeline_pb2.Pipeline) -> dict[str, Any]:
    """The pipeline as JSON."""
    pipeline_of(message)
    return values.to_json(message)
