"""`automesh model list|show|versions|compare|export|delete`: what there is in the model registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Its name or its id.")]
Version = Annotated[int, typer.Option("--version", "-v", min=0, help="Which version.", show_default="the latest")]
LATEST = 0


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh model`."""
    app.command("list")(list_models)
    app.command()(show)
    app.command()(versions)
    app.command()(compare)
    app.command()(export)
    app.command()(delete)


def list_models(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="Only those whose name contains this.")] = "",
    tag: Annotated[str, typer.Option("--tag", help="Only those with this tag: KEY=VALUE.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your models, the latest change first."""
    answer = api_of(context).get("/models", pageSize=limit, nameContains=name, tag=tag)
    found = answer.get("models", [])
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("No models. Train one: [bold]automesh model train --help[/bold]", highlight=False)
        return
    console.print(table(["MODEL", "NAME", "LATEST", "ALIASES", "CHANGED"], map(_row, found)))
    if answer.get("nextPageToken"):
        console.print(f"There are more: --limit {min(limit * 5, 1000)}", style="dim")


def show(context: typer.Context, model: ModelName, version: Version = LATEST, as_json: AsJson = False) -> None:
    """Show a model and one of its versions with its card."""
    api = api_of(context)
    found = find_model(api, model)
    chosen = _version(api, found, version) if found.get("latestVersion") else {}
    if as_json:
        print_json({"model": found, "version": chosen})
        return
    _show_model(found)
    if chosen:
        _show_version(chosen)


def versions(
    context: typer.Context,
    model: ModelName,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the versions of a model, the newest first."""
    api = api_of(context)
    path = model_path(find_model(api, model))
    found = api.get(f"{path}/versions", pageSize=limit).get("versions", [])
    if as_json:
        print_json(found)
        return
    names = sorted({name for each in found for name in each.get("metrics", {})})[:4]
    rows = [
        [
            str(each["version"]),
            ", ".join(each.get("aliases", [])),
            *(number(each.get("metrics", {}).get(name)) for name in names),
            each.get("runId", ""),
            age(each.get("createTime", "")),
        ]
        for each in found
    ]
    console.print(table(["VERSION", "ALIASES", *(name.upper() for name in names), "RUN", "AGE"], rows))


def compare(
    context: typer.Context,
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL[:VERSION]...", help="From 2 to 20; without a version the latest.")
    ],
    as_json: AsJson = False,
) -> None:
    """Set versions side by side: metrics, and the parameters in which they differ.

    Example: automesh model compare prices:3 prices:4
    """
    api = api_of(context)
    answer = api.post("/models:compare", {"versions": [_reference(api, each) for each in models]})
    if as_json:
        print_json(answer)
        return
    heads = [
        f"{given.partition(':')[0]}:{each['version']}" for given, each in zip(models, answer["versions"], strict=True)
    ]
    metrics = [[row["name"], *map(number, row["values"])] for row in answer.get("metrics", [])]
    console.print(table(["METRIC", *heads], metrics))
    if differing := answer.get("parameters"):
        console.print(table(["PARAMETER", *heads], [[row["path"], *row["values"]] for row in differing]))
    else:
        console.print("They were trained with the same parameters.", style="dim")


def export(
    context: typer.Context,
    model: ModelName,
    version: Version = LATEST,
    names: Annotated[
        list[str] | None, typer.Option("--file", "-f", help="Only this file; repeat it. Empty: all files.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder they are saved in.")] = Path(),
) -> None:
    """Save the files of a version: weights, ONNX, plots."""
    api = api_of(context)
    chosen = _version(api, find_model(api, model), version)
    path = f"{model_path(chosen)}/versions/{chosen['version']}/files"
    for name in names or [each["name"] for each in chosen.get("files", [])]:
        target = (out / name).resolve()
        if not target.is_relative_to(out.resolve()):
            raise CliError(f"the file name {name!r} leads out of {out}")
        api.download(f"{path}/{quote(name)}", target)
        console.print(literal(f"saved {out / name}"), soft_wrap=True)


def delete(
    context: typer.Context,
    model: ModelName,
    force: Annotated[bool, typer.Option("--force", help="Although aliases point at it; needs --reason.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; written to the audit log.")] = "",
) -> None:
    """Delete a model with its versions, runs and files."""
    api = api_of(context)
    found = find_model(api, model)
    api.delete(model_path(found), force="true" if force else "", reason=reason)
    console.print(literal(f"{found['name']} ({found['modelId']}) is deleted."))


def find_model(api: Api, name_or_id: str) -> Json:
    """By id, else by its very name."""
    if not name_or_id.startswith("model_"):
        for each in api.get("/models", pageSize=1000, nameContains=name_or_id).get("models", []):
            if each["name"] == name_or_id:
                return dict(each)
    return api.get(f"/models/{quote(name_or_id, safe='')}")


def model_path(model: Json) -> str:
    """Where a model is, or the model of a version."""
    return f"/models/{quote(model['modelId'], safe='')}"


def number(value: Any) -> str:
    """A metric for people; NaN and infinities come as texts."""
    if value is None:
        return ""
    return f"{float(value):.6g}"


def _row(model: Json) -> list[str | Text]:
    return [
        model["modelId"],
        model["name"],
        str(model.get("latestVersion", 0)),
        _aliases(model),
        age(model.get("updateTime", "")),
    ]


def _aliases(model: Json) -> str:
    return ", ".join(f"{alias}={version}" for alias, version in sorted(model.get("aliases", {}).items()))


def _version(api: Api, model: Json, version: int) -> Json:
    chosen = version or model.get("latestVersion", 0)
    if not chosen:
        raise CliError(f"{model['name']} has no version yet", next_step="Train one: automesh model train --help")
    return api.get(f"{model_path(model)}/versions/{chosen}")


def _reference(api: Api, given: str) -> Json:
    name, _, version = given.partition(":")
    if version and not version.isdecimal():
        raise CliError(f"{given!r} is not MODEL:VERSION", next_step="Example: automesh model compare prices:3 prices:4")
    return {"modelId": find_model(api, name)["modelId"], "version": int(version or 0)}


def _show_model(model: Json) -> None:
    rows: list[Sequence[str | Text]] = [
        ["model", model["modelId"]],
        ["name", model["name"]],
        ["description", model.get("description", "")],
        ["tags", ", ".join(f"{key}={value}" for key, value in sorted(model.get("tags", {}).items()))],
        ["aliases", _aliases(model)],
        ["latest version", str(model.get("latestVersion", 0))],
        ["created", f"{model.get('createTime', '')} by {model.get('createdBy', '')}"],
    ]
    console.print(table(["", ""], [row for row in rows if row[1]]))


def _show_version(version: Json) -> None:
    console.print(f"\n[bold]version {version['version']}[/bold]", highlight=False)
    facts = [["run", version.get("runId", "")], ["digest", version.get("digest", "")]]
    facts += [["weights", f"{version.get('parameters', 0)} in {version.get('size', 0)} bytes"]]
    facts += [[name, number(value)] for name, value in sorted(version.get("metrics", {}).items())]
    console.print(table(["", ""], facts))
    files = [[each["name"], each.get("size", "0"), each.get("contentType", "")] for each in version.get("files", [])]
    console.print(table(["FILE", "BYTES", "TYPE"], files))
    if version.get("card"):
        console.print("[bold]card[/bold]")
        console.print_json(data=version["card"])
