"""Every step of a pipeline does what pipeline.proto says."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from services.data.processor.polars_engine.expressions import quotient

KEYS = {"series_column": "s", "time_column": "t"}


def long(**columns: list[Any]) -> pl.DataFrame:
    """Two series of three rows."""
    return pl.DataFrame({"s": ["a", "a", "a", "b", "b", "b"], "t": [0, 1, 2, 0, 1, 2], **columns})


def values(outcome: Any, column: str = "x") -> list[Any]:
    found: list[Any] = outcome.part()[column].to_list()
    return found


def test_rows_are_put_in_order_of_series_and_time(process: Any) -> None:
    shuffled = long(x=[1, 2, 3, 4, 5, 6])[[3, 0, 5, 2, 1, 4]]
    assert values(process(shuffled, **KEYS)) == [1, 2, 3, 4, 5, 6]


def test_rows_without_keys_stay_as_they_came(process: Any) -> None:
    assert values(process(pl.DataFrame({"x": [3, 1, 2]}))) == [3, 1, 2]


def test_select_keeps_the_keys_and_renames(process: Any) -> None:
    outcome = process(long(x=[1] * 6, y=[2] * 6), {"select": {"columns": ["y"], "rename": {"y": "z"}}}, **KEYS)
    assert outcome.part().columns == ["s", "t", "z"]


def test_cast_names_the_first_value_it_cannot_save(process: Any) -> None:
    frame = pl.DataFrame({"x": ["1", "2", "many", "few"]})
    cast = {"cast": {"types": {"x": "COLUMN_TYPE_INT64"}}}
    reason, message = process(frame, cast).failure
    assert reason == "DATA_UNSUITABLE"
    assert "pipeline.steps[0].cast.types: 2 values of column 'x' are no INT64, the first in row 2: 'many'" in message
    cast["cast"]["lenient"] = True
    assert values(process(frame, cast)) == [1, 2, None, None]


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        (["1.5", " 2 "], "FLOAT64", [1.5, 2.0]),
        (["true", "0"], "BOOLEAN", [True, False]),
        ([1.0, -3.0], "INT32", [1, -3]),
        ([0, 2], "BOOLEAN", [False, True]),
        (["2026-01-31T12:00:00Z", "2026-01-31 13:30", "2026-01-31"], "TIMESTAMP", None),
        (["2026-01-31T12:00:00+02:00"], "TIMESTAMP", None),
        ([1, 2], "STRING", ["1", "2"]),
    ],
)
def test_casts(process: Any, given: list[Any], kind: str, expected: list[Any] | None) -> None:
    outcome = process(pl.DataFrame({"x": given}), {"cast": {"types": {"x": f"COLUMN_TYPE_{kind}"}}})
    if expected is None:
        hours = [moment.hour for moment in outcome.part()["x"].dt.replace_time_zone(None).to_list()]
        assert hours in ([12, 13, 0], [10])
    else:
        assert values(outcome) == expected


def test_a_fraction_is_no_whole_number(process: Any) -> None:
    _, message = process(pl.DataFrame({"x": [1.0, 1.5]}), {"cast": {"types": {"x": "COLUMN_TYPE_INT64"}}}).failure
    assert "the first in row 1: '1.5'" in message


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("FORWARD", [None, 1.0, 1.0, None, 4.0, 4.0]),
        ("BACKWARD", [1.0, 1.0, None, 4.0, 4.0, None]),
        ("VALUE", [9.0, 1.0, 9.0, 9.0, 4.0, 9.0]),
        ("MEAN", [2.5, 1.0, 2.5, 2.5, 4.0, 2.5]),
    ],
)
def test_fill_replaces_nulls_and_nan_inside_a_series(process: Any, method: str, expected: list[Any]) -> None:
    frame = long(x=[None, 1.0, math.nan, None, 4.0, None])
    assert values(process(frame, {"fill": {"method": f"FILL_METHOD_{method}", "value": 9}}, **KEYS)) == expected


def test_fill_on_the_line_stays_inside_a_series_and_whole(process: Any) -> None:
    frame = long(x=[1.0, None, 3.0, None, 7.0, None], n=[2, None, 4, None, None, 8])
    outcome = process(frame, {"fill": {"method": "FILL_METHOD_LINEAR"}}, **KEYS)
    assert values(outcome) == [1.0, 2.0, 3.0, None, 7.0, None]
    assert values(outcome, "n") == [2, 3, 4, None, None, 8]


def test_a_whole_column_is_filled_with_whole_numbers_only(process: Any) -> None:
    frame = pl.DataFrame({"x": [1, None, 2]})
    _, message = process(frame, {"fill": {"method": "FILL_METHOD_VALUE", "value": 0.5}}).failure
    assert "pipeline.steps[0].fill.value: column 'x' is INT64: 0.5 is no whole number" in message
    assert values(process(frame, {"fill": {"method": "FILL_METHOD_MEAN"}})) == [1, 2, 2]


def test_fill_of_a_text_by_its_neighbours(process: Any) -> None:
    step = {"fill": {"method": "FILL_METHOD_FORWARD", "columns": ["x"]}}
    assert values(process(pl.DataFrame({"x": ["a", None, "b"]}), step)) == ["a", "a", "b"]


def test_drop_leaves_out_columns_and_rows(process: Any) -> None:
    frame = pl.DataFrame({"x": [1.0, None, 3.0, math.nan, 5.0], "y": [1, 2, None, 4, 5], "z": [0] * 5})
    assert process(frame, {"drop": {"columns": ["z"], "null_in": ["x"]}}).part().rows() == [
        (1.0, 1),
        (3.0, None),
        (5.0, 5),
    ]
    assert values(process(frame, {"drop": {"null_in": ["*"]}})) == [1.0, 5.0]
    assert values(process(frame, {"drop": {"where": "x > 2 or y == 2"}}), "y") == [1, 4]


def test_drop_by_a_condition_that_is_none(process: Any) -> None:
    _, message = process(pl.DataFrame({"x": [1]}), {"drop": {"where": "x + 1"}}).failure
    assert "pipeline.steps[0].drop.where: comes out as INT64: it must be true or false" in message


def test_nothing_left_is_no_dataset(process: Any) -> None:
    assert process(pl.DataFrame({"x": [1]}), {"drop": {"where": "true"}}).failure[0] == "DATA_EMPTY"


def test_clip_bounds_values_and_keeps_nulls(process: Any) -> None:
    frame = pl.DataFrame({"x": [-5.0, None, 5.0], "n": [1, 2, 3]})
    outcome = process(frame, {"clip": {"lower": 0, "upper": 2}})
    assert (values(outcome), values(outcome, "n")) == ([0.0, None, 2.0], [1, 2, 2])
    assert values(process(frame, {"clip": {"columns": ["x"], "lower": 0.5}})) == [0.5, None, 5.0]


def test_scales_say_what_they_used(process: Any) -> None:
    frame = pl.DataFrame({"x": [1.0, 3.0], "c": [7.0, 7.0], "n": [1, 2]})
    outcome = process(frame, {"scale": {"method": "SCALE_METHOD_Z_SCORE"}})
    assert outcome.part().to_dict(as_series=False) == {"x": [-1.0, 1.0], "c": [0.0, 0.0], "n": [1, 2]}
    fact = outcome.result["facts"]["steps"][0]
    assert fact["columns"] == {"x": {"mean": 2.0, "std": 1.0}, "c": {"mean": 7.0, "std": 0.0}}
    outcome = process(frame, {"scale": {"method": "SCALE_METHOD_MIN_MAX", "columns": ["n", "c"]}})
    assert (values(outcome, "n"), values(outcome, "c")) == ([0.0, 1.0], [0.0, 0.0])


def test_a_large_mean_beside_a_small_spread_is_no_problem(process: Any) -> None:
    frame = pl.DataFrame({"x": [1e9 + step % 7 for step in range(1000)]})
    scaled = process(frame, {"scale": {"method": "SCALE_METHOD_Z_SCORE"}}).part()["x"]
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std(ddof=0) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x * 2 + 1", [3.0, 5.0, None, 9.0, 11.0, 13.0]),
        ("n % 2", [1, 0, 1, 0, 1, 0]),
        ("-n % 4", [3, 2, 1, 0, 3, 2]),
        ("n / 2", [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]),
        ("2 ** n", [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
        ("if(n > 3, 'big', 'small')", ["small"] * 3 + ["big"] * 3),
        ("coalesce(x, 0)", [1.0, 2.0, 0.0, 4.0, 5.0, 6.0]),
        ("is_null(x) or not (n < 5)", [False, False, True, False, True, True]),
        ("x > 1 and n > 1", [False, True, None, True, True, True]),
        ("lag(n)", [None, 1, 2, None, 4, 5]),
        ("lag(diff(n, 1), 1)", [None, None, 1, None, None, 1]),
        ("rolling_mean(n, 2)", [None, 1.5, 2.5, None, 4.5, 5.5]),
        ("max(n, 3, x)", [3.0, 3.0, 3.0, 4.0, 5.0, 6.0]),
        ("round(n / 4, 1)", [0.3, 0.5, 0.8, 1.0, 1.3, 1.5]),
        ("floor(n / 2) + ceil(0.5)", [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]),
        ("upper(s)", ["A", "A", "A", "B", "B", "B"]),
        ("length('äb') + 0 * n", [2] * 6),
        ("log(-1) + n", [None] * 6),
        ("n == null", [None] * 6),
        ("year(d) + month(d) * day(d)", [2026 + 31] * 6),
        ("weekday(d) * 100 + hour(d)", [612] * 6),
        ("d > '2026-01-31T11:59:59Z'", [True] * 6),
        ("sqrt(n) * sqrt(n) == n or true", [True] * 6),
        ("abs(-n)", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_expressions(process: Any, expression: str, expected: list[Any]) -> None:
    frame = long(
        x=[1.0, 2.0, math.nan, 4.0, 5.0, 6.0],
        n=[1, 2, 3, 4, 5, 6],
        d=[datetime(2026, 1, 31, 12)] * 6,  # noqa: DTZ001 # moments of frames are UTC
    )
    outcome = process(frame, {"derive": {"column": "z", "expression": expression}}, **KEYS)
    assert values(outcome, "z") == (
        expected if None in expected else pytest.approx(expected) if _numeric(expected) else expected
    )


@pytest.mark.parametrize("batches", [[slice(None)], [slice(0, 1), slice(1, None)]], ids=["one batch", "two"])
def test_a_quotient_does_not_depend_on_what_stands_beside_it(batches: list[slice]) -> None:
    """Polars' own is another for a constant, and for a row alone."""
    rows = pl.DataFrame({"x": [24.5, 3.0, None], "y": [24.5, 10.0, 1.0]})
    for divisor in (pl.col("y"), pl.lit(24.5)):
        made = pl.concat(rows[batch].select(quotient(pl.col("x"), divisor)) for batch in batches).to_series()
        assert made.to_list() == [1.0, 3.0 / (10.0 if divisor.meta.root_names() else 24.5), None]


