"""`automesh task ...`: submit, get, list, watch, cancel, delete, artifacts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.errors import CliError
from automesh.cli.output import age, coloured, console, errors, literal, print_json, short, table

app = typer.Typer(help="Submit tasks and see what becomes of them.", no_args_is_help=True)
FINISHED = ("COMPLETED", "FAILED", "CANCELLED")
EXIT_NOT_COMPLETED = 3


@app.command()
def submit(
    context: typer.Context,
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="What kind of work, for example test_generation.")],
    fields: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="KEY=VALUE; VALUE is JSON, or else text. Repeat it.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--input-file", "-f", help="A JSON file with the whole input.", exists=True)
    ] = None,
    description: Annotated[str, typer.Option("--description", "-d", help="For people.")] = "",
    priority: Annotated[
        int | None, typer.Option("--priority", "-p", help="0 (last) to 9 (first).", show_default="5")
    ] = None,
    run_at: Annotated[str, typer.Option(help="Not before this moment (RFC 3339).")] = "",
    timeout: Annotated[str, typer.Option(help='The longest an attempt may run, for example "600s".')] = "",
    request_id: Annotated[str, typer.Option(help="Makes it safe to run this command twice.")] = "",
    watch_it: Annotated[bool, typer.Option("--watch", "-w", help="Stay and watch until it is finished.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a task.

    Example: automesh task submit test_generation -i module=packaging.version --watch
    """
    task: dict[str, Any] = {"type": type_, "description": description, "input": _input(fields or [], file)}
    if priority is not None:
        task["priority"] = priority
    task |= {key: value for key, value in (("runAt", run_at), ("timeout", timeout)) if value}
    api = api_of(context)
    created = api.post("/tasks", task, request_id=request_id)
    if watch_it:
        _show_until_finished(api, created["taskId"], as_json=as_json)
    elif as_json:
        print_json(created)
    else:
        _say_status(created["taskId"], created["status"])
        console.print(f"Watch it: [bold]automesh task watch {created['taskId']}[/bold]", highlight=False)


@app.command()
def get(context: typer.Context, task_id: str, as_json: AsJson = False) -> None:
    """Show one task."""
    task = api_of(context).get(_path(task_id))
    if as_json:
        print_json(task)
    else:
        _show(task)


@app.command("list")
def list_tasks(
    context: typer.Context,
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help="Only these: RUNNING, FAILED, ...")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", "-t", help="Only these types.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your tasks, newest first."""
    answer = api_of(context).get("/tasks", pageSize=limit, status=status, type=type_)
    tasks = answer.get("tasks", [])
    if as_json:
        print_json(tasks)
        return
    if not tasks:
        console.print("No tasks. Submit one: [bold]automesh task submit noop[/bold]", highlight=False)
        return
    console.print(table(["TASK", "TYPE", "STATUS", "PROGRESS", "AGE", "DESCRIPTION"], map(_row, tasks)))
    if answer.get("nextPageToken"):
        console.print(f"There are more: --limit {min(limit * 5, 1000)}", style="dim")


@app.command()
def watch(context: typer.Context, task_id: str, as_json: AsJson = False) -> None:
    """Watch a task until it is finished. Exit status 3 when it did not complete."""
    _show_until_finished(api_of(context), task_id, as_json=as_json)


@app.command()
def cancel(
    context: typer.Context,
    task_id: str,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; told to the agent.")] = "",
    as_json: AsJson = False,
) -> None:
    """Stop a task."""
    task = api_of(context).post(f"{_path(task_id)}:cancel", {"reason": reason})
    if as_json:
        print_json(task)
    else:
        _say_status(task_id, task["status"])


@app.command()
def artifacts(
    context: typer.Context,
    task_id: str,
    download: Annotated[Path | None, typer.Option("--download", "-o", help="Save them below this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the files a task left, or save them."""
    api = api_of(context)
    found = api.every(f"{_path(task_id)}/artifacts", "artifacts")
    if as_json:
        print_json(found)
    else:
        rows = ([each["name"], each.get("size", "0"), each.get("contentType", "")] for each in found)
        console.print(table(["FILE", "BYTES", "TYPE"], rows))
    if download is not None:
        for path in download_artifacts(api, task_id, download):
            console.print(literal(f"saved {path}"), soft_wrap=True)


