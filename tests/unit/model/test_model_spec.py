"""What a training may be asked to do: defaults, bounds, and errors that name their field."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from automesh.model.v1 import training_pb2 as pb
from services.model.convert.spec import training_spec, training_spec_json, training_spec_message, training_spec_of_json
from services.model.domain.training.architecture import Lstm, Plugin, Transformer
from services.model.domain.training.objective import ObjectiveKind
from services.model.domain.training.optimization import EarlyStopping
from services.model.domain.training.resources import Device, NoDevice

LEAST: dict[str, Any] = {"name": "m", "data": {"data_id": "data_1", "targets": ["y"]}}

# Number 99 in the fields objective.kind, resources.device and resources.without_device.
WIRE = {"objective": b"\x32\x02\x08\x63", "device": b"\x42\x02\x08\x63", "choice": b"\x42\x02\x10\x63"}


def spec_with(path: str, value: Any) -> dict[str, Any]:
    """LEAST with one more value at a dotted path."""
    content: dict[str, Any] = {"name": "m", "data": {"data_id": "data_1", "targets": ["y"]}}
    *folders, name = path.split(".")
    place = content
    for folder in folders:
        place = place.setdefault(folder, {})
    place[name] = value
    return content


def test_everything_has_a_default_but_the_data_and_the_name() -> None:
    spec = training_spec_of_json(LEAST)
    assert spec.architecture == Lstm(hidden=64, layers=2, dropout=0.2)
    assert (spec.objective.kind, spec.objective.loss) == (ObjectiveKind.REGRESSION, "mse")
    assert (spec.optimization.epochs, spec.optimization.batch_size, spec.optimization.learning_rate) == (20, 64, 0.001)
    assert (spec.optimization.optimizer, spec.optimization.schedule, spec.optimization.precision) == (
        "adam",
        "constant",
        "auto",
    )
    assert spec.optimization.early_stopping is None
    assert (spec.resources.device, spec.resources.without_device) == (Device.AUTO, NoDevice.FAIL)
    assert (spec.resources.processes, spec.resources.threads, spec.resources.engine) == (1, 1, "")
    assert spec.resources.timeout == timedelta(hours=24)
    assert (spec.checkpointing.every_steps, spec.checkpointing.every_epochs, spec.checkpointing.keep_last) == (0, 1, 2)


def test_an_empty_transformer_is_the_one_with_four_heads() -> None:
    spec = training_spec_of_json(spec_with("architecture.transformer", {}))
    assert spec.architecture == Transformer(hidden=64, layers=2, heads=4, feed_forward=256, dropout=0.1)


def test_a_dropout_of_zero_is_not_the_default() -> None:
    spec = training_spec_of_json(spec_with("architecture.lstm.dropout", 0))
    assert spec.architecture == Lstm(dropout=0.0)


def test_the_inner_layer_follows_the_width() -> None:
    assert Transformer(hidden=32, heads=2).feed_forward == 128


def test_empty_early_stopping_means_its_defaults() -> None:
    spec = training_spec_of_json(spec_with("optimization.early_stopping", {}))
    assert spec.optimization.early_stopping == EarlyStopping(metric="val/loss", patience=5, min_delta=0.0)


def test_several_processes_are_started_by_torchrun() -> None:
    assert training_spec_of_json(spec_with("resources.processes", 2)).resources.engine == "torchrun"


def test_a_plug_in_gets_whole_numbers_as_people_wrote_them() -> None:
    spec = training_spec_of_json(
        spec_with("architecture.plugin", {"name": "tiny", "config": {"width": 8, "list": [1, 2.5]}})
    )
    assert isinstance(spec.architecture, Plugin)
    assert spec.architecture.config == {"width": 8, "list": [1, 2.5]}
    assert isinstance(spec.architecture.config["width"], int)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("name", "", "spec.name"),
        ("name", "x" * 201, "spec.name"),
        ("description", "x" * 4097, "spec.description"),
        ("data.data_id", "", "spec.data.data_id"),
        ("data.version", -1, "spec.data.version"),
        ("data.features", ["a", "a"], "spec.data.features"),
        ("data.targets", [], "spec.data.targets"),
        ("data.window", -5, "spec.data.window"),
        ("architecture.lstm.hidden", -1, "spec.architecture.lstm.hidden"),
        ("architecture.lstm.dropout", 1.0, "spec.architecture.lstm.dropout"),
        ("architecture.transformer.hidden", 65, "spec.architecture.transformer.hidden"),
        ("architecture.transformer.attention_dropout", "NaN", "spec.architecture.transformer.attention_dropout"),
        ("architecture.plugin.name", "../evil", "spec.architecture.plugin.name"),
        ("objective.loss", "hinge", "spec.objective.loss"),
        ("objective.class_weights", {"a": 1.0}, "spec.objective.class_weights"),
        ("optimization.epochs", -1, "spec.optimization.epochs"),
        ("optimization.batch_size", 1 << 21, "spec.optimization.batch_size"),
        ("optimization.optimizer", "lion", "spec.optimization.optimizer"),
        ("optimization.learning_rate", -0.1, "spec.optimization.learning_rate"),
        ("optimization.learning_rate", "Infinity", "spec.optimization.learning_rate"),
        ("optimization.schedule", "linear", "spec.optimization.schedule"),
        ("optimization.precision", "fp8", "spec.optimization.precision"),
        ("optimization.early_stopping.metric", "test/loss", "spec.optimization.early_stopping.metric"),
        ("optimization.early_stopping.min_delta", -1, "spec.optimization.early_stopping.min_delta"),
        ("resources.strategy", "zero", "spec.resources.strategy"),
        ("resources.engine", "slurm", "spec.resources.engine"),
        ("resources.timeout", "700000s", "spec.resources.timeout"),
        ("resources.memory_limit", 1000, "spec.resources.memory_limit"),
        ("checkpointing.keep_last", -1, "spec.checkpointing.keep_last"),
        ("aliases", ["Champion"], "spec.aliases"),
        ("aliases", ["12"], "spec.aliases"),
        ("tags", {"k": "v" * 101}, "spec.tags"),
        ("unknown", 1, "spec"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(path: str, value: Any, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        training_spec_of_json(spec_with(path, value))
    assert [violation.field for violation in caught.value.violations] == [field]
    assert caught.value.message


def test_heads_that_do_not_divide_the_width_are_told_with_both_numbers() -> None:
    with pytest.raises(ValidationError, match="65, which 4 heads do not divide: take 64"):
        Transformer(hidden=65)


def test_classification_learns_exactly_one_column() -> None:
    content = spec_with("objective.kind", "OBJECTIVE_KIND_CLASSIFICATION")
    content["data"]["targets"] = ["a", "b"]
    with pytest.raises(ValidationError, match="exactly one column, not 2"):
        training_spec_of_json(content)


def test_balanced_stands_alone() -> None:
    content = spec_with(
        "objective", {"kind": "OBJECTIVE_KIND_CLASSIFICATION", "class_weights": {"balanced": 1, "a": 2}}
    )
    with pytest.raises(ValidationError, match="stands alone"):
        training_spec_of_json(content)


@pytest.mark.parametrize("kind", WIRE)
def test_a_number_that_no_enum_has_is_refused(kind: str) -> None:
    message = pb.TrainingSpec(name="m", data=pb.TrainingData(data_id="d", targets=["y"]))
    message.MergeFromString(WIRE[kind])
    with pytest.raises(ValidationError, match="99, which means nothing here"):
        training_spec(message)


@given(
    hidden=st.integers(1, 64),
    layers=st.integers(1, 8),
    dropout=st.floats(0, 0.9),
    epochs=st.integers(1, 1000),
    seed=st.integers(-(2**63), 2**63 - 1),
    schedule=st.sampled_from(["constant", "cosine", "one_cycle", "plateau"]),
    device=st.sampled_from(["DEVICE_CPU", "DEVICE_CUDA", "DEVICE_AUTO"]),
    patience=st.none() | st.integers(1, 100),
)
def test_a_spec_survives_message_and_json(  # noqa: PLR0917 - hypothesis passes them by name
    hidden: int, layers: int, dropout: float, epochs: int, seed: int, schedule: str, device: str, patience: int | None
) -> None:
    content = spec_with("architecture.lstm", {"hidden": hidden, "layers": layers, "dropout": dropout})
    content["optimization"] = {"epochs": epochs, "schedule": schedule}
    if patience:
        content["optimization"]["early_stopping"] = {"patience": patience}
    content |= {"seed": str(seed), "resources": {"device": device, "timeout": "90s"}}
    spec = training_spec_of_json(content)
    assert training_spec(training_spec_message(spec)) == spec
    assert training_spec_of_json(training_spec_json(spec)) == spec