def _numeric(expected: list[Any]) -> bool:
    return not isinstance(expected[0], (str, bool))


def test_an_expression_that_does_not_fit_names_the_step_and_the_place(process: Any) -> None:
    reason, message = process(pl.DataFrame({"x": ["a"]}), {"derive": {"column": "y", "expression": "1 + x"}}).failure
    assert reason == "VALIDATION"
    assert message == "pipeline.steps[0].derive.expression: at character 3: + cannot be applied to text"


def test_a_derived_column_replaces_one_of_its_name(process: Any) -> None:
    outcome = process(pl.DataFrame({"x": [1, 2], "y": [5, 6]}), {"derive": {"column": "x", "expression": "x + y"}})
    assert outcome.part().to_dict(as_series=False) == {"x": [6, 8], "y": [5, 6]}


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("MEAN", [1.5, 3.0, 4.5, None]), ("SUM", [3.0, 3.0, 9.0, None]), ("MIN", [1.0, 3.0, 4.0, None]),
        ("MAX", [2.0, 3.0, 5.0, None]), ("FIRST", [1.0, 3.0, 4.0, None]), ("LAST", [2.0, 3.0, 5.0, None]),
    ],
)  # fmt: skip
def test_resample_by_steps(process: Any, aggregation: str, expected: list[Any]) -> None:
    frame = long(x=[1.0, 2.0, 3.0, 4.0, 5.0, math.nan], label=["p", "q", "r", None, "t", "u"])
    step = {"resample": {"every_steps": "2", "aggregation": f"AGGREGATION_{aggregation}"}}
    part = process(frame, step, **KEYS).part()
    assert part["x"].to_list() == expected
    assert part["t"].to_list() == [0, 2, 0, 2]
    assert part["label"].to_list() == ["p", "r", "t", "u"]


