"""`automesh model train|runs|run|watch|cancel|resume`: trainings, with live curves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.errors import CliError
from automesh.cli.model_runs_follow import Learning, follow, run_path
from automesh.cli.model_runs_screen import best, facts, lines, screen
from automesh.cli.model_runs_spec import (
    assign,
    assign_all,
    assign_data,
    check_data,
    name_model,
    read_spec,
    whole_spec,
    words,
)
from automesh.cli.output import age, coloured, console, errors, literal, print_json, short, table

EXIT_NOT_COMPLETED = 3
FRAMES_A_SECOND = 5
DEVICES, NO_DEVICES = ("auto", "cpu", "cuda"), ("fail", "wait", "cpu")
KINDS = ("regression", "forecasting", "classification", "anomaly")
ARCHITECTURES = ("lstm", "transformer")
Spec = Annotated[
    Path | None,
    typer.Argument(metavar="SPEC.yaml", help="What to train, as YAML or JSON. Flags go before it.", exists=True),
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="PATH=VALUE for anything else, for example optimization.clip_norm=1.")
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay and watch the curves until it has ended.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh model`."""
    app.command()(train)
    app.command()(runs)
    app.command("run")(show_run)
    app.command()(watch)
    app.command()(cancel)
    app.command()(resume)


def train(
    context: typer.Context,
    spec: Spec = None,
    name: Annotated[str, typer.Option("--name", help="The model: one of that name, or a new one.")] = "",
    data: Annotated[str, typer.Option("--data", "-d", help="DATA_ID or DATA_ID:VERSION.")] = "",
    features: Annotated[str, typer.Option("--features", help="Columns that go in: a,b,c.")] = "",
    targets: Annotated[str, typer.Option("--targets", help="Columns to learn: a,b.")] = "",
    window: Annotated[int, typer.Option("--window", min=0, help="Rows of a window.", show_default="the dataset's")] = 0,
    horizon: Annotated[int, typer.Option("--horizon", min=0, help="Forecasting: rows to foretell.")] = 0,
    kind: Annotated[str, typer.Option("--kind", "-k", help=", ".join(KINDS), show_default="regression")] = "",
    architecture: Annotated[str, typer.Option("--arch", "-a", help="lstm or transformer", show_default="lstm")] = "",
    hidden: Annotated[int, typer.Option("--hidden", min=0, help="Width.", show_default="64")] = 0,
    layers: Annotated[int, typer.Option("--layers", min=0, help="Layers.", show_default="2")] = 0,
    epochs: Annotated[int, typer.Option("--epochs", "-e", min=0, help="Epochs at most.", show_default="20")] = 0,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=0, help="Windows.", show_default="64")] = 0,
    learning_rate: Annotated[float, typer.Option("--learning-rate", min=0, show_default="0.001")] = 0.0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda", show_default="auto")] = "",
    without_device: Annotated[
        str, typer.Option("--without-device", help="Without a GPU: fail, wait or cpu.", show_default="fail")
    ] = "",
    alias: Annotated[list[str] | None, typer.Option("--alias", help="Asked for once it is trained. Repeat it.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of weights, order and dropout.")] = None,
    sets: Sets = None,
    request_id: Annotated[str, typer.Option(help="Makes it safe to run this command twice.")] = "",
    watch_it: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Train a model.

    Example: automesh model train --name sunspots --data data_01j... --targets number --kind forecasting --watch
    """
    wanted = read_spec(spec)
    if data:
        assign_data(wanted, data)
    shape = chosen(architecture, ARCHITECTURES, "--arch") or _architecture_of(wanted)
    flags = {
        "name": name,
        "data.features": words(features),
        "data.targets": words(targets),
        "data.window": window,
        "data.horizon": horizon,
        "objective.kind": chosen(kind, KINDS, "--kind"),
        f"architecture.{shape}.hidden": hidden,
        f"architecture.{shape}.layers": layers,
        "optimization.epochs": epochs,
        "optimization.batch_size": batch_size,
        "optimization.learning_rate": learning_rate,
        "resources.device": chosen(device, DEVICES, "--device"),
        "resources.without_device": chosen(without_device, NO_DEVICES, "--without-device"),
        "aliases": alias or [],
    }
    if architecture:
        wanted["architecture"] = {shape: dict(wanted.get("architecture", {}).get(shape) or {})}
    for path, value in flags.items():
        if value:
            assign(wanted, path, value)
    if seed is not None:
        wanted["seed"] = seed
    assign_all(wanted, sets or [])
    check_data(wanted)
    api = api_of(context)
    name_model(api, wanted)
    started = api.post("/models/train", {"spec": whole_spec(wanted), "requestId": request_id})
    if watch_it:
        show_until_ended(api, started["runId"], as_json=as_json)
    elif as_json:
        print_json(started)
    else:
        console.print(Text.assemble(literal(started["runId"]), " trains ", literal(started["modelId"])))
        console.print(f"Watch it: [bold]automesh model watch {started['runId']}[/bold]", highlight=False)


def runs(
    context: typer.Context,
    model: Annotated[str, typer.Option("--model", "-m", help="Only of this model (its id).")] = "",
    state: Annotated[str, typer.Option("--state", "-s", help="Only these: RUNNING, FAILED, ...")] = "",
    sweep: Annotated[str, typer.Option("--sweep", help="Only of this sweep.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your trainings, the newest first."""
    wanted = f"RUN_STATE_{state.upper().removeprefix('RUN_STATE_')}" if state else ""
    answer = api_of(context).get("/runs", pageSize=limit, modelId=model, state=wanted, sweepId=sweep)
    found = answer.get("runs", [])
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("No runs. Train a model: [bold]automesh model train --help[/bold]", highlight=False)
        return
    console.print(table(["RUN", "MODEL", "STATE", "DONE", "BEST", "AGE"], map(_row, found)))
    if answer.get("nextPageToken"):
        console.print(f"There are more: --limit {min(limit * 5, 1000)}", style="dim")