def download_artifacts(api: Api, task_id: str, folder: Path) -> list[Path]:
    """Saves all files of a task below `folder`; names that would leave it are refused."""
    saved = []
    for artifact in api.every(f"{_path(task_id)}/artifacts", "artifacts"):
        path = (folder / artifact["name"]).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise CliError(f"the artifact name {artifact['name']!r} leads out of {folder}")
        api.download(f"{_path(task_id)}/artifacts/{quote(artifact['name'])}", path)
        saved.append(path)
    return saved


def _path(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


def _input(fields: list[str], file: Path | None) -> Json:
    given: Json = {}
    if file is not None:
        try:
            given = _json(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CliError(f"{file} is not JSON: {error}") from error
        if not isinstance(given, dict):
            raise CliError(f'{file} must hold a JSON object, such as {{"module": "packaging.version"}}')
    for field in fields:
        key, separator, value = field.partition("=")
        if not separator or not key:
            raise CliError(f"--input {field!r} is not KEY=VALUE", next_step="Example: -i module=packaging.version")
        given[key] = _value(value)
    return given


def _value(text: str) -> Any:
    try:
        return _json(text)
    except ValueError:
        return text


def _json(text: str) -> Any:
    """Raises ValueError also for what Python reads beyond JSON: NaN, and numbers that are none in 64 bits."""
    value = json.loads(text)
    json.dumps(value, allow_nan=False)
    return value


def _say_status(task_id: str, status: str) -> None:
    console.print(Text.assemble(literal(task_id), " is ", coloured(status)))


def _row(task: Json) -> list[str | Text]:
    fraction = float(task.get("progress", {}).get("fraction", 0) or 0)
    progress = f"{fraction:4.0%}" if short(task["status"]) == "RUNNING" else ""
    return [
        task["taskId"],
        task["type"],
        coloured(task["status"]),
        progress,
        age(task["createTime"]),
        task["description"],
    ]


def _show(task: Json) -> None:
    rows: list[list[str | Text]] = [["task", task["taskId"]], ["type", task["type"]]]
    rows.append(["status", coloured(task["status"])])
    rows += [[label, str(task[key])] for label, key in _DETAILS if task.get(key) not in (None, "", 0)]
    console.print(table(["", ""], rows))
    if task.get("failure") and short(task["status"]) != "COMPLETED":
        failure = task["failure"]
        reason = literal(failure.get("reason", ""), "red")
        console.print(Text.assemble(reason, " ", literal(failure.get("message", ""))))
    for key in ("input", "result"):
        if task.get(key):
            console.print(f"[bold]{key}[/bold]")
            console.print_json(data=task[key])


_DETAILS = (
    ("description", "description"),
    ("priority", "priority"),
    ("attempt", "attempt"),
    ("agent", "agentId"),
    ("created", "createTime"),
    ("started", "startTime"),
    ("finished", "finishTime"),
)


@contextmanager
def _saying_that_it_goes_on(task_id: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        errors.print(literal(f"The task goes on. Look again: automesh task watch {task_id}", "dim"))
        raise


def _show_until_finished(api: Api, task_id: str, *, as_json: bool) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    task: Json = {}
    with (
        _saying_that_it_goes_on(task_id),
        Progress(*columns, console=console, disable=as_json, transient=True) as progress,
    ):
        bar = progress.add_task(task_id, total=1.0)
        for message in api.watch(task_id):
            task = message["task"]
            state = task.get("progress", {})
            text = Text.assemble(coloured(task["status"]), " ", literal(state.get("message", "")))
            progress.update(bar, completed=float(state.get("fraction", 0) or 0), description=text.markup)
            for line in message.get("logLines", ()):
                progress.console.print(literal(line["text"], "dim"))
    if as_json:
        print_json(task)
    else:
        _show(task)
    if short(task.get("status", "")) != "COMPLETED":
        raise typer.Exit(EXIT_NOT_COMPLETED)
