"""`automesh doc push|import`: a folder, or an archive, becomes documents and attachments of a space."""

from __future__ import annotations

import hashlib
import io
import json
import mimetypes
import os
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_copy import Copy, Source
from automesh.cli.doc_files import LocalFiles
from automesh.cli.doc_jobs import DONE, EXIT_NOT_DONE, all_told, follow_job, show_end
from automesh.cli.doc_places import Branch, Message, Space, space_path
from automesh.cli.doc_pull import ORIGIN
from automesh.cli.doc_spaces import ensure_space
from automesh.cli.errors import CliError
from automesh.cli.output import console, literal

TAR_GZ = "application/gzip"
COMPRESSION = 1
"""Text shrinks to a third at once; more would take longer than sending it."""
SHOWN_LINKS = 5

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
    local, copy = LocalFiles.of(folder), Copy.of(folder)
    if copy is not None and copy.source != Source.named(space, branch, prefix):
        copy = None  # of something else, which says nothing of what is there
    if not local.files:
        raise CliError(f"{folder} has no files to push", next_step="Hidden files, links and node_modules stay here")
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "push.tar.gz"
        sent = pack(local.files, archive, copy, quiet=as_json)
        if create:
            ensure_space(api, space)
        begun = send_archive(
            api, archive, space=space, branch=branch, prefix=prefix, message=message, delete_missing=delete_missing,
            content_type=TAR_GZ, quiet=as_json,
        )  # fmt: skip
    ended = follow_job(api, begun, quiet=as_json)
    if copy is not None and all_told(ended):
        copy.met(sent, but=_in_trouble(ended, prefix)).save(folder)
    if local.links and not as_json:
        console.print(literal(f"Left here, as links: {_some(local.links)}", "yellow"), soft_wrap=True)
    _show(ended, space, as_json=as_json)


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
    _show(follow_job(api, begun, quiet=as_json), space, as_json=as_json)


def pack(files: Mapping[str, Path], archive: Path, copy: Copy | None = None, *, quiet: bool) -> dict[str, str]:
    """Packs files by their paths; returns the SHA-256 of what was packed. `copy` says what they were made from."""
    packed: dict[str, str] = {}
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with (
        Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress,
        tarfile.open(archive, "w:gz", compresslevel=COMPRESSION) as out,
    ):
        bar = progress.add_task("packing", total=len(files))
        for path, file in files.items():
            packed[path] = _add(out, path, file)
            progress.advance(bar)
        if copy is not None:
            _add_origin(out, copy)
    return packed


def _add(out: tarfile.TarFile, path: str, file: Path) -> str:
    """Its bytes and nothing else of it: neither owner nor mode, nor that two names are one file."""
    entry = tarfile.TarInfo(path)
    with file.open("rb") as opened:
        entry.size = os.fstat(opened.fileno()).st_size
        hashed = _Hashed(opened)
        out.addfile(entry, hashed)
    return hashed.digest.hexdigest()


class _Hashed:
    """A file that is read once, and hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        return piece


def _add_origin(out: tarfile.TarFile, copy: Copy) -> None:
    """With it the service merges what was written there meanwhile."""
    content = json.dumps({"documents": dict(copy.files)}).encode()
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


def _in_trouble(ended: Json, prefix: str) -> list[str]:
    """Files that a job tells of, as they are called here."""
    told = [str(each.get("path", "")) for each in ended.get("problems", [])]
    return [*told, *(path.removeprefix(f"{prefix.strip('/')}/") for path in told)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_LINKS} more" if len(names) > SHOWN_LINKS else ""
    return ", ".join(names[:SHOWN_LINKS]) + more


def _show(ended: Json, space: str, *, as_json: bool) -> None:
    show_end(ended, as_json=as_json)
    if int(ended.get("tally", {}).get("refused", 0)):
        raise typer.Exit(EXIT_NOT_DONE)
    if ended.get("state") == DONE and not as_json:
        console.print(literal(f"Look: automesh doc list {space}   Check: automesh doc lint --space {space}", "dim"))
