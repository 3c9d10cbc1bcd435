"""`automesh model predict`: windows out of a CSV file or as JSON, predictions as a table or JSON."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.errors import CliError
from automesh.cli.model_registry import ModelName, find_model, model_path
from automesh.cli.output import console, print_json, table

MOST_WINDOWS = 1024
MOST_SHOWN = 12


def predict(
    context: typer.Context,
    model: ModelName,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            allow_dash=True,
            help="CSV with the model's features as columns, or a JSON list of windows; - reads JSON from stdin.",
        ),
    ],
    version: Annotated[
        int, typer.Option("--version", "-v", min=0, help="Which version.", show_default="the champion")
    ] = 0,
    alias: Annotated[str, typer.Option("--alias", "-a", help="Or the one that holds this alias.")] = "",
    as_json: AsJson = False,
) -> None:
    """Predict. Of a CSV file every window that fits is taken, one row further each.

    Example: automesh model predict sunspots years.csv
    """
    api = api_of(context)
    found = find_model(api, model)
    path = model_path(found)
    chosen = version or int(found.get("aliases", {}).get(alias or "champion", 0)) or int(found.get("latestVersion", 0))
    signature = api.get(f"{path}/versions/{chosen}").get("signature", {})
    windows = _of_json(file) if str(file) == "-" or file.suffix.lower() == ".json" else _of_csv(file, signature)
    answer = api.post(f"{path}:predict", {"instances": windows, "version": version, "alias": alias})
    if as_json:
        print_json(answer)
        return
    _show(answer)


def _of_json(file: Path) -> list[Any]:
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    try:
        windows = json.loads(text)
    except ValueError as error:
        raise CliError(f"{file} is no JSON: {error}") from error
    if isinstance(windows, dict):
        windows = windows.get("instances")  # the body of the rpc
    if not isinstance(windows, list):
        raise CliError(f"{file} must hold a list of windows, each a list of rows, each a list of numbers")
    return windows


def _of_csv(file: Path, signature: Json) -> list[list[list[float]]]:
    features, window = signature.get("features", []), int(signature["inputs"][0]["shape"][1])
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in features if name not in (reader.fieldnames or [])]
        if missing:
            raise CliError(f"{file} has no column {', '.join(missing)}; the model takes {', '.join(features)}")
        rows = [_numbers(row, features, file, reader.line_num) for row in reader]
    count = len(rows) - window + 1
    if count < 1:
        raise CliError(f"{file} has {len(rows)} rows; one window of the model has {window}")
    if count > MOST_WINDOWS:
        raise CliError(f"{file} makes {count} windows; at most {MOST_WINDOWS} go at once: split the file")
    return [rows[start : start + window] for start in range(count)]


def _numbers(row: dict[str, Any], features: list[str], file: Path, line: int) -> list[float]:
    try:
        return [float(row[name]) for name in features]
    except (TypeError, ValueError) as error:
        raise CliError(f"{file}, line {line}: {error}") from error


def _show(answer: Json) -> None:
    labels = answer.get("labels", [])
    predictions = answer.get("predictions", [])
    rows = [
        [str(number), json.dumps(value), *([labels[number]] if labels else [])]
        for number, value in enumerate(predictions[-MOST_SHOWN:], start=max(0, len(predictions) - MOST_SHOWN))
    ]
    if len(predictions) > MOST_SHOWN:
        console.print(f"the last {MOST_SHOWN} of {len(predictions)} windows; --json has all", style="dim")
    console.print(table(["WINDOW", "PREDICTION", *(["LABEL"] if labels else [])], rows))
    console.print(f"version {answer.get('version')} answered", style="dim")
