"""`automesh data process`: a new dataset, or another version of one, from flags or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from automesh.cli import data_views as views
from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.data_request import Steps, labels_of, pairs, pipeline_of, request_of, source_dataset
from automesh.cli.data_transfer import upload_file
from automesh.cli.errors import CliError
from automesh.cli.messages import read_object
from automesh.cli.output import console, literal, print_json, short

EXIT_NOT_READY = 3
READY = "VERSION_STATE_READY"


def process(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of a new dataset.")] = "",
    data_id: Annotated[str, typer.Option("--data-id", "-d", help="Another version of this dataset instead.")] = "",
    request: Annotated[
        Path | None, typer.Option("--request", "-r", exists=True, help="The whole request as YAML or JSON.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", exists=True, dir_okay=False, help="Upload this and take its rows.")
    ] = None,
    upload: Annotated[str, typer.Option("--upload", help="Take the rows of this upload.")] = "",
    dataset: Annotated[str, typer.Option("--dataset", help="Take the rows of DATA_ID, or DATA_ID:VERSION.")] = "",
    url: Annotated[str, typer.Option("--url", help="Take the rows of the file there.")] = "",
    generator: Annotated[
        str, typer.Option("--generator", help="Make rows up: sine, random_walk, classes or anomalies.")
    ] = "",
    generate: Annotated[
        list[str] | None, typer.Option("-g", help="KEY=VALUE for the generator: samples, steps, features, seed.")
    ] = None,
    pipeline: Annotated[
        Path | None, typer.Option("--pipeline", "-p", exists=True, help="What is done to them, as YAML or JSON.")
    ] = None,
    series: Annotated[str, typer.Option(help="The column that tells series apart.")] = "",
    time: Annotated[str, typer.Option(help="The column that orders the rows.")] = "",
    fill: Annotated[str, typer.Option(help="Fill nulls: forward, backward, mean, linear or a number.")] = "",
    split: Annotated[str, typer.Option(help="Divide by series, time or random.")] = "",
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Share for testing.")] = 0.0,
    validation: Annotated[float, typer.Option(min=0, max=0.9, help="Share for validation.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    scale: Annotated[str, typer.Option(help="Scale by the training part: z_score or min_max.")] = "",
    window: Annotated[str, typer.Option(help="Cut windows: LENGTH[:STRIDE[:HORIZON]].")] = "",
    description: Annotated[str, typer.Option("--description", help="For people.")] = "",
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="KEY=VALUE. Repeat it.")] = None,
    request_id: Annotated[str, typer.Option(help="Makes it safe to run this command twice.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Stay until it is made. Exit status 3 unless READY.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of a file, another dataset, a URL or made-up rows.

    Example: automesh data process houses --file houses.csv --fill mean --test 0.2 --scale z_score --wait
    """
    api = api_of(context)
    steps = Steps(fill=fill, split=split, test=test, validation=validation, seed=seed, scale=scale, window=window)
    asked = request_of(
        read_object(request, "a request, with keys such as name, source and pipeline") if request else {},
        name=name,
        dataId=data_id,
        description=description,
        labels=labels_of(label or []),
        requestId=request_id,
        source=_source(
            api, file, upload=upload, dataset=dataset, url=url, generator=generator, given=generate, quiet=as_json
        ),
        pipeline=pipeline_of(
            read_object(pipeline, "a pipeline, with the key steps") if pipeline else {},
            series=series,
            time=time,
            steps=steps,
        ),
    )
    made = api.post("/data/process", asked)
    if wait:
        _show_the_end(api, made, as_json=as_json)
    elif as_json:
        print_json(made)
    else:
        _say(made)


def _source(
    api: Api,
    file: Path | None,
    *,
    upload: str,
    dataset: str,
    url: str,
    generator: str,
    given: list[str] | None,
    quiet: bool,
) -> Json:
    if sum(map(bool, (file, upload, dataset, url, generator or given))) > 1:
        raise CliError("give one of --file, --upload, --dataset, --url and --generator")
    if file:
        upload = str(upload_file(api, file, quiet=quiet)["uploadId"])
    if upload:
        return {"upload": {"uploadId": upload}}
    if dataset:
        return {"dataset": source_dataset(dataset)}
    if url:
        return {"url": {"url": url}}
    if generator or given:
        return {"generator": {"kind": generator, **pairs(given or [], "-g")}}
    return {}


def _say(made: Json) -> None:
    version, task_id = made["version"], made["taskId"]
    console.print(literal(f"{version['dataId']} version {version['version']} is being made by {task_id}"))
    console.print(literal(f"Watch it: automesh task watch {task_id}", "dim"), soft_wrap=True)


def _show_the_end(api: Api, made: Json, *, as_json: bool) -> None:
    version = made["version"]
    _follow(api, made["taskId"], quiet=as_json)
    version = api.get(f"/data/{version['dataId']}/versions/{version['version']}")
    if as_json:
        print_json({"dataset": made["dataset"], "version": version, "taskId": made["taskId"]})
    else:
        console.print(literal(version["dataId"], "bold"))
        views.show_version(version)
    if version.get("state") != READY:
        raise typer.Exit(EXIT_NOT_READY)


def _follow(api: Api, task_id: str, *, quiet: bool) -> None:
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=quiet, transient=True) as progress:
        bar = progress.add_task(task_id, total=1.0)
        for message in api.watch(task_id):
            state = message["task"].get("progress", {})
            text = f"{short(message['task']['status'])} {state.get('message', '')}"
            progress.update(bar, completed=float(state.get("fraction", 0) or 0), description=text)
            for line in message.get("logLines", ()):
                progress.console.print(literal(line["text"], "dim"))
