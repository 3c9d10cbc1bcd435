"""`automesh model promote|demote|gates|set-gates|moves`: aliases, and the gates in front of them."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.errors import CliError
from automesh.cli.model_registry import LATEST, ModelName, Version, find_model, model_path, number
from automesh.cli.output import console, literal, print_json, table

CHAMPION = "champion"
EXIT_GATES_FAILED = 3
Alias = Annotated[str, typer.Option("--alias", "-a", help="Which alias.")]
_METRIC = re.compile(r"(?P<metric>[^<>=]+?)\s*(?P<comparator><=|>=|<|>)\s*(?P<threshold>\S+)")


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh model`."""
    app.command()(promote)
    app.command()(demote)
    app.command()(gates)
    app.command("set-gates")(set_gates)
    app.command()(moves)


def promote(
    context: typer.Context,
    model: ModelName,
    version: Annotated[int, typer.Argument(min=1, help="The version that the alias shall point at.")],
    alias: Alias = CHAMPION,
    override: Annotated[
        str, typer.Option("--override", help="Why it moves although gates fail; recorded and audited.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version, if its gates pass.

    Example: automesh model promote prices 4
    """
    api = api_of(context)
    found = find_model(api, model)
    body = {"version": version, "overrideReason": override}
    answer = api.put(f"{model_path(found)}/aliases/{quote(alias, safe='')}", body)
    if as_json:
        print_json(answer)
        return
    _show_results(answer.get("results", []))
    console.print(literal(f"{alias} of {found['name']} is version {version}."))


def demote(context: typer.Context, model: ModelName, alias: Alias = CHAMPION) -> None:
    """Take an alias away."""
    api = api_of(context)
    found = find_model(api, model)
    api.delete(f"{model_path(found)}/aliases/{quote(alias, safe='')}")
    console.print(literal(f"Nothing of {found['name']} is {alias} any more."))


def gates(
    context: typer.Context,
    model: ModelName,
    version: Version = LATEST,
    alias: Alias = CHAMPION,
    as_json: AsJson = False,
) -> None:
    """Hold a version against the gates of an alias, and move nothing. Exit status 3 when one does not pass."""
    api = api_of(context)
    found = find_model(api, model)
    chosen = version or found.get("latestVersion", 0)
    if not chosen:
        raise CliError(f"{found['name']} has no version yet", next_step="Train one: automesh model train --help")
    answer = api.get(f"{model_path(found)}/versions/{chosen}/gates/{quote(alias, safe='')}")
    if as_json:
        print_json(answer)
    elif not answer.get("results"):
        console.print(literal(f"No gates stand before {alias} of {found['name']}: automesh model set-gates --help"))
    else:
        _show_results(answer["results"])
    if not answer.get("passed"):
        raise typer.Exit(EXIT_GATES_FAILED)


def set_gates(
    context: typer.Context,
    model: ModelName,
    alias: Alias = CHAMPION,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help='A bound, for example "val/loss<=0.2". Repeat it.')
    ] = None,
    not_worse: Annotated[
        list[str] | None,
        typer.Option(
            "--not-worse",
            metavar="METRIC:PERCENT[:higher]",
            help="Not worse than the alias's holder by more than so many percent; `higher`: more is better. Repeat it.",
        ),
    ] = None,
    latency_ms: Annotated[float | None, typer.Option(help="p99 of one prediction at most.")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Size of the served file at most.")] = None,
    max_psi: Annotated[
        float | None, typer.Option(help="Drift (PSI) from the holder's data at most; 0.2 is usual.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replace the gates in front of an alias. Without options there are none any more.

    Example: automesh model set-gates prices --metric "val/loss<=0.2" --not-worse val/loss:5 --latency-ms 10
    """
    wanted: list[Json] = [{"metric": _metric(each)} for each in metric or ()]
    wanted += [{"notWorse": _comparison(each)} for each in not_worse or ()]
    bounds = (("latency", "maxMs", latency_ms), ("size", "maxBytes", max_bytes), ("drift", "maxPsi", max_psi))
    wanted += [{kind: {field: bound}} for kind, field, bound in bounds if bound is not None]
    api = api_of(context)
    found = find_model(api, model)
    others = [each for each in found.get("gates", []) if each.get("alias") != alias]
    found["gates"] = [*others, {"alias": alias, "gates": wanted}] if wanted else others
    changed = api.put(model_path(found), found)
    if as_json:
        print_json(changed)
    else:
        many = "gate stands" if len(wanted) == 1 else "gates stand"
        console.print(literal(f"{len(wanted)} {many} before {alias} of {found['name']}."))


def moves(
    context: typer.Context,
    model: ModelName,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """How the aliases of a model moved, the latest move first."""
    api = api_of(context)
    found = api.get(f"{model_path(find_model(api, model))}/moves", pageSize=limit).get("moves", [])
    if as_json:
        print_json(found)
        return
    console.print(table(["TIME", "ALIAS", "FROM", "TO", "BY", "GATES", "OVERRIDE"], map(_move, found)))


def _move(move: Json) -> list[str | Text]:
    results = move.get("results", [])
    passed = sum(bool(each.get("passed")) for each in results)
    return [
        move.get("moveTime", "")[:19],
        move["alias"],
        str(move.get("fromVersion") or "-"),
        str(move.get("toVersion") or "-"),
        move.get("movedBy", ""),
        f"{passed} of {len(results)}" if results else "",
        move.get("overrideReason", ""),
    ]


def _show_results(results: list[Json]) -> None:
    rows: list[list[str | Text]] = [
        [
            Text("passed", "green") if each.get("passed") else Text("failed", "red"),
            literal(each.get("gate", "")),
            number(each.get("value")),
            number(each.get("bound")).replace("nan", "-"),
            literal(each.get("message", "")),
        ]
        for each in results
    ]
    if rows:
        console.print(table(["", "GATE", "MEASURED", "BOUND", ""], rows))


def _metric(text: str) -> Json:
    found = _METRIC.fullmatch(text.strip())
    if found is None:
        raise CliError(f"{text!r} is no bound on a metric", next_step='Example: --metric "val/loss<=0.2"')
    return {**found.groupdict(), "threshold": _number(found["threshold"], text)}


def _comparison(text: str) -> Json:
    metric, _, rest = text.partition(":")
    percent, _, direction = rest.partition(":")
    if not metric or not percent or direction not in {"", "higher"}:
        raise CliError(f"{text!r} is not METRIC:PERCENT[:higher]", next_step="Example: --not-worse val/loss:5")
    return {"metric": metric, "maxPercent": _number(percent, text), "higherIsBetter": direction == "higher"}


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CliError(f"{text!r} in {whole!r} is not a number") from error
