"""`automesh data`: requests out of flags and files, and what people are shown."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from automesh.cli import data_views as views
from automesh.cli.data_request import Steps, labels_of, pipeline_of, request_of, source_dataset
from automesh.cli.data_transfer import format_name
from automesh.cli.errors import CliError
from automesh.cli.messages import read_object
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import pipeline_pb2

WHAT = "a request"
YAML = """
name: houses
source:
  upload: {uploadId: upload_1, options: {format: csv}}
pipeline:
  steps:
    - cast: {types: {price: float64}}
    - fill: {method: mean}
    - resample: {every: 60s, aggregation: sum}
    - split: {method: time, testFraction: 0.2}
    - scale: {method: SCALE_METHOD_MIN_MAX}
    - validate: {expectations: [{column: price, type: float64, min: 0}]}
"""


def message_of(request: dict[str, Any]) -> pb.ProcessDataRequest:
    """Refuses what the gateway would refuse."""
    return json_format.ParseDict(request, pb.ProcessDataRequest())


def test_a_file_may_use_short_names(tmp_path: Path) -> None:
    file = tmp_path / "request.yaml"
    file.write_text(YAML)
    message = message_of(request_of(read_object(file, WHAT), labels={"a": "b"}))
    cast, fill, resample, split, scale, validate = message.pipeline.steps
    assert cast.cast.types["price"] == pipeline_pb2.COLUMN_TYPE_FLOAT64
    assert fill.fill.method == pipeline_pb2.FILL_METHOD_MEAN
    assert resample.resample.aggregation == pipeline_pb2.AGGREGATION_SUM
    assert split.split.method == pipeline_pb2.SPLIT_METHOD_TIME
    assert scale.scale.method == pipeline_pb2.SCALE_METHOD_MIN_MAX
    assert validate.validate.expectations[0].type == pipeline_pb2.COLUMN_TYPE_FLOAT64
    assert (message.name, dict(message.labels)) == ("houses", {"a": "b"})


def test_flags_become_steps_in_an_order_that_makes_sense() -> None:
    steps = Steps(fill="0", split="series", test=0.2, validation=0.1, seed=7, scale="z-score", window="24:12:1")
    pipeline = pipeline_of({}, series="house", time="day", steps=steps)
    message = message_of(request_of({}, pipeline=pipeline)).pipeline
    assert [step.WhichOneof("kind") for step in message.steps] == ["fill", "split", "scale", "window"]
    fill, split, scale, window = message.steps
    assert (fill.fill.method, fill.fill.value) == (pipeline_pb2.FILL_METHOD_VALUE, 0)
    assert (split.split.method, split.split.seed) == (pipeline_pb2.SPLIT_METHOD_SERIES, 7)
    assert scale.scale.method == pipeline_pb2.SCALE_METHOD_Z_SCORE
    assert (window.window.length, window.window.stride, window.window.horizon) == (24, 12, 1)
    assert (message.series_column, message.time_column) == ("house", "day")


def test_without_steps_there_is_no_pipeline() -> None:
    assert pipeline_of({}, series="", time="", steps=Steps()) == {}
    assert request_of({}, name="x", pipeline={}, description="") == {"name": "x"}


def test_flags_come_behind_the_steps_of_a_file() -> None:
    pipeline = pipeline_of({"pipeline": {"steps": [{"fill": {"method": "mean"}}]}}, series="", time="",
                           steps=Steps(window="5"))  # fmt: skip
    assert pipeline["steps"] == [{"fill": {"method": "mean"}}, {"window": {"length": 5}}]


@pytest.mark.parametrize("text", ["a:", "[1, 2]", "just text", "{", "a: [" * 1500, "a: !!python/object:os.system {}"])
def test_a_file_that_holds_no_object_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "request.yaml"
    file.write_text("\t- :" if text == "a:" else text)
    with pytest.raises(CliError, match=r"request\.yaml"):
        read_object(file, WHAT)


@pytest.mark.parametrize(
    "call",
    [
        lambda: labels_of(["team"]),
        lambda: source_dataset("data_x:two"),
        lambda: Steps(window="1:2:3:4").messages(),
        lambda: Steps(window="long").messages(),
        lambda: format_name("xlsx"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_words(call: Any) -> None:
    with pytest.raises(CliError) as error:
        call()
    assert len(error.value.message) > 10


def test_a_dataset_is_named_with_or_without_its_version() -> None:
    assert source_dataset("data_x") == {"dataId": "data_x"}
    assert source_dataset("data_x:3") == {"dataId": "data_x", "version": 3}


def test_a_histogram_is_a_bar_an_interval() -> None:
    assert views.histogram_text({"counts": ["0", "1", "4", "8"]}) == " ▁▄█"
    assert views.histogram_text({"counts": ["0", "0"]}) == ""
    assert views.histogram_text({"counts": ["1", "1000000"]}) == "▁█"
    assert views.histogram_text({"counts": ["1", "1", "4", "4", "1"]}, narrow=True) == "▂█▁"


@pytest.mark.parametrize(
    ("size", "text"), [("0", "0 B"), ("1023", "1023 B"), (1536, "1.5 KiB"), (3 * 1024**3, "3.0 GiB")]
)
def test_sizes_are_readable(size: object, text: str) -> None:
    assert views.size_text(size) == text


@pytest.mark.parametrize(("value", "text"), [(None, "·"), (3.0, "3"), (0.25, "0.25"), ("x" * 50, "x" * 39 + "…")])
def test_cells_are_short(value: object, text: str) -> None:
    assert views.cell(value) == text


def test_sources_and_parts_are_told_in_a_few_words() -> None:
    assert views.source_text({"url": {"url": "https://x/y?signature=secret"}}) == "https://x/y"
    assert views.source_text({"generator": {}}) == "generator sine"
    assert views.parts_text([{"name": "train", "rows": "8", "windows": "3"}]) == "train 8 rows, 3 windows"
    assert views.window_text({"length": 24, "horizon": 1}) == "24 rows every 24, horizon 1"
