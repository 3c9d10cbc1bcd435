"""What the program is told: job.json, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automesh.core.errors import ValidationError
from services.data.convert.pipeline import pipeline_of_json
from services.data.convert.reading import generator_of_json, read_options_of_json
from services.data.domain.pipeline.pipeline import Pipeline
from services.data.domain.source import FileFormat, Generator, ReadOptions

MAX_COLUMNS = 4096
"""However many a job allows: statistics and manifests grow with them."""
GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one job. `max_bytes` counts what files expand to; `memory` 0 means what the machine has free."""

    max_rows: int = 1_000_000_000
    max_columns: int = MAX_COLUMNS
    max_bytes: int = 64 * GIB
    max_cell: int = 1024 * 1024
    memory: int = 0


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file below in/ and how it is read."""

    name: str
    options: ReadOptions


@dataclass(frozen=True, slots=True)
class Files:
    """Uploaded files, read one after the other."""

    files: Sequence[InputFile]


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """Another version: `manifest` is a path below in/, its part files lie beside it."""

    manifest: str


Source = Files | Generator | EarlierVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessJob:
    """Makes a version. `references` are paths of statistics below in/, by "data_id/version"."""

    pipeline: Pipeline
    source: Source
    engine: str = "polars"
    ray_address: str = ""
    references: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertJob:
    """Writes a Parquet file of in/ in another format."""

    input: str
    format: FileFormat
    limits: Limits = field(default_factory=Limits)


Job = ProcessJob | ConvertJob


def read_job(folder: Path) -> Job:
    """The job in a folder. Raises ValidationError for one that nobody could do."""
    try:
        told = json.loads((folder / "job.json").read_bytes())
        match told["op"]:
            case "process":
                return _process(told)
            case "convert":
                return _convert(told)
            case op:
                raise ValidationError(f"job.json: op {op!r} is neither process nor convert", field="op")
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValidationError(f"job.json cannot be understood: {type(error).__name__}: {error}") from error


def _process(told: Mapping[str, Any]) -> ProcessJob:
    return ProcessJob(
        pipeline=pipeline_of_json(told.get("pipeline") or {}),
        source=_source(told["source"]),
        engine=told.get("engine") or "polars",
        ray_address=told.get("ray_address") or "",
        references={key: plain_path(path) for key, path in (told.get("references") or {}).items()},
        limits=_limits(told.get("limits") or {}),
    )


def _convert(told: Mapping[str, Any]) -> ConvertJob:
    return ConvertJob(
        input=plain_path(told["input"]),
        format=FileFormat(told["format"]),
        limits=_limits(told.get("limits") or {}),
    )


def _source(told: Mapping[str, Any]) -> Source:
    match told["kind"]:
        case "files":
            files = [_file(number, one) for number, one in enumerate(told["files"])]
            if not files:
                raise ValidationError("job.json: source names no files", field="source.files")
            return Files(files)
        case "generator":
            return generator_of_json(told.get("generator") or {}, "source.generator")
        case "version":
            return EarlierVersion(plain_path(told["manifest"]))
        case kind:
            raise ValidationError(
                f"job.json: source kind {kind!r} is none of files, generator, version", field="source"
            )


def _file(number: int, told: Mapping[str, Any]) -> InputFile:
    options = read_options_of_json(told.get("options") or {}, f"source.files[{number}].options")
    return InputFile(plain_path(told["name"]), options)


def _limits(told: Mapping[str, Any]) -> Limits:
    given = {name: int(told[name]) for name in Limits.__dataclass_fields__ if told.get(name)}
    if given.get("max_columns", 0) > MAX_COLUMNS:
        given["max_columns"] = MAX_COLUMNS
    return Limits(**given)


def plain_path(name: str) -> str:
    """A relative path that stays where it is. Raises ValidationError for any other."""
    path = Path(name)
    if not name or path.is_absolute() or ".." in path.parts or "\x00" in name:
        raise ValidationError(f"job.json: {name!r} is no path inside the folder")
    return name
