"""Messages of ModelService.Predict, and plain lists."""

from __future__ import annotations

from typing import Any

from google.protobuf.struct_pb2 import ListValue, Value

from automesh.core.errors import ValidationError
from automesh.model.v1 import model_service_pb2 as pb
from services.model.domain.serving.prediction import Predicted

MAX_INSTANCES = 1024


def instances(request: pb.PredictRequest) -> list[list[Any]]:
    """Windows: lists of rows of numbers, all alike. Raises ValidationError, naming the place, for anything else."""
    count = len(request.instances)
    if not 1 <= count <= MAX_INSTANCES:
        raise ValidationError(
            f"from 1 to {MAX_INSTANCES} instances are predicted at once, not {count}", field="instances"
        )
    return _even([_list(each, f"instances[{index}]") for index, each in enumerate(request.instances)], "instances")


def wanted(request: pb.PredictRequest) -> str:
    """The version as serving takes it: a number, an alias or empty."""
    if request.version and request.alias:
        raise ValidationError("name a version or an alias, not both", field="alias")
    if request.version < 0:
        raise ValidationError(f"version {request.version} is negative", field="version")
    return str(request.version) if request.version else request.alias


def response(predicted: Predicted) -> pb.PredictResponse:
    """The answer."""
    return pb.PredictResponse(
        predictions=[_value(each) for each in predicted.outputs], labels=predicted.labels, version=predicted.version
    )


def _list(message: ListValue, path: str) -> list[Any]:
    return _even([_number(each, path, index) for index, each in enumerate(message.values)], path)


def _even(values: list[Any], path: str) -> list[Any]:
    """As they are, if all are like the first: rows that are not would be taken for a window of another shape."""
    first = _shape(values[0]) if values else ()
    for index, value in enumerate(values):
        if _shape(value) != first:
            raise ValidationError(
                f"{path}[{index}] {_has(value)}, but {path}[0] {_has(values[0])}", field=f"{path}[{index}]"
            )
    return values


def _shape(value: Any) -> tuple[int, ...]:
    """Of what is even."""
    if not isinstance(value, list):
        return ()
    return (len(value), *(_shape(value[0]) if value else ()))


def _has(value: Any) -> str:
    shape = list(_shape(value))
    if not shape:
        return "is a number"
    return f"has {shape[0]} values" if len(shape) == 1 else f"has shape {shape}"


def _number(value: Value, path: str, index: int) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return value.number_value
    if kind == "list_value":
        return _list(value.list_value, f"{path}[{index}]")
    found = (kind or "nothing").removesuffix("_value")
    raise ValidationError(f"{path}[{index}] is {found}, not a number or a list of numbers", field=f"{path}[{index}]")


def _value(content: Any) -> Value:
    if isinstance(content, list | tuple):
        return Value(list_value=ListValue(values=[_value(each) for each in content]))
    return Value(number_value=float(content))
