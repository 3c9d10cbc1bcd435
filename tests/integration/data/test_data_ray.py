"""The processor as a program on each engine: on Ray itself, and with so many rows that Daft has mixed them before."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SERIES, LENGTH, WINDOW = 5_000, 1_000, 100
LIMIT_S = 240
STEPS = [
    {"cast": {"types": {"name": "COLUMN_TYPE_INT64"}}},
    {"fill": {"columns": ["f0"], "method": "FILL_METHOD_FORWARD"}},
    {"fill": {"method": "FILL_METHOD_MEAN"}},
    {"derive": {"column": "before", "expression": "lag(place)"}},
    {"split": {"test_fraction": 0.2, "seed": "7"}},
    {"scale": {"method": "SCALE_METHOD_Z_SCORE"}},
]


def rows(series: int, length: int, features: int = 4) -> pl.DataFrame:
    """Series in any order, a hundredth of the values missing; `place` says where a row belongs."""
    random = np.random.default_rng(3)
    place = random.permutation(series * length)
    values = {f"f{number}": random.standard_normal(len(place), dtype=np.float32) for number in range(features)}
    frame = pl.DataFrame({"series": place // length, "step": place % length, "place": place, **values})
    missing = pl.Series(random.random(len(place)) < 0.01)
    frame = frame.with_columns(pl.when(~missing).then(pl.col(name)).alias(name) for name in values)
    return frame.with_columns(name=(pl.col("place") % 7).cast(pl.String))


def made(folder: Path, source: Path, engine: str, steps: Sequence[Any]) -> dict[str, Any]:
    """What the program makes of a file, in a folder of its own."""
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "rows.parquet").hardlink_to(source)
    pipeline = {"steps": steps, "series_column": "series", "time_column": "step"}
    files = {"kind": "files", "files": [{"name": "rows.parquet", "options": {}}]}
    job = {"op": "process", "engine": engine, "pipeline": pipeline, "source": files}
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "services.data.processor", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    said = [json.loads(line) for line in ran.stdout.splitlines()]  # nothing else stands between the lines
    assert said[-1]["kind"] == "done", said[-1]
    result: dict[str, Any] = said[-1]["result"]
    return result


def windows_in_order(folder: Path, part: str) -> int:
    """How many windows there are, all of them rows of one series that follow each other."""
    frame = pl.read_parquet(folder / "out" / f"{part}.parquet", columns=["series", "step", "place", "before"])
    starts = pl.read_parquet(folder / "out" / f"{part}.windows.parquet")["start"].to_numpy()
    each = starts[:, None] + np.arange(WINDOW)
    place = frame["place"].to_numpy()[each]
    assert np.array_equal(place, place[:, :1] + np.arange(WINDOW))
    assert np.array_equal(place // LENGTH, np.repeat(place[:, :1] // LENGTH, WINDOW, axis=1))
    before = frame.select(right=pl.col("before").eq_missing(pl.when(pl.col("step") > 0).then(pl.col("place") - 1)))
    assert before["right"].all()
    return len(starts)


def test_ray_makes_the_same_as_polars(tmp_path: Path) -> None:
    source = tmp_path / "rows.parquet"
    rows(40, 50).write_parquet(source)
    steps = [*STEPS, {"deduplicate": {"columns": ["series", "step"]}}, {"drop": {"where": "f1 > 2.5 or lag(f2) > 2"}}]
    polars, ray = (made(tmp_path / engine, source, engine, steps) for engine in ("polars", "ray"))
    assert ray["digest"] == polars["digest"]
    assert ray["parts"] == polars["parts"]
    assert ray["facts"]["steps"] == polars["facts"]["steps"]
    assert {"daft", "ray"} <= ray["facts"]["versions"].keys()
    statistics = [json.loads((tmp_path / name / "out" / "statistics.json").read_text()) for name in ("polars", "ray")]
    assert statistics[0] == statistics[1]


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "rows.parquet"
    rows(SERIES, LENGTH, features=3).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def digests() -> dict[str, str]:
    """What the engines that had their turn came to."""
    return {}


@pytest.mark.parametrize("engine", ["polars", "daft", "ray"])
def test_five_million_rows_keep_their_order_in_every_window(
    tmp_path: Path, many_rows: Path, digests: dict[str, str], engine: str
) -> None:
    digests[engine] = made(tmp_path / engine, many_rows, engine, [*STEPS, {"window": {"length": WINDOW}}])["digest"]
    assert windows_in_order(tmp_path / engine, "train") == 40_000
    assert windows_in_order(tmp_path / engine, "test") == 10_000
    shutil.rmtree(tmp_path / engine)
    assert len(set(digests.values())) == 1
