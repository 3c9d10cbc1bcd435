"""What a trainer says with `done` is taken only if it can be kept, shown and served."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.errors import ValidationError
from automesh.model.v1 import training_pb2
from automesh.model.v1 import training_service_pb2 as pb
from services.model.convert.spec import training_spec
from services.model.convert.training import batch, outcome
from services.model.domain.runs.progress import Pace, RunProgress

TENSOR = {"name": "input", "datatype": "FP32", "shape": ["-1", "8", "4"]}
NAN = float("nan")


@pytest.mark.parametrize(
    "lie",
    [
        {"signature": {"inputs": [TENSOR]}},
        {"signature": {"inputs": [TENSOR, TENSOR], "outputs": [TENSOR]}},
        {"signature": {"inputs": [TENSOR], "outputs": [{**TENSOR, "datatype": "FP64"}]}},
        {"signature": {"inputs": [TENSOR], "outputs": [{**TENSOR, "shape": []}]}},
        {"signature": {"features": ["a"]}},
        {"signature": []},
        {"metrics": {"a\0b": 1}},
        {"metrics": {str(number): 1 for number in range(501)}},
        {"metrics": {"a": "many"}},
        {"parameters": 2**63},
        {"parameters": -1},
        {"files": ["model.onnx"]},
    ],
)
def test_a_lie_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        outcome(json.dumps(lie).encode())


def test_what_can_be_served_is_taken() -> None:
    told = outcome(
        json.dumps({"signature": {"inputs": [TENSOR], "outputs": [TENSOR]}, "metrics": {"a": None}}).encode()
    )
    assert told.signature["inputs"] == [TENSOR]
    assert told.metrics.keys() == {"a"}


def test_an_environment_with_a_number_that_json_lacks_is_refused() -> None:
    request = pb.ReportProgressRequest(batch=1)
    request.environment.update({"speed": NAN})
    with pytest.raises(ValidationError, match="environment is not JSON"):
        batch(request)


def test_a_plugin_with_a_number_that_json_lacks_is_refused() -> None:
    message = training_pb2.TrainingSpec(name="x")
    message.data.data_id = "data_1"
    message.architecture.plugin.name = "mine"
    message.architecture.plugin.config.update({"rate": NAN})
    with pytest.raises(ValidationError, match=r"spec\.architecture\.plugin\.config is not JSON"):
        training_spec(message)


def test_nobody_is_told_of_an_end_in_ten_thousand_years() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    pace = Pace(0, now)
    assert pace.eta(RunProgress(step=1, steps=2**62), now + timedelta(seconds=1)) is None
    assert pace.eta(RunProgress(step=1, steps=3), now + timedelta(seconds=1)) == timedelta(seconds=2)
