"""TrainingSpec both ways: zero and empty become the defaults, unknown values are refused with their path."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from automesh.core.errors import ValidationError
from automesh.model.v1 import training_pb2 as pb
from services.model.domain.training import resources
from services.model.domain.training.architecture import Architecture, Lstm, Plugin, Transformer
from services.model.domain.training.objective import Objective, ObjectiveKind
from services.model.domain.training.optimization import EarlyStopping, Optimization
from services.model.domain.training.resources import Checkpointing, Device, NoDevice, Resources
from services.model.domain.training.spec import TrainingData, TrainingSpec

_KINDS = {
    pb.OBJECTIVE_KIND_UNSPECIFIED: ObjectiveKind.REGRESSION,
    pb.OBJECTIVE_KIND_REGRESSION: ObjectiveKind.REGRESSION,
    pb.OBJECTIVE_KIND_FORECASTING: ObjectiveKind.FORECASTING,
    pb.OBJECTIVE_KIND_CLASSIFICATION: ObjectiveKind.CLASSIFICATION,
    pb.OBJECTIVE_KIND_ANOMALY: ObjectiveKind.ANOMALY,
}
_DEVICES = {
    pb.DEVICE_UNSPECIFIED: Device.AUTO,
    pb.DEVICE_AUTO: Device.AUTO,
    pb.DEVICE_CPU: Device.CPU,
    pb.DEVICE_CUDA: Device.CUDA,
}
_NO_DEVICES = {
    pb.NO_DEVICE_UNSPECIFIED: NoDevice.FAIL,
    pb.NO_DEVICE_FAIL: NoDevice.FAIL,
    pb.NO_DEVICE_WAIT: NoDevice.WAIT,
    pb.NO_DEVICE_CPU: NoDevice.CPU,
}
_KIND_NUMBER = {kind: number for number, kind in _KINDS.items()}
_DEVICE_NUMBER = {device: number for number, device in _DEVICES.items()}
_NO_DEVICE_NUMBER = {choice: number for number, choice in _NO_DEVICES.items()}


def message_of_json(content: Mapping[str, Any], *, field: str = "spec") -> pb.TrainingSpec:
    """The message of a JSON object, snake_case or camelCase. Raises ValidationError for what it does not know."""
    try:
        return json_format.ParseDict(dict(content), pb.TrainingSpec())
    except json_format.ParseError as error:
        raise ValidationError(f"{field} is not a TrainingSpec: {error}", field=field) from error


def training_spec_of_json(content: Mapping[str, Any], *, field: str = "spec") -> TrainingSpec:
    """The spec of a JSON object, checked."""
    return training_spec(message_of_json(content, field=field))


def training_spec_json(spec: TrainingSpec) -> dict[str, Any]:
    """The JSON object of a spec, snake_case, with all defaults filled in."""
    return json_format.MessageToDict(training_spec_message(spec), preserving_proto_field_name=True)


def training_spec(message: pb.TrainingSpec) -> TrainingSpec:
    """The checked spec. Raises ValidationError with the path of the first wrong field."""
    return TrainingSpec(
        model_id=message.model_id,
        name=message.name,
        description=message.description,
        data=_data(message.data),
        architecture=_architecture(message.architecture),
        objective=_objective(message.objective),
        optimization=_optimization(message.optimization),
        resources=_resources(message.resources),
        checkpointing=_checkpointing(message.checkpointing),
        aliases=tuple(message.aliases),
        tags=dict(message.tags),
        seed=message.seed,
        deterministic=message.deterministic,
    )


def training_spec_message(spec: TrainingSpec) -> pb.TrainingSpec:
    """The message of a spec."""
    data = spec.data
    return pb.TrainingSpec(
        model_id=spec.model_id,
        name=spec.name,
        description=spec.description,
        data=pb.TrainingData(
            data_id=data.data_id,
            version=data.version,
            features=data.features,
            targets=data.targets,
            window=data.window,
            stride=data.stride,
            horizon=data.horizon,
        ),
        architecture=_architecture_message(spec.architecture),
        objective=pb.Objective(
            kind=_KIND_NUMBER[spec.objective.kind],
            loss=spec.objective.loss,
            class_weights=dict(spec.objective.class_weights),
        ),
        optimization=_optimization_message(spec.optimization),
        resources=_resources_message(spec.resources),
        checkpointing=pb.Checkpointing(
            every_steps=spec.checkpointing.every_steps,
            every_epochs=spec.checkpointing.every_epochs,
            keep_last=spec.checkpointing.keep_last,
        ),
        aliases=spec.aliases,
        tags=dict(spec.tags),
        seed=spec.seed,
        deterministic=spec.deterministic,
    )


def _data(message: pb.TrainingData) -> TrainingData:
    return TrainingData(
        data_id=message.data_id,
        version=message.version,
        features=tuple(message.features),
        targets=tuple(message.targets),
        window=message.window,
        stride=message.stride,
        horizon=message.horizon,
    )


def _architecture(message: pb.Architecture) -> Architecture:
    match message.WhichOneof("kind"):
        case "transformer":
            return _transformer(message.transformer)
        case "plugin":
            return Plugin(name=message.plugin.name, config=_whole(_config(message.plugin)))
        case _:
            return _lstm(message.lstm)


def _config(message: pb.PluginArchitecture) -> dict[str, Any]:
    try:
        return json_format.MessageToDict(message.config)
    except ValueError as error:  # NaN and infinities
        field = "spec.architecture.plugin.config"
        raise ValidationError(f"{field} is not JSON: {error}", field=field) from error


def _lstm(message: pb.Lstm) -> Lstm:
    plain = Lstm()
    return Lstm(
        hidden=message.hidden or plain.hidden,
        layers=message.layers or plain.layers,
        dropout=message.dropout if message.HasField("dropout") else plain.dropout,
        bidirectional=message.bidirectional,
    )


def _transformer(message: pb.Transformer) -> Transformer:
    plain = Transformer()
    return Transformer(
        hidden=message.hidden or plain.hidden,
        layers=message.layers or plain.layers,
        heads=message.heads or plain.heads,
        feed_forward=message.feed_forward,
        dropout=message.dropout if message.HasField("dropout") else plain.dropout,
        attention_dropout=message.attention_dropout,
    )


def _whole(value: Any) -> Any:
    """Numbers of a Struct are doubles: whole ones become int again, as people wrote them."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _architecture_message(architecture: Architecture) -> pb.Architecture:
    match architecture:
        case Lstm(hidden=hidden, layers=layers, dropout=dropout, bidirectional=both):
            return pb.Architecture(lstm=pb.Lstm(hidden=hidden, layers=layers, dropout=dropout, bidirectional=both))
        case Transformer() as shape:
            return pb.Architecture(
                transformer=pb.Transformer(
                    hidden=shape.hidden,
                    layers=shape.layers,
                    heads=shape.heads,
                    feed_forward=shape.feed_forward,
                    dropout=shape.dropout,
                    attention_dropout=shape.attention_dropout,
                )
            )
        case Plugin(name=name, config=config):
            message = pb.PluginArchitecture(name=name)
            message.config.update(dict(config))
            return pb.Architecture(plugin=message)


