"""`automesh doc pull|export`: a space becomes files of this machine, or a git repository with all its history."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from automesh.cli.api import Api
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_copy import Copy, Source, digest, inside, write
from automesh.cli.doc_jobs import DONE, follow_job, job_path, show_end
from automesh.cli.doc_places import Branch, Space, space_path
from automesh.cli.errors import CliError
from automesh.cli.output import console, literal, print_json, table

ORIGIN = ".automesh-export.json"
"""In an archive: the hashes of what its files were made from. No file of its own."""
FORMATS = {".zip": "ARCHIVE_FORMAT_ZIP", ".gz": "ARCHIVE_FORMAT_TAR_GZ", ".tgz": "ARCHIVE_FORMAT_TAR_GZ",
           ".bundle": "ARCHIVE_FORMAT_GIT_BUNDLE"}  # fmt: skip
EXIT_KEPT = 3

Prefix = Annotated[str, typer.Option("--prefix", "-p", help="Only below this folder.")]


PANEL = "In and out"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(pull)
    app.command(rich_help_panel=PANEL)(export)


@dataclass
class Pulled:
    """What became of the files of a pull."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Changed here since the last pull, and so left alone."""


def pull(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Where to.")],
    space: Space,
    prefix: Prefix = "",
    branch: Branch = "",
    git: Annotated[bool, typer.Option("--git", help="As a git repository with all the history.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that were changed here, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a space here, to be worked on and pushed back. Files that you have changed stay as they are.

    Examples: automesh doc pull handbook/ --space handbook, automesh doc pull repo/ --space handbook --git
    """
    api = api_of(context)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / ("pull.bundle" if git else "pull.tar.gz")
        kind = FORMATS[".bundle" if git else ".gz"]
        fetch_archive(api, archive, space=space, branch=branch, prefix=prefix, kind=kind, quiet=as_json)
        if git:
            _clone(archive, folder)
            return
        pulled = unpack(archive, folder, Source.named(space, branch, prefix), force=force)
    if as_json:
        print_json(vars(pulled))
    else:
        _say(pulled, folder)
    if pulled.kept:
        raise typer.Exit(EXIT_KEPT)


def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="FILE.zip, FILE.tar.gz, or FILE.bundle for git.")],
    space: Space,
    prefix: Prefix = "",
    branch: Branch = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Save a space as one file. A bundle is cloned with: git clone FILE.bundle."""
    kind = FORMATS.get(file.suffix)
    if kind is None:
        raise CliError(f"what {file.name} is to be is not clear", next_step=f"Let it end in {', '.join(FORMATS)}")
    if file.exists() and not force:
        raise CliError(f"{file} is there already", next_step="Name another, or replace it with --force")
    fetch_archive(api_of(context), file, space=space, branch=branch, prefix=prefix, kind=kind)
    console.print(literal(f"saved {file}"), soft_wrap=True)


def fetch_archive(
    api: Api, file: Path, *, space: str, kind: str, branch: str = "", prefix: str = "", quiet: bool = False
) -> None:
    """Has the archive made, and saves it."""
    begun = api.post(f"{space_path(space)}/docs:export", {"branch": branch, "prefix": prefix, "format": kind})
    ended = follow_job(api, begun, quiet=quiet)
    if ended.get("state") != DONE:
        show_end(ended)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("fetching", total=None)
        api.download(f"{job_path(ended['jobId'])}/file", file, told=lambda count: progress.advance(bar, count))


def unpack(archive: Path, folder: Path, source: Source, *, force: bool) -> Pulled:
    """Writes what is new; removes what is gone and was not changed here; leaves what was changed here."""
    folder.mkdir(parents=True, exist_ok=True)
    before, pulled = Copy.of(folder) or Copy(source), Pulled()
    followed = before.source.space == source.space and before.source.prefix == source.prefix
    met = dict(before.files) if followed else {}
    try:
        there = set(_unpacked(archive, folder, before.files, met, pulled, force=force))
        for path in sorted(before.files.keys() - there) if followed else ():
            _remove(inside(folder, path), path, met, pulled)
    finally:
        Copy(source, met).save(folder)  # of what was done until here
    return pulled


def _unpacked(
    archive: Path, folder: Path, before: Mapping[str, str], met: dict[str, str], pulled: Pulled, *, force: bool
) -> Iterator[str]:
    """The paths that the archive has; each is written unless it was changed here."""
    with tarfile.open(archive, "r:gz") as files:
        for member in files:
            if not member.isfile() or member.name == ORIGIN:
                continue
            source = files.extractfile(member)
            content = source.read() if source else b""
            target, theirs = inside(folder, member.name), hashlib.sha256(content).hexdigest()
            here = digest(target)
            if here and here not in (theirs, before.get(member.name)) and not force:
                pulled.kept.append(member.name)
            else:
                _write(target, member.name, content if here != theirs else None, pulled)
                met[member.name] = theirs
            yield member.name


def _write(target: Path, path: str, content: bytes | None, pulled: Pulled) -> None:
    if content is None:
        pulled.unchanged.append(path)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, content)
    pulled.written.append(path)


def _remove(target: Path, path: str, met: dict[str, str], pulled: Pulled) -> None:
    here = digest(target)
    if here and here != met[path]:
        pulled.kept.append(path)
        return
    del met[path]
    if here:
        target.unlink()
        with suppress(OSError):
            target.parent.rmdir()  # only when nothing is left in it
        pulled.removed.append(path)


def _clone(bundle: Path, folder: Path) -> None:
    git = shutil.which("git")
    if git is None:
        raise CliError("git is not installed", next_step="Save the bundle: automesh doc export FILE.bundle --space S")
    if (folder / ".git").exists():
        words = [git, "-C", str(folder), "fetch", str(bundle), "+refs/heads/*:refs/remotes/automesh/*"]
        said = f"fetched to automesh/*; bring it in: git -C {folder} merge automesh/main"
    else:
        words, said = [git, "clone", "--quiet", str(bundle), str(folder)], f"cloned to {folder}"
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CliError(f"git could not take it: {done.stderr.strip()[-500:]}")
    if "clone" in words:  # the bundle is gone in a moment
        subprocess.run([git, "-C", str(folder), "remote", "remove", "origin"], check=False, capture_output=True)
    console.print(literal(said), soft_wrap=True)


def _say(pulled: Pulled, folder: Path) -> None:
    counts = {"written": pulled.written, "unchanged": pulled.unchanged, "removed": pulled.removed}
    said = ", ".join(f"{len(paths)} {name}" for name, paths in counts.items() if paths)
    console.print(literal(f"{folder}: {said or 'nothing to do'}"))
    if pulled.kept:
        console.print(table(["CHANGED HERE, SO LEFT ALONE"], [[path] for path in pulled.kept]))
        console.print("Push them. One that is refused: pull a second copy, bring both together there, push that.")
        console.print("Or replace yours: --force", style="dim")
