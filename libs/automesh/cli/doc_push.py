"""`automesh doc push|import`: a folder, or an archive, becomes documents and attachments of a space."""

from __future__ import annotations

import io
import json
import mimetypes
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_files import ORIGIN, local_files
from automesh.cli.doc_jobs import DONE, EXIT_NOT_DONE, follow_job, show_end
from automesh.cli.doc_places import Branch, Message, Space, space_path
from automesh.cli.doc_pull import record_of
from automesh.cli.doc_spaces import ensure_space
from automesh.cli.errors import CliError
from automesh.cli.output import console, literal

TAR_GZ = "application/gzip"
COMPRESSION = 1
"""Text shrinks to a third at once; more would take longer than sending it."""

Prefix = Annotated[str, typer.Option("--prefix", "-p", help="Below which folder of the space.")]
DeleteMissing = Annotated[
    bool, typer.Option("--delete-missing", help="What is not among the files goes to the trash of the space.")
]
Create = Annotated[bool, typer.Option("--create", help="Make the space unless it is there.")]


PANEL = "In and out"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(push)
    app.command("import", rich_help_panel=PANEL)(import_archive)


def push(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The folder with the files.")],
    space: Space,
    prefix: Prefix = "",
    branch: Branch = "",
    delete_missing: DeleteMissing = False,
    create: Create = False,
    message: Message = "",
    as_json: AsJson = False,
) -> None:
    """Bring a folder into a space: Markdown as documents, everything else as attachments.

    What has changed in the space since the last push of the same file is merged, or told of; nothing is overwritten.
    Exit status 3 when a file was refused; all others are there.

    Example: automesh doc push docs/ --space handbook --prefix product -m "release 2"
    """
    api = api_of(context)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "push.tar.gz"
        count = pack(folder, archive, quiet=as_json)
        if not count:
            raise CliError(f"{folder} has no files to push", next_step="Hidden files, links and node_modules stay here")
        if create:
            ensure_space(api, space)
        begun = send_archive(
            api, archive, space=space, branch=branch, prefix=prefix, message=message, delete_missing=delete_missing,
            content_type=TAR_GZ, quiet=as_json,
        )  # fmt: skip
    _finish(api, begun, space, as_json=as_json)


def import_archive(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A zip, tar, tar.gz or tar.zst, or a git bundle.")
    ],
    space: Space,
    prefix: Prefix = "",
    root: Annotated[str, typer.Option("--root", help="Only what lies below this folder of the archive.")] = "",
    branch: Branch = "",
    delete_missing: DeleteMissing = False,
    create: Create = False,
    message: Message = "",
    as_json: AsJson = False,
) -> None:
    """Bring an archive into a space; a git bundle with all its history.

    Example: git bundle create docs.bundle --all && automesh doc import docs.bundle --space handbook
    """
    api = api_of(context)
    if create:
        ensure_space(api, space)
    begun = send_archive(
        api, file, space=space, branch=branch, prefix=prefix, message=message, delete_missing=delete_missing, root=root,
        content_type=mimetypes.guess_type(file.name)[0] or "application/octet-stream", quiet=as_json,
    )  # fmt: skip
    _finish(api, begun, space, as_json=as_json)


def pack(folder: Path, archive: Path, *, quiet: bool) -> int:
    """Packs the files of a folder; returns how many there are."""
    files = list(local_files(folder))
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with (
        Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress,
        tarfile.open(archive, "w:gz", compresslevel=COMPRESSION) as out,
    ):
        bar = progress.add_task("packing", total=len(files))
        for path, file in files:
            out.add(file, path, recursive=False)
            progress.advance(bar)
        _add_origin(out, folder)
    return len(files)


def _add_origin(out: tarfile.TarFile, folder: Path) -> None:
    """What a pulled folder was made from: with it the service merges what was written there meanwhile."""
    pulled = record_of(folder)
    if pulled:
        content = json.dumps({"documents": pulled}).encode()
        origin = tarfile.TarInfo(ORIGIN)
        origin.size = len(content)
        out.addfile(origin, io.BytesIO(content))


def send_archive(
    api: Api,
    file: Path,
    *,
    space: str,
    content_type: str,
    branch: str = "",
    prefix: str = "",
    root: str = "",
    message: str = "",
    delete_missing: bool = False,
    quiet: bool = False,
) -> Json:
    """Sends it; the answer is the job that brings it in."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("sending", total=file.stat().st_size)
        return api.upload(
            f"{space_path(space)}/docs:import",
            file,
            content_type=content_type,
            told=lambda count: progress.advance(bar, count),
            branch=branch,
            prefix=prefix,
            root=root,
            message=message,
            deleteMissing="true" if delete_missing else "",
        )


def _finish(api: Api, begun: Json, space: str, *, as_json: bool) -> None:
    ended = follow_job(api, begun, quiet=as_json)
    show_end(ended, as_json=as_json)
    if int(ended.get("tally", {}).get("refused", 0)):
        raise typer.Exit(EXIT_NOT_DONE)
    if ended.get("state") == DONE and not as_json:
        console.print(literal(f"Look: automesh doc list {space}   Check: automesh doc lint --space {space}", "dim"))
