"""`automesh doc backup ...`: spaces of one moment, encrypted; verified, and brought back whole or in part."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.data_views import size_text
from automesh.cli.doc_jobs import follow_job, show_end
from automesh.cli.doc_places import Limit
from automesh.cli.output import age, console, literal, print_json, table

app = typer.Typer(help="Backups of spaces: made, verified, brought back.", no_args_is_help=True)
BackupId = Annotated[str, typer.Argument(metavar="BACKUP", help="Which backup.")]


@app.command()
def create(
    context: typer.Context,
    space: Annotated[list[str] | None, typer.Option("--space", "-s", help="Only this space. Repeat it.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Everything, not only what the last one lacks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a backup.

    Example: automesh doc backup create --space handbook
    """
    api = api_of(context)
    ended = follow_job(api, api.post("/doc/backups", {"spaces": space or [], "full": full}), quiet=as_json)
    if not as_json and ended.get("backupId"):
        console.print(literal(f"{ended['backupId']}   Verify it: automesh doc backup verify {ended['backupId']}"))
    show_end(ended, as_json=as_json)


@app.command("list")
def list_backups(context: typer.Context, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List backups, the newest first."""
    found = api_of(context).get("/doc/backups", pageSize=limit).get("backups", [])
    if as_json:
        print_json(found)
        return
    rows = [
        [each["backupId"], age(each.get("createTime", "")), size_text(each.get("size", 0)),
         each.get("base", "") or "whole", ", ".join(space["space"] for space in each.get("spaces", []))]
        for each in found
    ]  # fmt: skip
    console.print(table(["BACKUP", "AGE", "SIZE", "BUILDS ON", "SPACES"], rows))


@app.command()
def show(context: typer.Context, backup: BackupId, as_json: AsJson = False) -> None:
    """Show what is in a backup."""
    found = api_of(context).get(backup_path(backup))
    if as_json:
        print_json(found)
        return
    base = f", builds on {found['base']}" if found.get("base") else ""
    facts = f"{found['backupId']} of {found.get('createTime', '')}, {size_text(found.get('size', 0))}{base}"
    console.print(literal(facts, "bold"))
    counted = ("documents", "revisions", "attachments")
    rows = [
        [each["space"], *(str(each.get(key, 0)) for key in counted), each.get("digest", "")]
        for each in found.get("spaces", [])
    ]  # fmt: skip
    console.print(table(["SPACE", "DOCUMENTS", "REVISIONS", "ATTACHMENTS", "DIGEST"], rows))


@app.command()
def verify(context: typer.Context, backup: BackupId, as_json: AsJson = False) -> None:
    """Read a backup from end to end, and hold it against its hashes. Exit status 3 unless it holds."""
    api = api_of(context)
    show_end(follow_job(api, api.post(f"{backup_path(backup)}:verify"), quiet=as_json), as_json=as_json)


@app.command()
def restore(
    context: typer.Context,
    backup: BackupId,
    space: Annotated[str, typer.Option("--space", "-s", help="Only this space.")] = "",
    document: Annotated[str, typer.Option("--document", "-d", help="Only this document of it, by its id.")] = "",
    as_space: Annotated[str, typer.Option("--as", help="The space gets this name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Bring back everything, one space, or one document, with its history. What is there already stays as it is.

    Example: automesh doc backup restore backup_01j... --space handbook --as handbook-of-june
    """
    api = api_of(context)
    body: Json = {"space": space, "documentId": document, "asSpace": as_space}
    show_end(follow_job(api, api.post(f"{backup_path(backup)}:restore", body), quiet=as_json), as_json=as_json)


@app.command()
def delete(
    context: typer.Context,
    backup: BackupId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a backup."""
    if not yes:
        typer.confirm(f"Delete the backup {backup} for good?", abort=True)
    api_of(context).delete(backup_path(backup))
    console.print(literal(f"{backup} is gone"))


def backup_path(backup_id: str) -> str:
    """Where a backup is."""
    return f"/doc/backups/{quote(backup_id, safe='')}"
