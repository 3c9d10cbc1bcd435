"""Polars and Daft carry the same pipeline out with the same result: on rows and pipelines that nobody thought of."""

from __future__ import annotations

import json
import operator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.ray

MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS = ("x", "y", "i", "k")
TIES = st.integers(0, 5)
SINGLE = st.none() | st.just(float("nan")) | st.floats(-1e4, 1e4, width=32).map(lambda value: round(value, 2))
DOUBLE = st.none() | st.just(float("nan")) | st.integers(-10_000, 10_000).map(lambda value: value / 64)
EXPRESSIONS = (
    "x + y * 2", "x / y", "i % 3", "-i", "i + k", "k * 2", "abs(x - 1.5)", "if(x > y, i, k)", "min(x, y, i)",
    "max(i, k)", "sqrt(abs(y))", "round(x, 1)", "floor(y)", "coalesce(x, y, 0)", "is_null(x)", "n == 'a'", "length(n)",
    "upper(n)", "b and x > 0", "not b", "hour(w)", "weekday(d)", "lag(x)", "lag(n, 2)", "diff(i, 2)",
    "rolling_mean(y, 3)", "x - lag(x, 1) / 2", "lag(i) + lag(k, 3)", "i ** 2", "x != y", "3",
    "w > '2026-01-01T02:00:00'", "null", "'3'",
)  # fmt: skip
WHERES = ("x > 2", "is_null(y)", "diff(k) < 0", "n == 'a' or b", "lag(x) > 0", "i % 2 == 0", "t > 3", "true", "k < 0")


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """Rows of several series in any order, with ties of time, nulls, NaN and every type."""
    rows = draw(st.integers(1, 24))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "s": column(st.sampled_from(("", "a", "b", "ü", "series"))),
            "t": column(TIES),
            "x": pl.Series(column(SINGLE), dtype=pl.Float32),
            "y": pl.Series(column(DOUBLE), dtype=pl.Float64),
            "i": pl.Series(column(st.none() | st.integers(-100, 100)), dtype=pl.Int32),
            "k": pl.Series(column(st.none() | st.integers(-(2**40), 2**40)), dtype=pl.Int64),
            "n": pl.Series(
                column(st.none() | st.sampled_from(("", "a", "Bé", " 7 ", "-1.5", "1e3", "x"))), dtype=pl.String
            ),
            "b": pl.Series(column(st.none() | st.booleans()), dtype=pl.Boolean),
            "w": pl.Series([start + timedelta(minutes=45 * hours) for hours in column(TIES)]).dt.replace_time_zone(
                None
            ),
            "d": pl.Series([date(2026, 1, 1) + timedelta(days=days) for days in column(TIES)]),
            "z.z": pl.Series(column(st.none() | st.sampled_from((0.0, -0.0, 1.0))), dtype=pl.Float64),
        }
    )


def some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), unique=True, max_size=3)


