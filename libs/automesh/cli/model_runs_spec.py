"""What a training is to do, from a file and from flags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automesh.cli.api import Api, Json
from automesh.cli.errors import CliError
from automesh.cli.messages import read_object, with_whole_names
from automesh.model.v1.training_pb2 import TrainingSpec


def read_spec(file: Path | None) -> Json:
    """The spec in a YAML or JSON file; without a file an empty one."""
    if file is None:
        return {}
    return read_object(file, "the fields of a TrainingSpec, such as data and architecture")


def whole_spec(spec: Json) -> Json:
    """With whole names of enum values: a file may say `kind: forecasting`."""
    whole: Json = with_whole_names(spec, TrainingSpec.DESCRIPTOR)
    return whole


def assign(spec: Json, path: str, value: Any) -> None:
    """Sets a value at a dotted path; what is on the way is made."""
    place, parts = spec, path.split(".")
    for part in parts[:-1]:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise CliError(f"{path}: {part} is {inner!r} in the file, not an object")
        place = inner
    place[parts[-1]] = value


def assign_all(spec: Json, given: Sequence[str]) -> None:
    """Sets PATH=VALUE pairs; a VALUE is JSON, or else text."""
    for each in given:
        path, separator, text = each.partition("=")
        if not separator or not path:
            raise CliError(f"--set {each!r} is not PATH=VALUE", next_step="Example: --set optimization.clip_norm=1.0")
        assign(spec, path, json_or_text(text))


def json_or_text(text: str) -> Any:
    """A JSON value; what is none is the text itself."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except ValueError:
        return text
    return value


def assign_data(spec: Json, data: str) -> None:
    """DATA_ID or DATA_ID:VERSION."""
    data_id, _, version = data.partition(":")
    if version and not version.isdecimal():
        raise CliError(f"--data {data!r} is not DATA_ID or DATA_ID:VERSION")
    assign(spec, "data.data_id", data_id)
    assign(spec, "data.version", int(version or 0))


def check_data(spec: Json) -> None:
    """A spec needs a dataset; said here in the words of the command line."""
    data = spec.get("data") or {}
    if not data.get("data_id") and not data.get("dataId"):
        raise CliError("which dataset is to be learned? Give --data DATA_ID", next_step="See yours: automesh data list")


def name_model(api: Api, spec: Json) -> None:
    """A spec with the name of a model that is there trains another version of it."""
    name = spec.get("name")
    if spec.get("model_id") or spec.get("modelId") or not isinstance(name, str) or not name:
        return
    for each in api.get("/models", pageSize=1000, nameContains=name).get("models", []):
        if each["name"] == name:
            spec["model_id"] = each["modelId"]


def words(text: str) -> list[str]:
    """The names in a list with commas."""
    return [each.strip() for each in text.split(",") if each.strip()]