def test_resample_by_time(process: Any) -> None:
    text = "t,x\n2026-01-01T00:10:00,1\n2026-01-01T00:50:00,3\n2026-01-01T02:00:00,5\n"
    part = process(text, {"resample": {"every": "3600s"}}, time_column="t").part()
    assert part["x"].to_list() == [2.0, 5.0]
    assert part["t"].dt.hour().to_list() == [0, 2]


def test_resample_does_not_mix_parts(process: Any) -> None:
    frame = pl.DataFrame({"t": list(range(10)), "x": [float(t) for t in range(10)]})
    split = {"split": {"method": "SPLIT_METHOD_TIME", "test_fraction": 0.5}}
    outcome = process(frame, split, {"resample": {"every_steps": "4"}}, time_column="t")
    assert values(outcome) == [1.5, 4.0]
    assert outcome.part("test")["x"].to_list() == [6.0, 8.5]


def test_resample_of_the_wrong_kind_of_time(process: Any) -> None:
    _, message = process(long(x=[1] * 6), {"resample": {"every": "60s"}}, **KEYS).failure
    assert "pipeline.steps[0].resample.every: the time column is INT64" in message


def test_deduplicate_keeps_the_first_as_it_came(process: Any) -> None:
    frame = pl.DataFrame({"t": [3, 1, 3, 2], "x": [1, 2, 3, 4]})
    outcome = process(frame, {"deduplicate": {"columns": ["t"]}}, time_column="t")
    assert outcome.part().rows() == [(1, 2), (2, 4), (3, 1)]
    assert len(values(process(pl.concat([frame, frame]), {"deduplicate": {}}))) == 4


