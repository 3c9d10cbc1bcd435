"""Pipeline messages become the domain's. Raises ValidationError whose field is the path in the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format

from automesh.core.errors import ValidationError
from automesh.data.v1 import pipeline_pb2 as pb
from services.data.convert import pipeline_enums as enums
from services.data.domain.pipeline import steps as domain
from services.data.domain.pipeline.expectations import DEFAULT_MAX_PSI, Drift, Expectation
from services.data.domain.pipeline.pipeline import Pipeline


def pipeline_of(message: pb.Pipeline) -> Pipeline:
    """The pipeline that a message describes, checked."""
    steps = [_step(step, f"pipeline.steps[{number}]") for number, step in enumerate(message.steps)]
    return Pipeline(steps=tuple(steps), series_column=message.series_column, time_column=message.time_column)


def pipeline_of_json(json: Mapping[str, Any]) -> Pipeline:
    """The same from protojson."""
    try:
        return pipeline_of(json_format.ParseDict(dict(json), pb.Pipeline()))
    except json_format.ParseError as error:
        raise ValidationError(f"pipeline: {error}", field="pipeline") from error


def _step(message: pb.Step, path: str) -> domain.Step:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise ValidationError(f"{path}: says nothing: set one of {', '.join(_STEPS)}", field=path)
    return _STEPS[kind](getattr(message, kind), f"{path}.{kind}")


def _select(message: pb.SelectStep, _: str) -> domain.SelectStep:
    return domain.SelectStep(columns=tuple(message.columns), rename=dict(message.rename))


def _cast(message: pb.CastStep, path: str) -> domain.CastStep:
    types = {name: enums.column_type(kind, f"{path}.types[{name!r}]") for name, kind in sorted(message.types.items())}
    return domain.CastStep(types=types, lenient=message.lenient)


def _fill(message: pb.FillStep, path: str) -> domain.FillStep:
    method = enums.fill_method(message.method, f"{path}.method")
    return domain.FillStep(columns=tuple(message.columns), method=method, value=message.value)


def _drop(message: pb.DropStep, _: str) -> domain.DropStep:
    return domain.DropStep(columns=tuple(message.columns), null_in=tuple(message.null_in), where=message.where)


def _clip(message: pb.ClipStep, _: str) -> domain.ClipStep:
    return domain.ClipStep(
        columns=tuple(message.columns), lower=_optional(message, "lower"), upper=_optional(message, "upper")
    )


def _scale(message: pb.ScaleStep, path: str) -> domain.ScaleStep:
    method = enums.scale_method(message.method, f"{path}.method")
    return domain.ScaleStep(columns=tuple(message.columns), method=method)


def _derive(message: pb.DeriveStep, _: str) -> domain.DeriveStep:
    return domain.DeriveStep(column=message.column, expression=message.expression)


def _resample(message: pb.ResampleStep, path: str) -> domain.ResampleStep:
    try:
        every = message.every.ToTimedelta() if message.HasField("every") else None
    except (ValueError, OverflowError) as error:
        raise ValidationError(f"{path}.every is not a duration: {error}", field=f"{path}.every") from error
    aggregation = enums.aggregation(message.aggregation, f"{path}.aggregation")
    return domain.ResampleStep(every=every, every_steps=message.every_steps, aggregation=aggregation)


def _window(message: pb.WindowStep, _: str) -> domain.WindowStep:
    return domain.WindowStep(length=message.length, stride=message.stride, horizon=message.horizon)


def _split(message: pb.SplitStep, path: str) -> domain.SplitStep:
    return domain.SplitStep(
        method=enums.split_method(message.method, f"{path}.method"),
        test_fraction=message.test_fraction,
        validation_fraction=message.validation_fraction,
        seed=message.seed,
    )


def _deduplicate(message: pb.DeduplicateStep, _: str) -> domain.DeduplicateStep:
    return domain.DeduplicateStep(columns=tuple(message.columns))


def _validate(message: pb.ValidateStep, path: str) -> domain.ValidateStep:
    found = [_expectation(one, f"{path}.expectations[{i}]") for i, one in enumerate(message.expectations)]
    return domain.ValidateStep(expectations=tuple(found))


def _expectation(message: pb.Expectation, path: str) -> Expectation:
    return Expectation(
        column=message.column,
        type=enums.column_type(message.type, f"{path}.type") if message.type else None,
        min=_optional(message, "min"),
        max=_optional(message, "max"),
        not_null=message.not_null,
        unique=message.unique,
        allowed=tuple(message.allowed),
        pattern=message.pattern,
        tolerance=message.tolerance,
        drift=_drift(message.drift) if message.HasField("drift") else None,
    )


def _drift(message: pb.Drift) -> Drift:
    return Drift(data_id=message.data_id, version=message.version, max_psi=message.max_psi or DEFAULT_MAX_PSI)


def _optional(message: pb.ClipStep | pb.Expectation, name: str) -> float | None:
    return getattr(message, name) if message.HasField(name) else None  # type: ignore[arg-type] # a field of that message


_STEPS: dict[str, Callable[[Any, str], domain.Step]] = {
    "select": _select,
    "cast": _cast,
    "fill": _fill,
    "drop": _drop,
    "clip": _clip,
    "scale": _scale,
    "derive": _derive,
    "resample": _resample,
    "window": _window,
    "split": _split,
    "deduplicate": _deduplicate,
    "validate": _validate,
}
