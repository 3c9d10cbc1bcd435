"""Expectations: a dataset that fails is put aside with a report of the rows, never half-registered."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

ROWS = pl.DataFrame({"x": [1.0, -2.0, None, float("nan"), 9.0], "s": ["a", "b", "a", None, "zz"], "n": [1, 2, 3, 4, 5]})


def expect(*expectations: Any) -> Any:
    return {"validate": {"expectations": list(expectations)}}


def test_rows_that_hold_are_registered_with_the_report(process: Any) -> None:
    outcome = process(ROWS, expect({"column": "n", "min": 1, "max": 5, "not_null": True, "unique": True}))
    assert outcome.result["state"] == "READY"
    checks = [(check["check"], check["passed"]) for check in outcome.result["report"]["checks"]]
    assert checks == [("not null", True), ("unique", True), ("1 <= value <= 5", True)]


@pytest.mark.parametrize(
    ("expectation", "rows", "values"),
    [
        ({"column": "x", "min": 0}, [1], ["-2.0"]),
        ({"column": "x", "max": 5}, [4], ["9.0"]),
        ({"column": "x", "not_null": True}, [2, 3], ["null", "null"]),
        ({"column": "s", "unique": True}, [0, 2], ["a", "a"]),
        ({"column": "s", "allowed": ["a", "b"]}, [4], ["zz"]),
        ({"column": "n", "allowed": ["1", "2.0", "3"]}, [3, 4], ["4", "5"]),
        ({"column": "s", "pattern": "[a-z]"}, [4], ["zz"]),
    ],
)
def test_rows_that_fail_are_named_and_kept_aside(
    process: Any, expectation: Any, rows: list[int], values: list[str]
) -> None:
    outcome = process(ROWS, expect(expectation))
    assert outcome.result["state"] == "REJECTED"
    assert outcome.result["report"]["passed"] is False
    [check] = outcome.result["report"]["checks"]
    assert (check["row_examples"], check["value_examples"]) == (rows, values)
    assert check["failed_rows"] == len(rows)
    assert sorted(path.name for path in outcome.out.iterdir()) == ["manifest.json", "rejected.parquet", "report.json"]
    assert outcome.json("report.json") == outcome.result["report"]
    rejected = pl.read_parquet(outcome.out / "rejected.parquet")
    assert rejected["__row"].to_list() == rows
    assert rejected.drop("__row").columns == ROWS.columns


def test_a_wrong_type_puts_aside_too(process: Any) -> None:
    outcome = process(ROWS, expect({"column": "n", "type": "COLUMN_TYPE_FLOAT32"}))
    assert outcome.result["report"]["checks"][0]["check"] == "type is FLOAT32 (it is INT64)"
    assert outcome.result["state"] == "REJECTED"


def test_a_share_of_rows_may_fail(process: Any) -> None:
    outcome = process(ROWS, expect({"column": "x", "min": 0, "tolerance": 0.2}))
    assert outcome.result["state"] == "READY"
    assert outcome.result["report"]["checks"][0]["failed_rows"] == 1
    assert process(ROWS, expect({"column": "x", "min": 0, "tolerance": 0.19})).result["state"] == "REJECTED"


def test_rows_are_named_as_they_came_even_after_sorting(process: Any) -> None:
    frame = pl.DataFrame({"t": [3, 2, 1], "x": [-1, 5, 5]})
    outcome = process(
        frame, {"derive": {"column": "y", "expression": "lag(x)"}}, expect({"column": "x", "min": 0}), time_column="t"
    )
    assert outcome.result["report"]["checks"][0]["row_examples"] == [0]


def test_many_failing_rows_do_not_swell_the_report(process: Any) -> None:
    frame = pl.DataFrame({"x": [f"{'y' * 300}{number}" for number in range(20_000)]})
    outcome = process(frame, expect(*[{"column": "x", "pattern": f"z{number}"} for number in range(60)]))
    report = outcome.result["report"]
    assert len(report["checks"]) == 60
    assert report["checks"][0]["failed_rows"] == 20_000
    assert len(report["checks"][0]["row_examples"]) == 100
    assert sum(len(value) for check in report["checks"] for value in check["value_examples"]) <= 200_000
    assert pl.read_parquet(outcome.out / "rejected.parquet").height == 10_000


def test_expectations_that_no_column_can_meet_are_errors(process: Any) -> None:
    for expectation, words in [
        ({"column": "nobody", "not_null": True}, "there is no column 'nobody'"),
        ({"column": "s", "min": 0}, "bounds are for numbers"),
        ({"column": "n", "pattern": "x"}, "patterns are for texts"),
        ({"column": "n", "allowed": ["one"]}, "not all of them are INT64"),
        ({"column": "s", "pattern": "(?=x)y"}, "look-around and back-references are not possible"),
    ]:
        reason, message = process(ROWS, expect(expectation)).failure
        assert reason == "DATA_UNSUITABLE"
        assert message.startswith("pipeline.steps[0].validate.expectations[0]")
        assert words in message


def drifting(column: str, psi: float = 0.2) -> Any:
    return expect({"column": column, "drift": {"data_id": "data_x", "version": 3, "max_psi": psi}})


def earlier(process: Any, frame: pl.DataFrame) -> Any:
    return {"data_x/3": process(frame).json("statistics.json")}


def test_the_same_distribution_has_not_drifted(process: Any) -> None:
    wave = pl.DataFrame({"x": [float(number % 97) for number in range(5000)], "s": ["p", "q"] * 2500})
    references = earlier(process, wave)
    for column in ("x", "s"):
        outcome = process(wave[::2].vstack(wave[1::2]), drifting(column, 0.001), references=references)
        assert outcome.result["state"] == "READY"
        assert outcome.result["report"]["checks"][0]["score"] == pytest.approx(0, abs=1e-9)


def test_another_distribution_has_drifted(process: Any) -> None:
    wave = pl.DataFrame({"x": [float(number % 97) for number in range(5000)], "s": ["p", "q"] * 2500})
    references = earlier(process, wave)
    moved = wave.with_columns(x=pl.col("x") + 50, s=pl.lit("r"))
    for column in ("x", "s"):
        outcome = process(moved, drifting(column), references=references)
        assert outcome.result["state"] == "REJECTED"
        [check] = outcome.result["report"]["checks"]
        assert check["score"] > 1
        assert check["check"] == "PSI <= 0.2 against data_x/3"


def test_only_the_training_part_is_compared(process: Any) -> None:
    frame = pl.DataFrame({"t": list(range(1000)), "x": [0.0, 1.0] * 400 + [50.0] * 200})
    split = {"split": {"method": "SPLIT_METHOD_TIME", "test_fraction": 0.2}}
    references = earlier(process, frame[:800].select("x"))
    assert process(frame, split, drifting("x"), references=references, time_column="t").result["state"] == "READY"
    assert process(frame, drifting("x"), references=references, time_column="t").result["state"] == "REJECTED"


def test_the_first_version_has_nothing_to_drift_from(process: Any) -> None:
    outcome = process(ROWS, expect({"column": "x", "drift": {}}))
    assert outcome.result["report"]["checks"][0]["check"] == "drift: there is no earlier version yet"
    assert "no statistics of data_x/3" in process(ROWS, drifting("x")).failure[1]


def test_pandera_is_given_rows_and_not_their_plan_alone(process: Any) -> None:
    """Of a lazy frame pandera checks the types only: every failing row of many must be found."""
    frame = pl.DataFrame({"x": [float(number) for number in range(100_000)]})
    outcome = process(frame, expect({"column": "x", "max": 98_999.0}))
    assert outcome.result["report"]["checks"][0]["failed_rows"] == 1000