def test_a_split_by_time_puts_the_latest_rows_of_each_series_aside(process: Any) -> None:
    frame = pl.DataFrame({"s": ["a"] * 10 + ["b"] * 5, "t": [*range(10), *range(5)]})
    split = {"split": {"method": "SPLIT_METHOD_TIME", "test_fraction": 0.2, "validation_fraction": 0.2}}
    outcome = process(frame, split, **KEYS)
    assert outcome.part().rows() == [*(("a", t) for t in range(6)), *(("b", t) for t in range(3))]
    assert outcome.part("validation").rows() == [("a", 6), ("a", 7), ("b", 3)]
    assert outcome.part("test").rows() == [("a", 8), ("a", 9), ("b", 4)]


def test_a_split_at_random_meets_its_share(process: Any) -> None:
    split = {"split": {"method": "SPLIT_METHOD_RANDOM", "test_fraction": 0.3, "seed": 5}}
    outcome = process(pl.DataFrame({"x": list(range(1000))}), split)
    assert {part["name"]: part["rows"] for part in outcome.result["parts"]} == {"train": 700, "test": 300}
    assert sorted(values(outcome) + outcome.part("test")["x"].to_list()) == list(range(1000))


def test_one_series_cannot_be_split_by_series(process: Any) -> None:
    _, message = process(pl.DataFrame({"s": [1, 1]}), {"split": {"test_fraction": 0.5}}, series_column="s").failure
    assert "1 series cannot be divided into so many parts: split by time" in message


