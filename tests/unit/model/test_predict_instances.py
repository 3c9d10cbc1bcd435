"""What Predict takes for windows, and that it never guesses their shape."""

import pytest
from google.protobuf.json_format import ParseDict

from automesh.core.errors import ValidationError
from automesh.model.v1 import model_service_pb2 as pb
from services.model.convert.predictions import instances


def given(windows: object) -> pb.PredictRequest:
    return ParseDict({"instances": windows}, pb.PredictRequest())


def test_windows_come_as_they_are() -> None:
    assert instances(given([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])) == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([[[1, 2, 3], [4]]], "instances[0][1] has 1 values, but instances[0][0] has 3 values"),
        ([[[1, 2]], [[1, 2], [3, 4]]], "instances[1] has shape [2, 2], but instances[0] has shape [1, 2]"),
        ([[[1, 2], 3]], "instances[0][1] is a number, but instances[0][0] has 2 values"),
        ([[[[1], [2]], [1, 2]]], "instances[0][1] has 2 values, but instances[0][0] has shape [2, 1]"),
    ],
)
def test_rows_that_are_not_alike_are_refused_with_their_place(windows: object, message: str) -> None:
    with pytest.raises(ValidationError, match="instances") as refused:
        instances(given(windows))
    assert refused.value.message == message