def _objective(message: pb.Objective) -> Objective:
    if message.kind not in _KINDS:
        raise _unknown("spec.objective.kind", message.kind)
    return Objective(kind=_KINDS[message.kind], loss=message.loss, class_weights=dict(message.class_weights))


def _optimization(message: pb.Optimization) -> Optimization:
    plain = Optimization()
    return Optimization(
        epochs=message.epochs or plain.epochs,
        batch_size=message.batch_size or plain.batch_size,
        optimizer=message.optimizer or plain.optimizer,
        learning_rate=message.learning_rate or plain.learning_rate,
        weight_decay=message.weight_decay,
        schedule=message.schedule or plain.schedule,
        warmup_steps=message.warmup_steps,
        clip_norm=message.clip_norm,
        accumulate=message.accumulate or plain.accumulate,
        precision=message.precision or plain.precision,
        early_stopping=_early(message.early_stopping) if message.HasField("early_stopping") else None,
    )


def _early(message: pb.EarlyStopping) -> EarlyStopping:
    plain = EarlyStopping()
    return EarlyStopping(
        metric=message.metric or plain.metric,
        patience=message.patience or plain.patience,
        min_delta=message.min_delta,
    )


def _optimization_message(optimization: Optimization) -> pb.Optimization:
    early = optimization.early_stopping
    return pb.Optimization(
        epochs=optimization.epochs,
        batch_size=optimization.batch_size,
        optimizer=optimization.optimizer,
        learning_rate=optimization.learning_rate,
        weight_decay=optimization.weight_decay,
        schedule=optimization.schedule,
        warmup_steps=optimization.warmup_steps,
        clip_norm=optimization.clip_norm,
        accumulate=optimization.accumulate,
        precision=optimization.precision,
        early_stopping=pb.EarlyStopping(metric=early.metric, patience=early.patience, min_delta=early.min_delta)
        if early
        else None,
    )


def _resources(message: pb.Resources) -> Resources:
    plain = Resources()
    if message.device not in _DEVICES:
        raise _unknown("spec.resources.device", message.device)
    if message.without_device not in _NO_DEVICES:
        raise _unknown("spec.resources.without_device", message.without_device)
    return Resources(
        device=_DEVICES[message.device],
        without_device=_NO_DEVICES[message.without_device],
        processes=message.processes or plain.processes,
        nodes=message.nodes or plain.nodes,
        strategy=message.strategy or plain.strategy,
        engine=message.engine,
        threads=message.threads or plain.threads,
        share_gpu=message.share_gpu,
        timeout=_span(message.timeout) if message.HasField("timeout") else resources.DEFAULT_TIMEOUT,
        memory_limit=message.memory_limit,
    )


def _span(message: Duration) -> timedelta:
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise ValidationError(
            f"spec.resources.timeout is not a duration: {error}", field="spec.resources.timeout"
        ) from error


def _resources_message(resources: Resources) -> pb.Resources:
    timeout = Duration()
    timeout.FromTimedelta(resources.timeout)
    return pb.Resources(
        device=_DEVICE_NUMBER[resources.device],
        without_device=_NO_DEVICE_NUMBER[resources.without_device],
        processes=resources.processes,
        nodes=resources.nodes,
        strategy=resources.strategy,
        engine=resources.engine,
        threads=resources.threads,
        share_gpu=resources.share_gpu,
        timeout=timeout,
        memory_limit=resources.memory_limit,
    )


def _checkpointing(message: pb.Checkpointing) -> Checkpointing:
    plain = Checkpointing()
    return Checkpointing(
        every_steps=message.every_steps,
        every_epochs=message.every_epochs or plain.every_epochs,
        keep_last=message.keep_last or plain.keep_last,
    )


def _unknown(field: str, number: int) -> ValidationError:
    return ValidationError(f"{field} is {number}, which means nothing here: is the client newer?", field=field)