def test_windows_too_long_for_every_series_say_both_lengths(process: Any) -> None:
    _, message = process(long(x=[1] * 6), {"window": {"length": 3, "horizon": 1}}, **KEYS).failure
    assert "has 4 rows (a window of 3 and a horizon of 1); the longest has 3" in message


def test_the_mission_s_generator_is_cut_into_windows(process: Any) -> None:
    outcome = process({}, {"split": {"test_fraction": 0.2}}, {"window": {"length": 20, "stride": 10, "horizon": 5}})
    assert [(part["name"], part["rows"], part["series"], part["windows"]) for part in outcome.result["parts"]] == [
        ("train", 80_000, 800, 6_400), ("test", 20_000, 200, 1_600),
    ]  # fmt: skip
    assert outcome.windows()[:9] == [0, 10, 20, 30, 40, 50, 60, 70, 100]
    assert outcome.part().columns == ["series", "step", *(f"f{number}" for number in range(10)), "target"]


@pytest.mark.parametrize(("kind", "learned"), [("random_walk", "target"), ("classes", "label"), ("anomalies", "label")])
def test_generators_make_something_to_learn(process: Any, kind: str, learned: str) -> None:
    outcome = process({"kind": kind, "samples": 20, "steps": 50, "features": 2, "seed": "7"})
    part = outcome.part()
    assert part.columns == ["series", "step", "f0", "f1", learned]
    assert part[learned].n_unique() > 1
    again = process({"kind": kind, "samples": 20, "steps": 50, "features": 2, "seed": "7"})
    other = process({"kind": kind, "samples": 20, "steps": 50, "features": 2, "seed": "8"})
    assert outcome.result["digest"] == again.result["digest"] != other.result["digest"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"series_column": "nobody"}, "there is no column 'nobody'"),
        ({"series_column": "x"}, "is FLOAT64: cast it"),
        ({"time_column": "s"}, "is STRING: cast it"),
    ],
)
def test_keys_that_tell_nothing_apart_are_refused(process: Any, keys: Any, words: str) -> None:
    assert words in process(long(x=[1.0] * 6), **keys).failure[1]


def test_rows_without_a_key_are_refused(process: Any) -> None:
    _, message = process(pl.DataFrame({"s": ["a", None], "x": [1, 2]}), series_column="s").failure
    assert "column 's' is null in 1 rows" in message


def test_unknown_columns_are_named_with_their_step(process: Any) -> None:
    _, message = process(
        pl.DataFrame({"x": [1]}), {"clip": {"lower": 0}}, {"fill": {"columns": ["y"], "method": 1}}
    ).failure
    assert message == "pipeline.steps[1].fill.columns: there is no column 'y'; there are x"


def test_resample_after_a_split_by_series_keeps_the_parts(process: Any) -> None:
    frame = pl.DataFrame(
        {"s": [name for name in "abcdefgh" for _ in range(4)], "t": list(range(4)) * 8, "x": range(32)}
    )
    steps = [{"split": {"test_fraction": 0.5}}, {"resample": {"every_steps": "2"}}, {"scale": {"method": 1}}]
    outcome = process(frame, *steps, **KEYS)
    parts = [outcome.part(), outcome.part("test")]
    assert [part.height for part in parts] == [8, 8]
    assert not set(parts[0]["s"]) & set(parts[1]["s"])


def test_what_nobody_foresaw_is_said_with_its_step(monkeypatch: pytest.MonkeyPatch, process: Any) -> None:
    """An engine that fails in the middle: an answer, not a death without a word."""

    def broken(*_: Any) -> Any:
        raise pl.exceptions.ComputeError("out of\nluck")

    monkeypatch.setattr("services.data.processor.polars_engine.engine.PolarsEngine.clip", broken)
    reason, message = process(pl.DataFrame({"x": [1]}), {"clip": {"lower": 0}}).failure
    assert (reason, message) == ("DATA_UNSUITABLE", "pipeline.steps[0].clip: the rows cannot be computed: out of luck")
