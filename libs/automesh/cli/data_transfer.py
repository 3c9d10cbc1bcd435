"""Files on their way to and from the data service, with a bar that shows how far they are."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from automesh.cli.api import Api, Json, Told
from automesh.cli.errors import CliError
from automesh.cli.output import console

FORMATS = ("csv", "jsonl", "parquet", "arrow")
_PREFIX = "FILE_FORMAT_"


def upload_file(api: Api, file: Path, *, name: str = "", file_format: str = "", quiet: bool = False) -> Json:
    """Uploads a file; the answer names the upload."""
    size = file.stat().st_size
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    with _bar(f"uploading {file.name}", size, quiet=quiet) as told:
        return api.upload(
            "/data/uploads",
            file,
            content_type=content_type,
            told=told,
            name=name or file.name,
            format=format_name(file_format) if file_format else "",
        )


def format_name(text: str) -> str:
    """csv -> FILE_FORMAT_CSV."""
    short = text.lower().removeprefix(_PREFIX.lower())
    if short not in FORMATS:
        raise CliError(f"{text!r} is none of {', '.join(FORMATS)}")
    return _PREFIX + short.upper()


@contextmanager
def download_bar(name: str) -> Iterator[Told]:
    """Shows what came; how much is to come nobody knows."""
    with _bar(f"fetching {name}", None) as told:
        yield told


@contextmanager
def _bar(what: str, size: int | None, *, quiet: bool = False) -> Iterator[Told]:
    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(what, total=size)
        yield lambda count: progress.advance(task, count)
