"""What holds of every pipeline, whatever the rows: checked on rows that nobody thought of."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from services.data.domain.pipeline.steps import WindowStep
from services.data.processor import splits
from services.data.processor.digest import BLOCK, column_digest
from services.data.processor.statistics import column_statistics
from services.data.processor.summary import merged, moments
from services.data.processor.windows import run_lengths, window_starts

KEYS = {"series_column": "s", "time_column": "t"}
QUICK = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(max_examples=60, deadline=None)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """Some series of some rows, with nulls, in any order."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=3, max_size=8))
    rows = [(f"s{series}", step) for series, length in enumerate(lengths) for step in range(length)]
    numbers = draw(st.lists(st.none() | st.floats(-1e6, 1e6, width=32), min_size=len(rows), max_size=len(rows)))
    frame = pl.DataFrame(
        {"s": [row[0] for row in rows], "t": [row[1] for row in rows], "x": numbers}, schema_overrides={"x": pl.Float32}
    )
    return frame[draw(st.permutations(range(len(rows))))]


@QUICK
@given(frame=frames(), seed=st.integers(-5, 5))
def test_scaling_knows_nothing_of_the_test_part(process: Any, frame: pl.DataFrame, seed: int) -> None:
    steps = [{"split": {"test_fraction": 0.4, "seed": str(seed)}}, {"scale": {"method": "SCALE_METHOD_Z_SCORE"}}]
    before = process(frame, steps[0], **KEYS)
    train, test = before.part(), before.part("test")
    assume(train["x"].count() > 0)
    changed = pl.concat([train, test.with_columns(x=pl.col("x") * 3 + 1000)])
    facts = process(frame, *steps, **KEYS).result["facts"]["steps"][1]
    assert process(changed, *steps, **KEYS).result["facts"]["steps"][1] == facts
    known = train["x"].drop_nulls().cast(pl.Float64)
    spread = facts["columns"]["x"]["std"]
    assert facts["columns"]["x"]["mean"] == pytest.approx(known.mean(), rel=1e-12, abs=spread * 1e-8)
    assert spread == pytest.approx(known.std(ddof=0), rel=1e-8, abs=1e-12)


@QUICK
@given(frame=frames(), shuffle=st.randoms(use_true_random=False))
def test_the_order_in_which_rows_come_changes_nothing(
    process: Any, frame: pl.DataFrame, shuffle: random.Random
) -> None:
    steps = [
        {"fill": {"method": "FILL_METHOD_FORWARD"}},
        {"fill": {"method": "FILL_METHOD_VALUE"}},
        {"split": {"test_fraction": 0.3, "validation_fraction": 0.2, "seed": "1"}},
        {"scale": {"method": "SCALE_METHOD_MIN_MAX"}},
    ]
    order = list(range(frame.height))
    shuffle.shuffle(order)
    first, second = process(frame, *steps, **KEYS), process(frame[order], *steps, **KEYS)
    assert first.result["digest"] == second.result["digest"]


@QUICK
@given(frame=frames(), length=st.integers(1, 4), stride=st.integers(0, 3), horizon=st.integers(0, 2))
def test_no_window_leaves_its_series(process: Any, frame: pl.DataFrame, length: int, stride: int, horizon: int) -> None:
    longest = frame.group_by("s").len()["len"].max()
    assert isinstance(longest, int)
    assume(longest >= length + horizon)
    outcome = process(frame, {"window": {"length": length, "stride": stride, "horizon": horizon}}, **KEYS)
    part, starts = outcome.part(), outcome.windows()
    for start in starts:
        window = part[start : start + length + horizon]
        assert window.height == length + horizon
        assert window["s"].n_unique() == 1
        assert window["t"].to_list() == list(range(window["t"][0], window["t"][0] + window.height))
    each = [max(0, (rows - length - horizon) // (stride or length) + 1) for rows in frame.group_by("s").len()["len"]]
    assert len(starts) == sum(each)


@QUICK
@given(frame=frames(), seed=st.integers(0, 3))
def test_the_parts_are_all_rows_and_no_series_is_in_two(process: Any, frame: pl.DataFrame, seed: int) -> None:
    split = {"split": {"test_fraction": 0.3, "validation_fraction": 0.3, "seed": str(seed)}}
    outcome = process(frame, split, **KEYS)
    parts = [outcome.part(part["name"]) for part in outcome.result["parts"]]
    assert pl.concat(parts).sort("s", "t").equals(frame.sort("s", "t"))
    names = [name for part in parts for name in part["s"].unique().to_list()]
    assert len(names) == len(set(names))
    assert process(frame, split, **KEYS).result["digest"] == outcome.result["digest"]


@MANY
@given(names=st.lists(st.text(max_size=5), unique=True, min_size=1, max_size=50), seed=st.integers())
def test_a_series_is_in_a_part_by_its_name_and_the_seed(names: list[str], seed: int) -> None:
    parts = splits.series_parts(names, 0.3, 0.2, seed)
    assert parts == splits.series_parts(reversed(names), 0.3, 0.2, seed)
    tests = sum(part == 2 for part in parts.values())
    assert tests == max(int(len(names) * 0.3 + 0.5), len(names) > 1)


def test_the_parts_of_known_series_never_change() -> None:
    """Versions that were made before must be made again as they were."""
    names = [f"series-{number}" for number in range(12)]
    parts = splits.series_parts(names, 0.25, 0.25, 42)
    assert "".join(str(parts[name]) for name in names) == PARTS_OF_TWELVE
    assert splits.mixed(np.arange(3), 42).tolist() == MIXED


PARTS_OF_TWELVE = "001120210200"
MIXED = [10109587198136592316, 5975220110235019444, 9862612277524123993]


@MANY
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20), test=st.floats(0, 0.6), rest=st.floats(0, 0.39))
def test_a_split_by_time_keeps_order_in_every_series(lengths: list[int], test: float, rest: float) -> None:
    parts = splits.time_parts(np.array(lengths), test, rest)
    assert len(parts) == sum(lengths)
    for one, length in zip(np.split(parts, np.cumsum(lengths)[:-1]), lengths, strict=True):
        assert sorted(one.tolist()) == one.tolist()
        assert (one == 2).sum() == math.floor(length * test + 0.5)