def bound(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(float)


EXPECTATIONS = st.sampled_from(
    (
        {"column": "x", "not_null": True, "tolerance": 0.5}, {"column": "y", "min": -1000, "max": 50},
        {"column": "k", "unique": True}, {"column": "n", "allowed": ["a", ""], "tolerance": 1},
        {"column": "n", "pattern": "[a-z]*"}, {"column": "i", "type": "COLUMN_TYPE_INT32"},
    )
)  # fmt: skip
FILLS = ("VALUE", "FORWARD", "BACKWARD", "MEAN", "LINEAR")
SHARES = ("test_fraction", "validation_fraction", "seed")
AGGREGATIONS = ("MEAN", "SUM", "MIN", "MAX", "FIRST", "LAST")
STEPS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda names, method, value: {"fill": {"columns": names, "method": f"FILL_METHOD_{method}", "value": value}},
        some(NUMBERS), st.sampled_from(FILLS), bound(-3, 3),
    ),
    st.builds(
        lambda names, kind, lax: {"cast": {"types": dict.fromkeys(names, f"COLUMN_TYPE_{kind}"), "lenient": lax}},
        st.lists(st.sampled_from(("x", "y", "i", "k", "n", "b", "t", "w", "d")), unique=True, min_size=1, max_size=2),
        st.sampled_from(("INT32", "INT64", "FLOAT32", "FLOAT64", "STRING", "BOOLEAN", "TIMESTAMP", "DATE")),
        st.booleans(),
    ),
    st.builds(lambda name, what: {"derive": {"column": name, "expression": what}},
              st.sampled_from(("new", "x", "k", "z.z", "t")), st.sampled_from(EXPRESSIONS)),
    st.builds(lambda where: {"drop": {"where": where}}, st.sampled_from(WHERES)),
    st.builds(lambda names: {"drop": {"null_in": names}}, some((*NUMBERS, "n", "b")).filter(bool)),
    st.builds(lambda names: {"drop": {"columns": names}}, some(("x", "n", "d", "z.z")).filter(bool)),
    st.builds(lambda names, low, more: {"clip": {"columns": names, "lower": low, "upper": low + more}},
              some((*NUMBERS, "t", "z.z")), bound(-5, 5), bound(0, 9)),
    st.builds(lambda names, how: {"scale": {"columns": names, "method": f"SCALE_METHOD_{how}"}},
              some((*NUMBERS, "z.z")), st.sampled_from(("Z_SCORE", "MIN_MAX"))),
    st.builds(lambda names: {"deduplicate": {"columns": names}}, some(("s", "x", "y", "n", "b", "d", "z.z", "t"))),
    st.builds(lambda every, how: {"resample": {"every_steps": every, "aggregation": f"AGGREGATION_{how}"}},
              st.integers(1, 3), st.sampled_from(AGGREGATIONS)),
    st.builds(lambda every, how: {"resample": {"every": f"{every}s", "aggregation": f"AGGREGATION_{how}"}},
              st.sampled_from((3600, 86_400)), st.sampled_from(AGGREGATIONS)),
    st.builds(
        lambda how, *shares: {"split": {"method": f"SPLIT_METHOD_{how}", **dict(zip(SHARES, shares, strict=True))}},
        st.sampled_from(("SERIES", "TIME", "RANDOM")), st.sampled_from((0.2, 0.4)), st.sampled_from((0.0, 0.3)),
        st.integers(0, 3).map(str),
    ),
    st.builds(lambda expectation: {"validate": {"expectations": [expectation]}}, EXPECTATIONS),
    st.just({"select": {"columns": ["y", "x", "i", "k", "n", "b"], "rename": {"y": "x", "x": "y"}}}),
)  # fmt: skip
WINDOWS = st.builds(
    lambda length, stride, horizon: [{"window": {"length": length, "stride": stride, "horizon": horizon}}],
    st.integers(1, 3), st.integers(0, 2), st.integers(0, 1),
)  # fmt: skip
LAYOUTS = st.sampled_from(
    (
        {"series_column": "s", "time_column": "t"}, {"series_column": "s", "time_column": "w"},
        {"series_column": "s", "time_column": "d"}, {"series_column": "k", "time_column": "t"},
        {"series_column": "b", "time_column": "w"}, {"series_column": "d"}, {"time_column": "t"}, {},
    )
)  # fmt: skip


def outcome(process: Any, frame: pl.DataFrame, engine: str, steps: list[Any], **told: Any) -> Any:
    """All that came of a job but the name and the version of what did it."""
    made = process(frame, *steps, engine=engine, **told)
    last = made.events[-1]
    if last["kind"] == "failed":
        return last
    result = json.loads(json.dumps(last["result"]))
    facts = result.pop("facts")
    assert facts["engine"] == engine
    for file in result["files"]:
        file["content"] = file_content(made.out / file["name"])
        del file["size"], file["sha256"]
    del result["size"]
    return {"facts": facts["steps"], **result}


