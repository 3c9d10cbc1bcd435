"""`automesh data ...`: upload, process, list, show, versions, preview, stats, lineage, download, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from automesh.cli import data_views as views
from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.data_process import process
from automesh.cli.data_transfer import download_bar, format_name, upload_file
from automesh.cli.output import console, literal, print_json, table

app = typer.Typer(help="Make datasets of files, look into them, and take them home.", no_args_is_help=True)
app.command()(process)

DataId = Annotated[str, typer.Argument(metavar="DATA_ID", help="Which dataset.")]
Version = Annotated[int, typer.Option("--version", "-v", min=0, help="Which version.", show_default="latest READY")]
PartName = Annotated[str, typer.Option("--part", "-p", help="train, validation or test.", show_default="the first")]
ENDINGS = {"PARQUET": "parquet", "CSV": "csv", "JSONL": "jsonl", "ARROW": "arrow"}


@app.command()
def upload(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, JSONL, Parquet or Arrow.")],
    name: Annotated[str, typer.Option("--name", "-n", help="What to call it.", show_default="the file's name")] = "",
    format_: Annotated[
        str, typer.Option("--format", help="csv, jsonl, parquet or arrow.", show_default="guessed")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Upload a file, to be processed later."""
    uploaded = upload_file(api_of(context), file, name=name, file_format=format_, quiet=as_json)
    if as_json:
        print_json(uploaded)
        return
    views.say_upload(uploaded)


@app.command("list")
def list_datasets(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", "-n", help="Only those whose name contains this.")] = "",
    label: Annotated[str, typer.Option("--label", "-l", help="Only those with this label: KEY=VALUE.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List datasets, the latest change first."""
    answer = api_of(context).get("/data", pageSize=limit, nameContains=name, label=label)
    found = answer.get("datasets", [])
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("No datasets. Make one: [bold]automesh data process waves --generator sine --wait[/bold]")
        return
    console.print(table(["DATASET", "NAME", "LATEST", "CHANGED", "LABELS"], map(views.dataset_row, found)))
    if answer.get("nextPageToken"):
        console.print(f"There are more: --limit {min(limit * 5, 1000)}", style="dim")


@app.command()
def show(context: typer.Context, data_id: DataId, version: Version = 0, as_json: AsJson = False) -> None:
    """Show a dataset and one of its versions: columns, parts, report, or why it failed."""
    api = api_of(context)
    dataset = api.get(dataset_path(data_id))
    number = version or int(dataset.get("latestVersion", 0)) or int(dataset.get("lastVersion", 0))
    found = api.get(f"{dataset_path(data_id)}/versions/{number}") if number else {}
    if as_json:
        print_json({"dataset": dataset, "version": found})
        return
    views.show_dataset(dataset)
    if found:
        views.show_version(found)


@app.command()
def versions(
    context: typer.Context,
    data_id: DataId,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the versions of a dataset, the newest first."""
    found = api_of(context).get(f"{dataset_path(data_id)}/versions", pageSize=limit).get("versions", [])
    if as_json:
        print_json(found)
        return
    columns = ["VERSION", "STATE", "ROWS", "SIZE", "DIGEST", "AGE", "MADE OF"]
    console.print(table(columns, map(views.version_row, found)))


@app.command()
def preview(
    context: typer.Context,
    data_id: DataId,
    version: Version = 0,
    part: PartName = "",
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, max=100, help="At most so many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the first rows of a part."""
    found = api_of(context).get(f"{version_path(data_id, version)}/preview", part=part, rows=rows)
    if as_json:
        print_json(found)
        return
    columns = [column["name"] for column in found.get("columns", [])]
    console.print(table(columns, ([views.cell(value) for value in row] for row in found.get("rows", []))))


@app.command()
def stats(
    context: typer.Context, data_id: DataId, version: Version = 0, part: PartName = "", as_json: AsJson = False
) -> None:
    """Show the statistics of a part, with small histograms."""
    found = api_of(context).get(f"{version_path(data_id, version)}/statistics", part=part)
    if as_json:
        print_json(found)
        return
    columns = ["COLUMN", "NULLS", "DISTINCT", "MIN", "MEAN", "MAX", "STD", "VALUES"]
    console.print(table(columns, map(views.statistics_row, found.get("columns", []))))


@app.command()
def lineage(context: typer.Context, data_id: DataId, version: Version = 0, as_json: AsJson = False) -> None:
    """Show what a version was made of, and what was made of it."""
    found = api_of(context).get(f"{version_path(data_id, version)}/lineage")
    if as_json:
        print_json(found)
        return
    up = [views.node_row(node, "-") for node in reversed(found.get("upstream", []))]
    down = [views.node_row(node, "+") for node in found.get("downstream", [])]
    rows = [*up, views.here_row(f"{data_id} {version or 'latest'}"), *down]
    console.print(table(["STEPS", "KIND", "WHAT"], rows))


@app.command()
def download(
    context: typer.Context,
    data_id: DataId,
    version: Version = 0,
    part: Annotated[str, typer.Option("--part", "-p", help="train, validation or test.")] = "train",
    format_: Annotated[str, typer.Option("--format", help="parquet, csv, jsonl or arrow.")] = "parquet",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to.", show_default="DATA_ID-PART.FORMAT")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Save the rows of a part to a file."""
    file_format = format_name(format_)
    file = out or Path(f"{data_id}-{part}.{ENDINGS[file_format.removeprefix('FILE_FORMAT_')]}")
    if file.exists() and not force:
        raise typer.BadParameter(f"{file} is there already: name another with --out, or replace it with --force")
    path = f"{version_path(data_id, version)}/parts/{quote(part, safe='')}"
    with download_bar(file.name) as told:
        api_of(context).download(path, file, told=told, format=file_format)
    console.print(literal(f"saved {file}"), soft_wrap=True)


@app.command()
def delete(
    context: typer.Context,
    data_id: DataId,
    force: Annotated[bool, typer.Option("--force", help="Although models or datasets depend on it.")] = False,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; needed with --force, and audited.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a dataset with all its versions."""
    api = api_of(context)
    if not yes:
        name = api.get(dataset_path(data_id)).get("name", "")
        typer.confirm(f"Delete {name!r} ({data_id}) with all its versions?", abort=True)
    answer: Json = api.delete(dataset_path(data_id), force="true" if force else "", reason=reason)
    if as_json:
        print_json(answer)
    else:
        console.print(literal(f"{data_id} is deleted"))


def dataset_path(data_id: str) -> str:
    """Below /api/v1."""
    return f"/data/{quote(data_id, safe='')}"


def version_path(data_id: str, version: int) -> str:
    """Below /api/v1; 0 is the latest that is READY."""
    return f"{dataset_path(data_id)}/versions/{version}"
