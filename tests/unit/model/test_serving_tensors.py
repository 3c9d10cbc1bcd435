"""Tensors of the Open Inference Protocol are taken as they should be, and refused with both sides said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automesh.core.errors import ValidationError
from services.model.domain.serving.versions import TensorSpec
from services.model.serving import protocol
from services.model.serving.grpc_service import given_tensors
from services.model.serving.tensors import GivenTensor, array_of, check_outputs, flat, plain

SPEC = TensorSpec(name="input", datatype="FP32", shape=(-1, 2, 3))


def tensor(**changes: Any) -> GivenTensor:
    fields: dict[str, Any] = {
        "name": "input",
        "datatype": "FP32",
        "shape": (1, 2, 3),
        "values": [1.0] * 6,
        **changes,
    }
    return GivenTensor(**fields)


def test_raw_bytes_are_little_endian_rows() -> None:
    sent = np.arange(12, dtype="<f4").reshape(2, 2, 3)
    array = array_of([tensor(shape=(2, 2, 3), raw=sent.tobytes(), values=None)], SPEC, max_rows=8)
    assert (array == sent).all()


def test_values_fill_the_shape_row_by_row() -> None:
    array = array_of([tensor(values=[0, 1, 2, 3, 4, 5])], SPEC, max_rows=8)
    assert array.tolist() == [[[0, 1, 2], [3, 4, 5]]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "x"}, "takes the input 'input'; what came is: 'x'"),
        ({"datatype": "FP64"}, "is FP64, but the model takes FP32"),
        ({"datatype": "fp32"}, "names are case-sensitive"),
        ({"shape": (1, 3, 2)}, r"has shape \[1, 3, 2\], but the model takes \[-1, 2, 3\]"),
        ({"shape": (1, 6)}, r"has shape \[1, 6\]"),
        ({"shape": (0, 2, 3), "values": []}, "from 1 to 8 windows, not 0"),
        ({"shape": (9, 2, 3), "values": [0.0] * 54}, "from 1 to 8 windows, not 9"),
        ({"values": [1.0] * 5}, "has 5 values, but shape"),
        ({"values": None, "raw": b"\0" * 23}, "has 23 bytes, but shape"),
        ({"shape": (-1, 2, 3)}, "shape"),
        ({"values": [1e39] * 6}, "'input' holds NaN or infinity"),
        ({"values": None, "raw": np.full(6, np.nan, dtype="<f4").tobytes()}, "'input' holds NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_sides(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        array_of([tensor(**changes)], SPEC, max_rows=8)


def test_outputs_that_json_lacks_are_refused_in_words() -> None:
    with pytest.raises(ValidationError, match="too large for the model"):
        plain(np.array([[np.inf]], dtype=np.float32))


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="what came is: none"):
        array_of([], SPEC, max_rows=8)


def test_an_unknown_output_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="no output 'y'; the model has 'input'"):
        check_outputs(["y"], [SPEC])


def test_nested_lists_are_flattened_in_row_order() -> None:
    assert flat([[1, 2], [3, [4]]], most=10) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("value", [True, "1", None, {}])
def test_only_numbers_are_data(value: object) -> None:
    with pytest.raises(ValidationError, match="only numbers"):
        flat([[value]], most=10)


def test_too_many_values_are_refused() -> None:
    with pytest.raises(ValidationError, match="more than 3"):
        flat([1, 2, 3, 4], most=3)


def test_raw_and_contents_do_not_go_together() -> None:
    request = protocol.message("ModelInferRequest")(raw_input_contents=[b""])
    request.inputs.add(name="input").contents.fp32_contents.append(1.0)
    with pytest.raises(ValidationError, match="use one of the two"):
        given_tensors(request)


def test_every_input_needs_its_raw_entry() -> None:
    request = protocol.message("ModelInferRequest")(raw_input_contents=[b"", b""])
    request.inputs.add(name="input")
    with pytest.raises(ValidationError, match="1 inputs came with 2 entries"):
        given_tensors(request)


def test_the_protocol_has_an_access_rule_on_every_method() -> None:
    from automesh.mesh.policy import AccessTable

    table = AccessTable([protocol.service()])
    assert table.rule("/inference.GRPCInferenceService/ModelInfer").permission == "model.predict"
    assert table.rule("/inference.GRPCInferenceService/ServerLive").anonymous
