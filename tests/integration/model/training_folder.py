"""Folders for the trainer as an agent lays them out, and the program run in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

LIMIT_S = 240
WINDOW, FEATURES = 12, 3
SPEC: dict[str, Any] = {
    "name": "tested",
    "data": {"data_id": "data_1", "targets": ["y"]},
    "architecture": {"lstm": {"hidden": 8, "layers": 2, "dropout": 0.2}},
    "optimization": {"epochs": 3, "batch_size": 16, "learning_rate": 0.01},
    "seed": 7,
}
TRANSFORMER: dict[str, Any] = {"transformer": {"hidden": 8, "heads": 2, "layers": 1, "dropout": 0.1}}


def merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """`left` with the values of `right`, folder by folder; an architecture is replaced as a whole."""
    result = dict(left)
    for key, value in right.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict) and key != "architecture"
        result[key] = merged(result[key], value) if nested else value
    return result


def rows(series: int, seed: int, *, length: int = WINDOW) -> pl.DataFrame:
    """Series of sines with noise; y is what the last rows say, kind is its sign."""
    chance = np.random.default_rng(seed)
    phase = chance.uniform(0, 6.28, (series, 1, FEATURES))
    time_ = np.arange(length).reshape(1, length, 1)
    values = np.sin(phase + 0.5 * time_) + 0.05 * chance.standard_normal((series, length, FEATURES))
    flat = values.reshape(series * length, FEATURES).astype(np.float32)
    y = flat[:, 0] * 0.5 - flat[:, 1] * 0.3
    columns: dict[str, Any] = {
        "series": np.repeat(np.arange(series), length),
        "step": np.tile(np.arange(length), series),
        **{f"x{number}": flat[:, number] for number in range(FEATURES)},
        "y": y.astype(np.float32),
        "kind": np.where(y > 0.3, "high", np.where(y < -0.3, "low", "mid")),
    }
    return pl.DataFrame(columns)


@dataclass(kw_only=True)
class Folder:
    """A folder of the trainer."""

    path: Path
    parts: dict[str, pl.DataFrame] = field(default_factory=dict)
    window: dict[str, int] | None = field(default_factory=lambda: {"length": WINDOW, "stride": WINDOW, "horizon": 0})
    environment: dict[str, str] = field(default_factory=dict)

    def lay(self, spec: Mapping[str, Any] | None = None, **job: Any) -> Folder:
        """Writes data and job.json."""
        data = self.path / "in" / "data"
        data.mkdir(parents=True, exist_ok=True)
        (self.path / "out").mkdir(exist_ok=True)
        parts = self.parts or {"train": rows(40, 1), "validation": rows(12, 2), "test": rows(12, 3)}
        listed = [self._part(data, name, frame) for name, frame in parts.items()]
        manifest = {
            "state": "READY",
            "parts": listed,
            "window": self.window,
            "series_column": "series",
            "time_column": "step",
            "digest": "d" * 64,
        }
        (data / "manifest.json").write_text(json.dumps(manifest))
        content: dict[str, Any] = {
            "run_id": "run_1",
            "spec": merged(SPEC, spec or {}),
            "data": "data/manifest.json",
            "checkpoint": None,
        }
        content |= {"device": "cpu", "processes": 1, "threads": 1, "digests": {"data": "d" * 64}} | job
        (self.path / "job.json").write_text(json.dumps(content))
        return self

    def _part(self, data: Path, name: str, frame: pl.DataFrame) -> dict[str, Any]:
        frame.write_parquet(data / f"{name}.parquet", compression="zstd")
        part: dict[str, Any] = {"name": name, "rows": frame.height, "series": 1, "file": f"{name}.parquet"}
        if self.window is not None:
            starts = index(frame, self.window)
            pl.DataFrame({"start": starts}).write_parquet(data / f"{name}.windows.parquet")
            part |= {"windows": len(starts), "windows_file": f"{name}.windows.parquet"}
        return part

    def run(self) -> list[dict[str, Any]]:
        """What the program says from its first to its last line. Fails the test when it dies."""
        with self.started() as process:
            out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err[-3000:]
        return [json.loads(line) for line in out.splitlines()]

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """The running program; killed at the end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "services.model.trainer", str(self.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(LIMIT_S)
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()

    def file(self, name: str) -> bytes:
        """A file below out/."""
        return (self.path / "out" / name).read_bytes()


def index(frame: pl.DataFrame, window: Mapping[str, int]) -> NDArray[np.int64]:
    """First rows of the windows, series by series, written another way than the trainer does."""
    starts = []
    for _, group in frame.with_row_index("row").group_by("series", maintain_order=True):
        first, length = int(group["row"][0]), group.height
        last = length - window["length"] - window["horizon"]
        starts += [first + offset for offset in range(0, last + 1, window["stride"])]
    return np.array(starts, dtype=np.int64)


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The lines of one kind."""
    return [line for line in lines if line["kind"] == kind]


def curve(lines: list[dict[str, Any]], name: str) -> list[float]:
    """The values of one metric in order."""
    return [point["value"] for line in of_kind(lines, "points") for point in line["points"] if point["name"] == name]


def wait_for(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first line that is wanted."""
    assert process.stdout is not None
    end = time.monotonic() + LIMIT_S
    for text in process.stdout:
        line: dict[str, Any] = json.loads(text)
        if wanted(line):
            return line
        assert time.monotonic() < end, "it never came"
    raise AssertionError("the program ended before")
