"""Pipelines out of messages: every field, and every mistake with its place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automesh.core.errors import ValidationError
from services.data.convert.pipeline import pipeline_of_json
from services.data.convert.reading import generator_of_json, read_options_of_json
from services.data.domain.pipeline import steps
from services.data.domain.pipeline.columns import ColumnType
from services.data.domain.pipeline.expectations import Drift, Expectation
from services.data.domain.pipeline.pipeline import Pipeline
from services.data.domain.pipeline.steps import SplitMethod, SplitStep
from services.data.domain.source import Encoding, FileFormat, Generator

EVERYTHING: dict[str, Any] = {
    "series_column": "s",
    "time_column": "t",
    "steps": [
        {"select": {"columns": ["x", "y"], "rename": {"x": "z"}}},
        {"cast": {"types": {"y": "COLUMN_TYPE_FLOAT32"}, "lenient": True}},
        {"fill": {"columns": ["y"], "method": "FILL_METHOD_VALUE", "value": 1.5}},
        {"drop": {"columns": ["q"], "null_in": ["*"], "where": "y > 3"}},
        {"clip": {"lower": 0.0}},
        {"resample": {"every": "3600s", "aggregation": "AGGREGATION_LAST"}},
        {"derive": {"column": "w", "expression": "lag(y, 2)"}},
        {"split": {"method": "SPLIT_METHOD_TIME", "test_fraction": 0.2, "seed": "7"}},
        {"scale": {"method": "SCALE_METHOD_MIN_MAX"}},
        {"deduplicate": {"columns": ["y"]}},
        {
            "validate": {
                "expectations": [
                    {
                        "column": "y", "type": "COLUMN_TYPE_FLOAT32", "min": 0.0, "max": 1.0, "not_null": True,
                        "unique": True, "allowed": ["1"], "pattern": "a+", "tolerance": 0.1,
                        "drift": {"data_id": "data_1", "version": 2, "max_psi": 0.3},
                    }
                ]
            }
        },
        {"window": {"length": 10, "stride": 5, "horizon": 1}},
    ],
}  # fmt: skip


def test_every_field_of_a_pipeline_is_read() -> None:
    pipeline = pipeline_of_json(EVERYTHING)
    assert (pipeline.series_column, pipeline.time_column) == ("s", "t")
    expected = Expectation(
        column="y", type=ColumnType.FLOAT32, min=0.0, max=1.0, not_null=True, unique=True, allowed=("1",),
        pattern="a+", tolerance=0.1, drift=Drift(data_id="data_1", version=2, max_psi=0.3),
    )  # fmt: skip
    assert pipeline.steps == (
        steps.SelectStep(columns=("x", "y"), rename={"x": "z"}),
        steps.CastStep(types={"y": ColumnType.FLOAT32}, lenient=True),
        steps.FillStep(columns=("y",), method=steps.FillMethod.VALUE, value=1.5),
        steps.DropStep(columns=("q",), null_in=("*",), where="y > 3"),
        steps.ClipStep(columns=(), lower=0.0, upper=None),
        steps.ResampleStep(every=timedelta(hours=1), every_steps=0, aggregation=steps.Aggregation.LAST),
        steps.DeriveStep(column="w", expression="lag(y, 2)"),
        SplitStep(method=SplitMethod.TIME, test_fraction=0.2, validation_fraction=0.0, seed=7),
        steps.ScaleStep(columns=(), method=steps.ScaleMethod.MIN_MAX),
        steps.DeduplicateStep(columns=("y",)),
        steps.ValidateStep(expectations=(expected,)),
        steps.WindowStep(length=10, stride=5, horizon=1),
    )
    assert pipeline.window is not None
    assert pipeline.window.apart == 5


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({}, "pipeline.steps[1]"),
        ({"select": {}}, "pipeline.steps[1].select.columns"),
        ({"select": {"columns": ["a", "b"], "rename": {"a": "b"}}}, "pipeline.steps[1].select.rename"),
        ({"select": {"columns": ["a"], "rename": {"A": "b"}}}, "pipeline.steps[1].select.rename['A']"),
        ({"select": {"columns": ["a", "a"]}}, "pipeline.steps[1].select.columns"),
        ({"select": {"columns": ["s"], "rename": {"s": "b"}}}, "pipeline.steps[1].select.rename"),
        ({"cast": {"types": {"a": 0}}}, "pipeline.steps[1].cast.types['a']"),
        ({"cast": {"types": {"s": 3}, "lenient": True}}, "pipeline.steps[1].cast.lenient"),
        ({"fill": {}}, "pipeline.steps[1].fill.method"),
        ({"fill": {"method": 1, "value": "NaN"}}, "pipeline.steps[1].fill.value"),
        ({"drop": {}}, "pipeline.steps[1].drop"),
        ({"drop": {"columns": ["t"]}}, "pipeline.steps[1].drop.columns"),
        ({"drop": {"where": "x >"}}, "pipeline.steps[1].drop.where"),
        ({"clip": {}}, "pipeline.steps[1].clip"),
        ({"clip": {"lower": 2, "upper": 1}}, "pipeline.steps[1].clip.upper"),
        ({"scale": {}}, "pipeline.steps[1].scale.method"),
        ({"derive": {"column": "", "expression": "1"}}, "pipeline.steps[1].derive.column"),
        ({"derive": {"column": "__row", "expression": "1"}}, "pipeline.steps[1].derive.column"),
        ({"derive": {"column": "a", "expression": "foo(1)"}}, "pipeline.steps[1].derive.expression"),
        ({"resample": {}}, "pipeline.steps[1].resample"),
        ({"resample": {"every": "-3s"}}, "pipeline.steps[1].resample.every"),
        ({"window": {"length": 0}}, "pipeline.steps[1].window.length"),
        ({"window": {"length": 5, "stride": -1}}, "pipeline.steps[1].window.stride"),
        ({"split": {}}, "pipeline.steps[1].split"),
        ({"split": {"test_fraction": 0.95}}, "pipeline.steps[1].split.test_fraction"),
        ({"split": {"test_fraction": 0.5, "validation_fraction": 0.5}}, "pipeline.steps[1].split.validation_fraction"),
        ({"validate": {}}, "pipeline.steps[1].validate.expectations"),
        ({"validate": {"expectations": [{"column": "a"}]}}, "pipeline.steps[1].validate.expectations[0]"),
        (
            {"validate": {"expectations": [{"column": "a", "pattern": "("}]}},
            "pipeline.steps[1].validate.expectations[0].pattern",
        ),
        (
            {"validate": {"expectations": [{"column": "a", "min": 2, "max": 1}]}},
            "pipeline.steps[1].validate.expectations[0].max",
        ),
    ],
)
def test_a_wrong_step_is_named_with_its_field(step: Any, field: str) -> None:
    first = {"deduplicate": {}}
    with pytest.raises(ValidationError) as caught:
        pipeline_of_json({"series_column": "s", "time_column": "t", "steps": [first, step]})
    assert caught.value.violations[0].field == field
    assert caught.value.message.startswith(field)


def test_single_rows_at_random_are_not_cut_into_windows() -> None:
    split = {"split": {"method": "SPLIT_METHOD_RANDOM", "test_fraction": 0.2}}
    with pytest.raises(ValidationError, match="leave no whole windows"):
        pipeline_of_json({"steps": [split, {"window": {"length": 3}}]})


def test_there_is_one_split_and_one_window_at_most() -> None:
    split = {"split": {"test_fraction": 0.2}}
    with pytest.raises(ValidationError) as caught:
        pipeline_of_json({"steps": [split, split]})
    assert caught.value.violations[0].field == "pipeline.steps[1].split"


def test_a_hundred_steps_are_enough() -> None:
    with pytest.raises(ValidationError, match="101 steps are more than 100"):
        pipeline_of_json({"steps": [{"deduplicate": {}}] * 101})


def test_a_split_without_a_method_follows_the_columns() -> None:
    split = SplitStep(test_fraction=0.1)
    assert Pipeline(steps=(split,), series_column="s").split_method(split) is SplitMethod.SERIES
    assert Pipeline(steps=(split,)).split_method(split) is SplitMethod.TIME


def test_generators_have_the_mission_s_defaults() -> None:
    assert generator_of_json({}, "source.generator") == Generator(samples=1000, steps=100, features=10)
    with pytest.raises(ValidationError) as caught:
        generator_of_json({"kind": "noise"}, "source.generator")
    assert caught.value.violations[0].field == "source.generator.kind"
    with pytest.raises(ValidationError, match="is not between 1 and"):
        generator_of_json({"features": 5000}, "source.generator")


def test_read_options_are_checked() -> None:
    options = read_options_of_json({"format": "FILE_FORMAT_CSV", "encoding": "latin-1", "delimiter": ";"}, "o")
    assert (options.format, options.encoding, options.delimiter) == (FileFormat.CSV, Encoding.LATIN_1, ";")
    for wrong, field in [({"delimiter": ",,"}, "o.delimiter"), ({"encoding": "ebcdic"}, "o.encoding")]:
        with pytest.raises(ValidationError) as caught:
            read_options_of_json(wrong, "o")
        assert caught.value.violations[0].field == field