def file_content(path: Any) -> Any:
    if path.suffix == ".json":
        return json.loads(path.read_text())
    return repr(pl.read_parquet(path).to_dict(as_series=False))


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series lie in several buckets, as they do where there are millions of rows."""
    from services.data.processor.daft_engine import batches

    monkeypatch.setattr(batches, "BUCKET_ROWS", 4)


@MANY
@given(
    frame=frames(),
    steps=st.builds(operator.add, st.lists(STEPS, min_size=1, max_size=6), st.just([]) | WINDOWS),
    layout=LAYOUTS,
    memory=st.sampled_from((0, 1)),  # 1: everything goes through files
)
@pytest.mark.usefixtures("small_buckets")
def test_both_engines_make_the_same_of_any_rows(
    process: Any, frame: pl.DataFrame, steps: list[Any], layout: dict[str, str], memory: int
) -> None:
    limits = {"memory": memory}
    told = outcome(process, frame, "polars", steps, limits=limits, **layout)
    note(str(told)[:300])
    assert outcome(process, frame, "daft", steps, limits=limits, **layout) == told


def twenty(**columns: Any) -> pl.DataFrame:
    """Rows of one series, enough for several small buckets."""
    return pl.DataFrame({"s": ["a"] * 20, "t": range(20), **columns})


FOUND: dict[str, tuple[pl.DataFrame, list[Any]]] = {
    "a column is replaced after another was derived from it": (
        twenty(x=[None, 1.0] * 10),
        [
            {"derive": {"column": "y", "expression": "abs(x - 1.5)"}},
            {"fill": {"columns": ["x"], "method": "FILL_METHOD_VALUE", "value": 0.0}},
        ],
    ),
    "one zero is negative": (twenty(x=[0.0] * 19 + [-0.0]), [{"deduplicate": {"columns": ["x"]}}]),
    "no row is left to be divided": (
        twenty(x=[1.0] * 20),
        [{"drop": {"where": "true"}}, {"split": {"method": "SPLIT_METHOD_SERIES", "test_fraction": 0.2}}],
    ),
}
"""Where the search above once found a difference."""


@pytest.mark.parametrize(("frame", "steps"), FOUND.values(), ids=FOUND)
@pytest.mark.usefixtures("small_buckets")
def test_both_engines_make_the_same_of_what_once_differed(process: Any, frame: pl.DataFrame, steps: list[Any]) -> None:
    told = outcome(process, frame, "polars", steps, series_column="s", time_column="t")
    assert "cannot be computed" not in told.get("message", "")
    assert outcome(process, frame, "daft", steps, series_column="s", time_column="t") == told


def test_the_names_of_columns_may_change_places(process: Any) -> None:
    """Daft alone takes them for each other in what went before, and in what follows."""
    frame = pl.DataFrame({"x": [1.0, 2.0], "y": [10.0, 20.0]})
    swap = {"select": {"columns": ["x", "y"], "rename": {"x": "y", "y": "x"}}}
    before = {"derive": {"column": "x", "expression": "x + y * 2"}}
    after = {"derive": {"column": "z", "expression": "x - y"}}
    made = process(frame, before, swap, after, engine="daft")
    assert made.part().to_dict(as_series=False) == {"y": [21.0, 42.0], "x": [10.0, 20.0], "z": [-11.0, -22.0]}


def test_an_unknown_engine_is_refused(process: Any) -> None:
    reason, message = process(pl.DataFrame({"x": [1]}), engine="spark").failure
    assert (reason, "none of polars, ray, daft" in message) == ("VALIDATION", True)


def test_a_cluster_that_is_away_is_worth_another_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    from automesh.core.errors import Kind
    from services.data.processor.daft_engine import cluster

    def away(**_told: Any) -> None:
        raise ConnectionError("nobody is there")

    monkeypatch.setattr(ray, "init", away)
    with pytest.raises(cluster.RayUnreachable, match=r"127\.0\.0\.1:1 cannot be joined: nobody is there") as caught:
        cluster.on_ray("127.0.0.1:1", 0)
    assert caught.value.kind is Kind.UNAVAILABLE
