"""Runs the processor inside the test: a folder, a job, its events."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from services.data.processor.work import work

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What the program said, and what it left in out/."""

    events: list[Json]
    out: Path

    @property
    def result(self) -> Json:
        """The manifest. Fails the test when the job failed."""
        assert self.events[-1]["kind"] == "done", self.events[-1]
        result: Json = self.events[-1]["result"]
        return result

    @property
    def failure(self) -> tuple[str, str]:
        """Reason and message of a job that failed for good."""
        last = self.events[-1]
        assert last["kind"] == "failed", last
        assert last["retryable"] is False
        return last["reason"], last["message"]

    def part(self, name: str = "train") -> pl.DataFrame:
        return pl.read_parquet(self.out / f"{name}.parquet")

    def windows(self, name: str = "train") -> list[int]:
        return pl.read_parquet(self.out / f"{name}.windows.parquet")["start"].to_list()

    def statistics(self, name: str = "train") -> dict[str, Json]:
        told = json.loads((self.out / "statistics.json").read_text())
        return {column["column"]: column for column in told[name]}

    def json(self, name: str) -> Any:
        return json.loads((self.out / name).read_text())


Rows = pl.DataFrame | bytes | str | Json


class Processor:
    """Runs jobs in folders of their own."""

    def __init__(self, folder: Path, said: Callable[[], str]) -> None:
        self._folder = folder
        self._said = said
        self._number = 0

    def __call__(
        self,
        rows: Rows,
        *steps: Json,
        name: str = "rows.csv",
        options: Json | None = None,
        limits: Json | None = None,
        references: Mapping[str, Json] | None = None,
        engine: str = "polars",
        **pipeline: str,
    ) -> Outcome:
        """A frame becomes a Parquet upload, bytes and text one called `name`, a dict is a generator."""
        folder = self.folder()
        source: Json
        if isinstance(rows, dict):
            source = {"kind": "generator", "generator": rows}
        else:
            name, content = _upload(rows, name)
            (folder / "in" / name).write_bytes(content)
            source = {"kind": "files", "files": [{"name": name, "options": options or {}}]}
        for place, statistics in enumerate((references or {}).values()):
            (folder / "in" / f"{place}.json").write_text(json.dumps(statistics))
        job = {
            "op": "process",
            "engine": engine,
            "pipeline": {"steps": list(steps), **pipeline},
            "source": source,
            "references": {key: f"{place}.json" for place, key in enumerate(references or {})},
            "limits": limits or {},
        }
        return self.run(folder, job)

    def folder(self) -> Path:
        self._number += 1
        folder = self._folder / str(self._number)
        (folder / "in").mkdir(parents=True)
        return folder

    def run(self, folder: Path, job: Json) -> Outcome:
        (folder / "job.json").write_text(json.dumps(job))
        self._said()
        work(folder)
        return Outcome([json.loads(line) for line in self._said().splitlines()], folder / "out")


def _upload(rows: pl.DataFrame | bytes | str | Json, name: str) -> tuple[str, bytes]:
    if isinstance(rows, pl.DataFrame):
        buffer = io.BytesIO()
        rows.write_parquet(buffer)
        return "rows.parquet", buffer.getvalue()
    assert isinstance(rows, (bytes, str))
    return name, rows.encode() if isinstance(rows, str) else rows


@pytest.fixture
def process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Processor:
    return Processor(tmp_path, lambda: capsys.readouterr().out)
