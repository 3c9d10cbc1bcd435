"""Requests written by people: files are read with care, and short names of enum values become whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from automesh.cli.errors import CliError
from automesh.cli.messages import MAX_FILE, read_object, with_whole_names
from automesh.data.v1.data_service_pb2 import ProcessDataRequest
from automesh.model.v1.training_pb2 import TrainingSpec


def test_short_names_become_whole_wherever_the_message_has_an_enum() -> None:
    given = {
        "source": {"upload": {"uploadId": "upload_1", "options": {"format": "csv"}}},
        "pipeline": {
            "steps": [
                {"fill": {"method": "mean"}},
                {"scale": {"method": "z-score"}},
                {"cast": {"types": {"a": "float32", "b": "COLUMN_TYPE_INT64"}}},
                {"validate": {"expectations": [{"column": "a", "type": "float32"}]}},
            ]
        },
    }
    whole = with_whole_names(given, ProcessDataRequest.DESCRIPTOR)
    assert whole["source"]["upload"]["options"]["format"] == "FILE_FORMAT_CSV"
    fill, scale, cast, validate = whole["pipeline"]["steps"]
    assert fill["fill"]["method"] == "FILL_METHOD_MEAN"
    assert scale["scale"]["method"] == "SCALE_METHOD_Z_SCORE"
    assert cast["cast"]["types"] == {"a": "COLUMN_TYPE_FLOAT32", "b": "COLUMN_TYPE_INT64"}
    assert validate["validate"]["expectations"][0]["type"] == "COLUMN_TYPE_FLOAT32"


def test_both_spellings_of_a_field_are_known() -> None:
    for name in ("without_device", "withoutDevice"):
        whole = with_whole_names({"resources": {name: "cpu"}}, TrainingSpec.DESCRIPTOR)
        assert whole == {"resources": {name: "NO_DEVICE_CPU"}}


@pytest.mark.parametrize(
    "given", [{"objective": {"kind": "guess"}}, {"objective": 3}, {"nothing": "cpu"}, {"objective": {"kind": 2}}]
)
def test_what_fits_nowhere_stays_for_the_service_to_refuse(given: dict[str, object]) -> None:
    assert with_whole_names(given, TrainingSpec.DESCRIPTOR) == given


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1, 2]", "must hold the fields"),
        (b"a: [", "neither YAML nor JSON"),
        (b"\xff\xfe\x00", "neither YAML nor JSON"),
        (b" " * (MAX_FILE + 1), "at most"),
    ],
)
def test_a_file_that_is_no_object_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(content)
    with pytest.raises(CliError, match=says) as refused:
        read_object(file, "the fields")
    assert "spec.yaml" in str(refused.value)


def test_a_date_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("since: 2020-01-01\nhalf: 0.5\n")
    assert read_object(file, "the fields") == {"since": "2020-01-01", "half": 0.5}
