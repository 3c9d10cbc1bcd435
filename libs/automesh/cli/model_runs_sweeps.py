"""`automesh model sweep start|show|cancel`: many trainings that differ in some parameters."""

from __future__ import annotations

import json
import re
import time
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.errors import CliError
from automesh.cli.model_runs import EXIT_NOT_COMPLETED, Sets, Spec, chosen
from automesh.cli.model_runs_follow import ENDED
from automesh.cli.model_runs_spec import (
    assign_all,
    assign_data,
    check_data,
    json_or_text,
    name_model,
    read_spec,
    whole_spec,
)
from automesh.cli.output import coloured, console, literal, print_json, short, table

app = typer.Typer(help="Train many times with different parameters.", no_args_is_help=True)
METHODS = ("grid", "random", "halving")
LOOK_EVERY_S = 2.0
_RANGE = re.compile(r"(?P<min>[^.:,]+(\.\d+)?)\.\.(?P<max>[^:,]+)(?P<how>(:log|:int)*)")
SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help="The sweep's id.")]


@app.command()
def start(
    context: typer.Context,
    spec: Spec = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="PATH=A,B,C or PATH=MIN..MAX, with :log or :int behind it. Repeat it."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The model: one of that name, or a new one.")] = "",
    data: Annotated[str, typer.Option("--data", "-d", help="DATA_ID or DATA_ID:VERSION.")] = "",
    sets: Sets = None,
    method: Annotated[str, typer.Option("--method", "-m", help=", ".join(METHODS))] = "grid",
    trials: Annotated[int, typer.Option("--trials", min=0, help="Draws.", show_default="9")] = 0,
    parallel: Annotated[int, typer.Option("--parallel", min=0, help="Runs at a time.", show_default="2")] = 0,
    metric: Annotated[str, typer.Option("--metric", help="What decides.", show_default="val/loss")] = "",
    higher: Annotated[bool, typer.Option("--higher-is-better", help="More of it is better.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws.")] = 0,
    request_id: Annotated[str, typer.Option(help="Makes it safe to run this command twice.")] = "",
    watch_it: Annotated[bool, typer.Option("--watch", "-w", help="Stay until it has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a sweep.

    Example: automesh model sweep start spec.yaml -p optimization.learning_rate=0.0001..0.1:log --method halving
    """
    wanted = read_spec(spec)
    if data:
        assign_data(wanted, data)
    if name:
        wanted["name"] = name
    assign_all(wanted, sets or [])
    check_data(wanted)
    api = api_of(context)
    name_model(api, wanted)
    body = {
        "spec": whole_spec(wanted),
        "parameters": [parameter(each) for each in parameters or []],
        "method": f"SWEEP_METHOD_{chosen(method, METHODS, '--method').upper()}",
        "trials": trials,
        "maxParallel": parallel,
        "metric": metric,
        "higherIsBetter": higher,
        "seed": seed,
        "requestId": request_id,
    }
    sweep = api.post("/sweeps", body)
    if watch_it:
        sweep = _until_ended(api, sweep, quiet=as_json)
    if as_json:
        print_json(sweep)
    else:
        _show(sweep)
    if watch_it and short(sweep["state"]) != "COMPLETED":
        raise typer.Exit(EXIT_NOT_COMPLETED)


@app.command()
def show(context: typer.Context, sweep: SweepId, as_json: AsJson = False) -> None:
    """Show a sweep with its runs, the best first."""
    found = api_of(context).get(_path(sweep))
    if as_json:
        print_json(found)
    else:
        _show(found)


@app.command()
def cancel(context: typer.Context, sweep: SweepId, as_json: AsJson = False) -> None:
    """Stop a sweep and its runs."""
    found = api_of(context).post(f"{_path(sweep)}:cancel")
    if as_json:
        print_json(found)
    else:
        _show(found)


def parameter(given: str) -> Json:
    """PATH=A,B,C or PATH=MIN..MAX[:log][:int]."""
    path, separator, text = given.partition("=")
    if not separator or not path or not text:
        raise CliError(f"--param {given!r} is not PATH=VALUES", next_step="Example: -p optimization.batch_size=32,64")
    if match := _RANGE.fullmatch(text):
        try:
            low, high = float(match["min"]), float(match["max"])
        except ValueError as error:
            raise CliError(f"--param {given!r}: {match['min']}..{match['max']} is no range of numbers") from error
        return {"path": path, "min": low, "max": high, "log": ":log" in match["how"], "integer": ":int" in match["how"]}
    return {"path": path, "values": [_json(each.strip()) for each in text.split(",")]}


def _json(text: str) -> str:
    return json.dumps(json_or_text(text))


def _path(sweep_id: str) -> str:
    return f"/sweeps/{quote(sweep_id, safe='')}"


def _until_ended(api: Api, sweep: Json, *, quiet: bool) -> Json:
    told = ""
    while short(sweep["state"]) not in ENDED:
        time.sleep(LOOK_EVERY_S)
        sweep = api.get(_path(sweep["sweepId"]))
        if not quiet and (line := _line(sweep)) != told:
            told = line
            console.print(literal(line, "dim"))
    return sweep


def _line(sweep: Json) -> str:
    runs = sweep.get("runs", [])
    ended = sum(short(each["state"]) in ENDED for each in runs)
    best = next((f", best {sweep['metric']} {each['value']:.6g}" for each in runs if _has_value(each)), "")
    return f"{ended} of {len(runs) + int(sweep.get('waiting', 0))} runs have ended{best}"


def _has_value(run: Json) -> bool:
    return isinstance(run.get("value"), int | float)


def _show(sweep: Json) -> None:
    console.print(
        Text.assemble(literal(sweep["sweepId"]), " is ", coloured(sweep["state"]), "  ", literal(_line(sweep)))
    )
    runs = sweep.get("runs", [])
    paths = sorted({path for each in runs for path in each.get("parameters", {})})
    rows = [
        [
            each["runId"],
            coloured(each["state"]),
            f"{each['value']:.6g}" if _has_value(each) else "",
            *(each.get("parameters", {}).get(path, "") for path in paths),
        ]
        for each in runs
    ]
    if rows:
        console.print(table(["RUN", "STATE", sweep.get("metric", "VALUE").upper(), *paths], rows))
