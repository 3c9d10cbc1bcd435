"""What stays of a run: parts, windows, statistics, preview, digest, manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from services.data.domain.pipeline.columns import Schema
from services.data.domain.pipeline.steps import WindowStep
from services.data.processor.digest import column_digest, plain, version_digest
from services.data.processor.engine import PARTS, TRAIN, Layout
from services.data.processor.faults import DataEmpty, DataUnsuitable
from services.data.processor.ingest.rows import column_type
from services.data.processor.parts import Part
from services.data.processor.preview import preview
from services.data.processor.statistics import column_statistics
from services.data.processor.windows import runs, window_starts, write_windows

MAX_THREADS = 8
_PREFIX = "COLUMN_TYPE_"


@dataclass(frozen=True, slots=True)
class Finished:
    """A part with all that is known of it."""

    part: Part
    series: int
    windows: int
    windows_path: Path | None
    statistics: Sequence[Mapping[str, Any]]
    digests: Mapping[str, str]

    def json(self) -> dict[str, Any]:
        """How it stands in the manifest."""
        return {
            "name": self.part.name,
            "rows": self.part.rows,
            "windows": self.windows,
            "series": self.series,
            "file": self.part.path.name,
            "windows_file": self.windows_path.name if self.windows_path else "",
        }


def finish(parts: Sequence[Part], layout: Layout, window: WindowStep | None) -> list[Finished]:
    """Cuts windows and computes statistics and digests, column by column, on all cores.

    Raises DataEmpty for a training part without rows, DataUnsuitable for one without a whole window.
    """
    if not parts or not parts[TRAIN].rows:
        raise DataEmpty(f"no rows are left in the part {PARTS[TRAIN]!r}: the steps leave out too much")
    with ThreadPoolExecutor(min(MAX_THREADS, len(os.sched_getaffinity(0)))) as pool:
        done = [list(pool.map(lambda name, part=part: _column(part, name), part.schema)) for part in parts]
    finished = []
    for part, columns in zip(parts, done, strict=True):
        starts, lengths = runs(part, layout.series)
        found = window_starts(starts, lengths, window) if window else np.zeros(0, np.int64)
        if window and not len(found) and part.name == PARTS[TRAIN]:
            _too_short(window, int(lengths.max()))
        path = write_windows(part, found) if window else None
        statistics = [one[0] for one in columns]
        digests = {name: one[1] for name, one in zip(part.schema, columns, strict=True)}
        finished.append(Finished(part, len(starts), len(found), path, statistics, digests))
        part.finish()
    return finished


def _column(part: Part, name: str) -> tuple[dict[str, Any], str]:
    values = part.column(name)
    return column_statistics(values) | {"rows": part.rows}, column_digest(values)


def _too_short(window: WindowStep, longest: int) -> None:
    wanted = window.length + window.horizon
    raise DataUnsuitable(
        f"no series of the training part has {wanted} rows (a window of {window.length} and a horizon of "
        f"{window.horizon}); the longest has {longest}: make the window shorter, or the series longer"
    )


def write_statistics(finished: Sequence[Finished], path: Path) -> None:
    """Per part a list of protojson of ColumnStatistics."""
    hidden = {"rows"}
    told = {
        one.part.name: [{k: v for k, v in column.items() if k not in hidden} for column in one.statistics]
        for one in finished
    }
    path.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")


def write_preview(finished: Sequence[Finished], path: Path) -> None:
    """Per part its first rows."""
    path.write_text(
        json.dumps({one.part.name: preview(one.part) for one in finished}, allow_nan=False), encoding="utf-8"
    )


def manifest(
    finished: Sequence[Finished], layout: Layout, window: WindowStep | None, facts: Mapping[str, Any],
    report: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The manifest of a READY version, but for its files."""
    schema = finished[0].part.schema
    nullable = {column["column"] for one in finished for column in one.statistics if column["nulls"]}
    digest = version_digest([(one.part, dict(one.digests)) for one in finished])
    return {
        "state": "READY",
        "rows": sum(one.part.rows for one in finished),
        "columns": columns(schema, nullable),
        "parts": [one.json() for one in finished],
        "window": {"length": window.length, "stride": window.apart, "horizon": window.horizon} if window else None,
        "series_column": layout.series,
        "time_column": layout.time,
        "digest": digest,
        "facts": dict(facts),
        "report": dict(report),
    }


def columns(schema: pl.Schema, nullable: set[str]) -> list[dict[str, Any]]:
    """protojson of Column."""
    return [
        {"name": name, "type": f"{_PREFIX}{column_type(plain(dtype))}", "nullable": name in nullable}
        for name, dtype in schema.items()
    ]


def columns_of(schema: Schema) -> list[dict[str, Any]]:
    """The same of rows that were not written: any of them may be null."""
    return [{"name": name, "type": f"{_PREFIX}{kind}", "nullable": True} for name, kind in schema.items()]


def file_infos(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of files, hashed side by side."""
    with ThreadPoolExecutor(min(MAX_THREADS, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(lambda name: _info(folder, name), names))


def _info(folder: Path, name: str) -> dict[str, Any]:
    with (folder / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": name, "size": (folder / name).stat().st_size, "sha256": digest}