@MANY
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    window=st.builds(WindowStep, length=st.integers(1, 9), stride=st.integers(0, 9), horizon=st.integers(0, 5)),
)
def test_windows_are_those_of_a_plain_loop(lengths: list[int], window: WindowStep) -> None:
    column = pl.Series([number % 2 for number, length in enumerate(lengths) for _ in range(length)])
    found = window_starts(*run_lengths(column), window).tolist()
    plain, first = [], 0
    for length in lengths:
        last = length - window.length - window.horizon
        plain += [first + start for start in range(0, last + 1, window.apart)]
        first += length
    assert found == plain


@MANY
@example(values=[0.0, 5e-324], wide=True)
@example(values=[-1.7e308, 1.7e308, 0.0], wide=True)
@example(values=[0.0, 1e-45, 1e-40], wide=False)
@example(values=[-3.4e38, 3.4e38], wide=False)
@given(values=st.lists(FLOATS, min_size=1, max_size=300), wide=st.booleans())
def test_statistics_are_those_of_numpy(values: list[float], wide: bool) -> None:
    array = np.array(values, np.float64 if wide else np.float32)
    found = column_statistics(pl.Series("x", array))
    assert (found["min"], found["max"]) == (array.min(), array.max())
    exact = np.quantile(array.astype(np.longdouble), (0.05, 0.25, 0.5, 0.75, 0.95)).astype(float)
    spread = float(array.max()) - float(array.min())
    assert found["quantiles"] == pytest.approx(exact.tolist(), rel=1e-12, abs=min(spread, 1e300) * 1e-12)
    assert math.isfinite(found["std"])
    if math.isfinite(spread * spread * len(values)):
        assert found["std"] == pytest.approx(float(array.astype(np.float64).std()), rel=1e-9, abs=spread * 1e-9)
    assert sum(found["histogram"]["counts"]) == len(values)
    assert len(found["histogram"]["edges"]) == len(found["histogram"]["counts"]) + 1


@MANY
@given(values=st.lists(FLOATS, min_size=1, max_size=200), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_summaries_do_not_depend_on_how_rows_are_cut(values: list[float], cuts: list[int]) -> None:
    column = pl.Series(values, dtype=pl.Float64)
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    cut = merged(moments(column[start:end]) for start, end in itertools.pairwise(edges))
    whole = merged([moments(column)])
    assert cut.count == whole.count
    assert cut.mean == pytest.approx(whole.mean, abs=whole.std * 1e-9)
    assert cut.std == pytest.approx(whole.std, rel=1e-9)


def test_a_digest_knows_values_nulls_and_their_order() -> None:
    digests = [
        column_digest(pl.Series(values, dtype=pl.Float32))
        for values in ([1.0, 2.0], [2.0, 1.0], [1.0, None], [None, 1.0], [1.0, 0.0], [1.0, math.nan])
    ]
    assert len(set(digests)) == len(digests)
    assert column_digest(pl.Series(["ab", "c"])) != column_digest(pl.Series(["a", "bc"]))


def test_a_digest_does_not_know_chunks_or_encodings() -> None:
    values = pl.int_range(0, BLOCK + 7, eager=True).cast(pl.Float32)
    chunked = pl.concat([values[:100], values[100:]], rechunk=False)
    assert chunked.n_chunks() == 2
    assert column_digest(values) == column_digest(chunked)
    negative_nan = pl.Series([-math.nan, 1.0])
    assert column_digest(negative_nan) == column_digest(pl.Series([math.nan, 1.0]))


def test_rows_that_do_not_fit_into_memory_come_out_the_same(process: Any) -> None:
    """The same job with hardly any memory: intermediate rows lie in files."""
    generator = {"samples": 200, "steps": 50, "features": 3}
    steps = [
        {"derive": {"column": "g", "expression": "lag(f0, 2) + f1"}},
        {"fill": {"method": "FILL_METHOD_MEAN"}},
        {"split": {"test_fraction": 0.2, "seed": "4"}},
        {"drop": {"where": "f2 > 2"}},
        {"scale": {"method": "SCALE_METHOD_Z_SCORE"}},
        {"window": {"length": 7}},
    ]
    roomy, tight = process(generator, *steps), process(generator, *steps, limits={"memory": 1})
    assert roomy.result["digest"] == tight.result["digest"]
    assert roomy.windows("test") == tight.windows("test")
    assert roomy.statistics() == tight.statistics()
