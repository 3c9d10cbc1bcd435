"""op "process": source and pipeline become a version, or a report of what is wrong with the rows."""

from __future__ import annotations

import importlib
import json
import platform
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from automesh.core.errors import ValidationError
from services.data.processor import writing
from services.data.processor.engine import Engine, Layout
from services.data.processor.events import done, progress
from services.data.processor.faults import DataTooLarge, DataUnreadable
from services.data.processor.ingest.guarded import computing
from services.data.processor.ingest.scratch import Scratch
from services.data.processor.job import ProcessJob
from services.data.processor.plan import Plan, Rejected
from services.data.processor.sources import read_source
from services.data.processor.validation import MAX_REJECTED, References

READ, STEPS, WROTE = 0.2, 0.6, 0.95
"""How far the work is once rows are read, steps carried out, files written."""
MAX_MANIFEST = 1_000_000
"""It is said in one line."""
_DAFT = "services.data.processor.daft_engine.engine"
_ENGINES = {"ray": _DAFT, "daft": _DAFT}
"""Modules with `engine(job, scratch)`: Daft on Ray, and Daft alone."""
_LIBRARIES = {"ray": ("daft", "ray"), "daft": ("daft",)}


def process(job: ProcessJob, folder: Path, scratch: Scratch) -> None:
    """Does the job and says what came of it."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    progress(0.0, "reading")
    rows, layout = read_source(job, folder / "in", scratch)
    references = read_references(job.references, folder / "in")
    with closing(engine_of(job, scratch)) as engine:
        plan = Plan(engine, layout, job.pipeline, references, job.limits.max_columns, frame=engine.open(rows, layout))
        del rows  # the engine has them
        done(_carried_out(plan, out))


def _carried_out(plan: Plan[Any], out: Path) -> dict[str, Any]:
    """The manifest; its files are written."""

    def tell(number: int, what: str) -> None:
        progress(READ + (STEPS - READ) * number / max(1, len(plan.pipeline.steps)), what)

    try:
        frame = plan.run(plan.frame, tell)
    except Rejected:
        return _rejected(plan, out)
    progress(STEPS, "writing")
    with computing("after all steps"):
        finished = writing.finish(plan.engine.parts(frame, out), plan.layout, plan.pipeline.window)
    progress(WROTE, "describing")
    return _ready(plan, finished, plan.layout, out)


def engine_of(job: ProcessJob, scratch: Scratch) -> Engine[Any]:
    """The engine that the job asks for. Raises ValidationError for one that is not installed."""
    if job.engine == "polars":
        from services.data.processor.polars_engine.engine import PolarsEngine  # noqa: PLC0415  # only where it is used

        return PolarsEngine(scratch)
    if job.engine not in _ENGINES:
        raise ValidationError(
            f"job.json: engine {job.engine!r} is none of polars, {', '.join(_ENGINES)}", field="engine"
        )
    try:
        module = importlib.import_module(_ENGINES[job.engine])
    except ImportError as error:
        raise ValidationError(
            f"engine {job.engine!r} is not installed here ({error}): install automesh[ray]", field="engine"
        ) from error
    made: Engine[Any] = module.engine(job, scratch)
    return made


def read_references(references: Mapping[str, str], folder: Path) -> References:
    """Statistics of the training part of earlier versions, by "data_id/version" and column."""
    found = {}
    for key, name in references.items():
        try:
            parts = json.loads((folder / name).read_bytes())
            columns = parts.get("train") or next(iter(parts.values()))
            found[key] = {column["column"]: column for column in columns}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            raise DataUnreadable(f"the statistics of {key} cannot be read: {type(error).__name__}: {error}") from error
    return found


def _ready(plan: Plan[Any], finished: list[writing.Finished], layout: Layout, out: Path) -> dict[str, Any]:
    writing.write_statistics(finished, out / "statistics.json")
    writing.write_preview(finished, out / "preview.json")
    facts = {"engine": plan.engine.name, "versions": _versions(plan.engine.name), "steps": plan.facts}
    manifest = writing.manifest(finished, layout, plan.pipeline.window, facts, plan.report.json())
    names = [name for one in finished for name in (one.part.path.name, one.json()["windows_file"]) if name]
    return _with_files(manifest, out, [*names, "statistics.json", "preview.json"])


def _rejected(plan: Plan[Any], out: Path) -> dict[str, Any]:
    """The report, and the rows that failed in the state in which they were checked."""
    positions = sorted(set(plan.report.rejected))[:MAX_REJECTED]
    rows = plan.engine.rows_at(plan.frame, positions)
    rows.write_parquet(out / "rejected.parquet", compression="zstd")
    (out / "report.json").write_text(json.dumps(plan.report.json(), allow_nan=False), encoding="utf-8")
    manifest: dict[str, Any] = {
        "state": "REJECTED",
        "rows": plan.engine.count(plan.frame),
        "columns": writing.columns_of(plan.engine.schema(plan.frame)),
        "parts": [],
        "window": None,
        "series_column": plan.layout.series,
        "time_column": plan.layout.time,
        "digest": "",
        "facts": {"engine": plan.engine.name, "versions": _versions(plan.engine.name), "steps": plan.facts},
        "report": plan.report.json(),
    }
    return _with_files(manifest, out, ["report.json", "rejected.parquet"])


def _with_files(manifest: dict[str, Any], out: Path, names: list[str]) -> dict[str, Any]:
    """The manifest with the files beside it, and written itself."""
    files = writing.file_infos(out, names)
    manifest |= {"size": sum(file["size"] for file in files), "files": files}
    if len(json.dumps(manifest)) > MAX_MANIFEST:
        manifest["facts"] |= {"steps": [], "left_out": "what steps took from the training part: too many columns"}
    if (length := len(json.dumps(manifest))) > MAX_MANIFEST:
        raise DataTooLarge(
            f"the manifest would have {length} bytes, at most {MAX_MANIFEST} are possible: "
            "use fewer columns, or shorter names"
        )
    (out / "manifest.json").write_text(json.dumps(manifest, allow_nan=False), encoding="utf-8")
    return manifest


def _versions(engine: str) -> dict[str, str]:
    libraries = ["polars", "numpy", *_LIBRARIES.get(engine, ())]
    return {"python": platform.python_version(), **{name: installed(name) for name in libraries}}
