"""op "convert": a Parquet file in another format. In CSV, no cell can pass for a formula."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from services.data.domain.source import FileFormat
from services.data.processor.events import done, progress
from services.data.processor.faults import DataTooLarge
from services.data.processor.ingest.guarded import reading
from services.data.processor.job import ConvertJob
from services.data.processor.writing import file_infos

SUFFIXES = {
    FileFormat.CSV: "csv", FileFormat.JSONL: "jsonl", FileFormat.ARROW: "arrow", FileFormat.PARQUET: "parquet",
}  # fmt: skip
FORMULA = r"^[=+\-@\t\r]"
"""How texts begin that spreadsheets carry out; a ' before them makes them text again, as OWASP advises."""
_MOMENT = "%Y-%m-%dT%H:%M:%S%.fZ"


def convert(job: ConvertJob, folder: Path) -> None:
    """Writes out/part.<suffix> and says so."""
    source = folder / "in" / job.input
    out = folder / "out"
    out.mkdir(exist_ok=True)
    name = f"part.{SUFFIXES[job.format]}"
    progress(0.0, f"writing {name}")
    with reading(source.name):
        lazy = pl.scan_parquet(source, glob=False)
        if (rows := int(lazy.select(pl.len()).collect().item())) > job.limits.max_rows:
            raise DataTooLarge(f"{source.name} has {rows} rows, at most {job.limits.max_rows} are possible")
        _write(lazy, out / name, job.format)
    done({"rows": rows, "files": file_infos(out, [name])})


def _write(lazy: pl.LazyFrame, path: Path, format: FileFormat) -> None:
    match format:
        case FileFormat.CSV:
            _harmless(lazy).sink_csv(path)
        case FileFormat.JSONL:
            _textual_moments(lazy).sink_ndjson(path)
        case FileFormat.ARROW:
            lazy.sink_ipc(path, compression="zstd")
        case FileFormat.PARQUET:
            lazy.sink_parquet(path)


def _harmless(lazy: pl.LazyFrame) -> pl.LazyFrame:
    lazy = _textual_moments(lazy)
    schema = lazy.collect_schema()
    texts = [pl.col(name) for name, dtype in schema.items() if dtype == pl.String]
    safe = [pl.when(text.str.contains(FORMULA)).then(pl.lit("'") + text).otherwise(text).name.keep() for text in texts]
    risky = {name: f"'{name}" for name in schema if name.startswith(("=", "+", "-", "@"))}
    return lazy.with_columns(safe).rename(risky)


def _textual_moments(lazy: pl.LazyFrame) -> pl.LazyFrame:
    moments = [name for name, dtype in lazy.collect_schema().items() if isinstance(dtype, pl.Datetime)]
    return lazy.with_columns(pl.col(moments).dt.to_string(_MOMENT))
