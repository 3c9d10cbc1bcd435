"""What a job begins with: rows, and the columns that say which belong together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from services.data.domain.pipeline.pipeline import Pipeline
from services.data.domain.pipeline.steps import SelectStep
from services.data.domain.source import Generator
from services.data.processor.engine import PART, PARTS, Layout
from services.data.processor.faults import DataTooLarge, DataUnreadable
from services.data.processor.generators import generated, row_bytes
from services.data.processor.ingest.columnar import read_parquet
from services.data.processor.ingest.files import read_files
from services.data.processor.ingest.guarded import reading
from services.data.processor.ingest.rows import Rows
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.job import EarlierVersion, Files, Limits, ProcessJob, plain_path


def read_source(job: ProcessJob, folder: Path, scratch: Scratch) -> tuple[Rows, Layout]:
    """The rows of a job's source, below in/.

    Where the pipeline names no series and no time column, generators and earlier versions do.
    """
    layout = Layout(job.pipeline.series_column, job.pipeline.time_column)
    if isinstance(job.source, Generator):
        return _made_up(job.source, job.limits), layout if layout.keys else Layout("series", "step")
    if isinstance(job.source, EarlierVersion):
        manifest = _manifest(folder / job.source.manifest)
        told = Layout(manifest.get("series_column") or "", manifest.get("time_column") or "")
        rows = _version(manifest, (folder / job.source.manifest).parent, job.limits, scratch)
        return rows, layout if layout.keys else told
    assert isinstance(job.source, Files)  # noqa: S101  # the third of three
    return read_files(job.source.files, folder, wanted(job.pipeline), job.limits, scratch), layout


def wanted(pipeline: Pipeline) -> Sequence[str] | None:
    """The columns that are needed when the pipeline begins with a choice; None means all."""
    if not pipeline.steps or not isinstance(pipeline.steps[0], SelectStep):
        return None
    return [*pipeline.steps[0].columns, pipeline.series_column, pipeline.time_column]


def _made_up(generator: Generator, limits: Limits) -> Rows:
    rows = generator.samples * generator.steps
    size = rows * row_bytes(generator)
    if rows > limits.max_rows or size > limits.max_bytes:
        raise DataTooLarge(
            f"{rows} rows with {generator.features} features are more than the limits "
            f"({limits.max_rows} rows, {limits.max_bytes} bytes): ask for fewer"
        )
    return Rows(generated(generator).lazy(), size, settled=True)


def _manifest(path: Path) -> dict[str, Any]:
    with reading(path.name):
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest, dict) or not manifest.get("parts"):
            raise DataUnreadable(f"{path.name} is no manifest of a version: it names no parts")
        return manifest


def _version(manifest: dict[str, Any], folder: Path, limits: Limits, scratch: Scratch) -> Rows:
    """All parts one after the other, with PART where there are several."""
    parts = manifest["parts"]
    read = []
    for part in parts:
        path = folder / plain_path(part.get("file") or f"{part['name']}.parquet")
        with reading(path.name):
            rows = read_parquet(path, None, limits, scratch)
            code = PARTS.index(part["name"])
            read.append(Rows(rows.lazy.with_columns(pl.lit(code, pl.UInt8).alias(PART)), rows.size))
    if len(read) == 1:
        return Rows(read[0].lazy.drop(PART), read[0].size)
    return Rows(pl.concat([rows.lazy for rows in read]), sum(rows.size for rows in read), divided=True)