def show_run(context: typer.Context, run: RunId, as_json: AsJson = False) -> None:
    """Show one training."""
    found = api_of(context).get(run_path(run))
    if as_json:
        print_json(found)
    else:
        _show(found)


def watch(context: typer.Context, run: RunId, as_json: AsJson = False) -> None:
    """Watch the curves of a training until it has ended. Exit status 3 when it did not complete."""
    show_until_ended(api_of(context), run, as_json=as_json)


def cancel(
    context: typer.Context,
    run: RunId,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why, for people.")] = "",
    as_json: AsJson = False,
) -> None:
    """Stop a training; its last checkpoint is kept."""
    _say(api_of(context).post(f"{run_path(run)}:cancel", {"reason": reason}), as_json=as_json)


def resume(
    context: typer.Context,
    run: RunId,
    epochs: Annotated[int, typer.Option("--epochs", "-e", min=0, help="More epochs than before.")] = 0,
    watch_it: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a failed or cancelled training from its last checkpoint."""
    api = api_of(context)
    resumed = api.post(f"{run_path(run)}:resume", {"epochs": epochs})
    if watch_it:
        show_until_ended(api, run, as_json=as_json)
    else:
        _say(resumed, as_json=as_json)


def show_until_ended(api: Api, run_id: str, *, as_json: bool) -> None:
    """Live curves in a terminal, a line for each epoch elsewhere; then the run as it ended."""
    learning = Learning(run_id)
    with _saying_that_it_goes_on(run_id):
        if as_json:
            for update in follow(api, run_id):
                learning.hear(update)
        elif console.is_terminal:
            _show_live(api, learning)
        else:
            _show_lines(api, learning)
    found = api.get(run_path(run_id))
    if as_json:
        print_json(found)
    else:
        _show(found)
    if short(found.get("state", "")) != "COMPLETED":
        raise typer.Exit(EXIT_NOT_COMPLETED)


def chosen(text: str, known: tuple[str, ...], flag: str) -> str:
    """One of the words that a flag knows, in lower case."""
    word = text.lower()
    if word and word not in known:
        raise CliError(f"{flag} {text!r} is not one of {', '.join(known)}")
    return word


def _show_live(api: Api, learning: Learning) -> None:
    def shown() -> RenderableType:
        return screen(learning, width=console.width, height=console.height)

    with Live(console=console, refresh_per_second=FRAMES_A_SECOND, get_renderable=shown):
        for update in follow(api, learning.run_id):
            learning.hear(update)


def _show_lines(api: Api, learning: Learning) -> None:
    state = ""
    for update in follow(api, learning.run_id):
        points = learning.hear(update)
        if learning.state != state:
            state = learning.state
            console.print(Text.assemble(literal(learning.run_id), " is ", coloured(state)))
        for line in lines(points):
            console.print(literal(line, "dim"))
    console.print(literal(facts(learning), "dim"))


@contextmanager
def _saying_that_it_goes_on(run_id: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        errors.print(literal(f"The training goes on. Look again: automesh model watch {run_id}", "dim"))
        raise


def _architecture_of(spec: Json) -> str:
    architecture = spec.get("architecture") or {}
    return next((each for each in ARCHITECTURES if each in architecture), ARCHITECTURES[0])


def _say(run: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(run)
    else:
        console.print(Text.assemble(literal(run["runId"]), " is ", coloured(run["state"])))


def _row(run: Json) -> list[str | Text]:
    learning = Learning(run["runId"], update=run)
    return [
        run["runId"],
        run["modelId"],
        coloured(run["state"]),
        f"{learning.fraction:4.0%}",
        best(run.get("progress", {})).removeprefix("best "),
        age(run.get("createTime", "")),
    ]


def _show(run: Json) -> None:
    learning = Learning(run["runId"], update=run)
    rows: list[list[str | Text]] = [["run", run["runId"]], ["model", run["modelId"]]]
    rows.append(["state", coloured(run["state"])])
    version, step = run.get("modelVersion"), int(run.get("checkpointStep", -1))
    known = [
        ["version", str(version) if version else ""],
        ["progress", facts(learning)],
        ["checkpoint", f"step {step}" if step >= 0 else ""],
        ["task", run.get("taskId", "")],
        ["sweep", run.get("sweepId", "")],
        ["created", f"{run.get('createTime', '')} by {run.get('createdBy', '')}"],
        ["finished", run.get("finishTime", "")],
    ]
    rows += [[label, value] for label, value in known if value]
    rows += [[name, f"{float(value):.6g}"] for name, value in sorted(run.get("metrics", {}).items())]
    console.print(table(["", ""], rows))
    if failure := run.get("failure"):
        reason = literal(failure.get("reason", ""), "red")
        console.print(Text.assemble(reason, " ", literal(failure.get("message", ""))))
