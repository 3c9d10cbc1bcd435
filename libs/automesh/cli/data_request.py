"""The request of `automesh data process` out of files and flags; short names of methods and types become whole ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automesh.cli.api import Json
from automesh.cli.errors import CliError

_METHODS = {
    ("fill", "method"): "FILL_METHOD_",
    ("scale", "method"): "SCALE_METHOD_",
    ("split", "method"): "SPLIT_METHOD_",
    ("resample", "aggregation"): "AGGREGATION_",
}
_TYPE, _FORMAT = "COLUMN_TYPE_", "FILE_FORMAT_"
_MOST_WINDOW_NUMBERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps that have flags; empty ones are left out."""

    fill: str = ""
    split: str = ""
    test: float = 0.0
    validation: float = 0.0
    seed: int = 0
    scale: str = ""
    window: str = ""

    def messages(self) -> list[Json]:
        """In an order that makes sense: what is divided first is scaled by the training part alone."""
        made: list[Json] = []
        if self.fill:
            made.append({"fill": _fill(self.fill)})
        if self.split or self.test or self.validation:
            split = {"testFraction": self.test, "validationFraction": self.validation, "seed": str(self.seed)}
            made.append({"split": {**split, **({"method": self.split} if self.split else {})}})
        if self.scale:
            made.append({"scale": {"method": self.scale.replace("-", "_")}})
        if self.window:
            made.append({"window": _window(self.window)})
        return made


def read_file(path: Path) -> Json:
    """The object in a YAML or JSON file. Raises CliError that names the place of what is wrong."""
    import yaml  # noqa: PLC0415 - only this command needs it

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise CliError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CliError(f"{path} must hold an object with keys such as steps, or name and source")
    return content


def request_of(given: Json, **flags: Any) -> Json:
    """A file's request with what flags say otherwise."""
    request = {**given, **{key: value for key, value in flags.items() if value}}
    if isinstance(request.get("pipeline"), dict):
        request["pipeline"] = _whole_pipeline(request["pipeline"])
    if isinstance(request.get("source"), dict):
        request["source"] = {kind: _whole_source(told) for kind, told in request["source"].items()}
    return request


def pipeline_of(given: Json, *, series: str, time: str, steps: Steps) -> Json:
    """A file's pipeline with the steps of flags behind its own."""
    given = given.get("pipeline", given) if "steps" not in given else given
    made = {**given, **({"seriesColumn": series} if series else {}), **({"timeColumn": time} if time else {})}
    more = steps.messages()
    return {**made, "steps": [*made.get("steps", []), *more]} if more else made


def source_dataset(text: str) -> Json:
    """DATA_ID or DATA_ID:VERSION."""
    data_id, _, version = text.partition(":")
    if version and not version.isdigit():
        raise CliError(f"--dataset {text!r} is not DATA_ID or DATA_ID:VERSION")
    return {"dataId": data_id, **({"version": int(version)} if version else {})}


def pairs(texts: Sequence[str], flag: str) -> dict[str, str]:
    """KEY=VALUE, each."""
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise CliError(f"{flag} {text!r} is not KEY=VALUE")
        found[key] = value
    return found


def labels_of(texts: Sequence[str]) -> dict[str, str]:
    """Of --label."""
    return pairs(texts, "--label")


def _fill(text: str) -> Json:
    try:
        return {"method": "VALUE", "value": float(text)}
    except ValueError:
        return {"method": text}


def _window(text: str) -> Json:
    numbers = text.split(":")
    if len(numbers) > _MOST_WINDOW_NUMBERS or not all(number.isdigit() for number in numbers):
        raise CliError(f"--window {text!r} is not LENGTH[:STRIDE[:HORIZON]]")
    return dict(zip(("length", "stride", "horizon"), map(int, numbers), strict=False))


def _whole_pipeline(pipeline: Json) -> Json:
    steps = pipeline.get("steps", [])
    if not isinstance(steps, list):
        raise CliError("steps of a pipeline are a list")
    return {**pipeline, "steps": [_whole_step(step) for step in steps]}


def _whole_step(step: Any) -> Any:
    if not isinstance(step, dict):
        raise CliError(f"a step of a pipeline is an object such as {{fill: {{method: mean}}}}, not {step!r}")
    return {kind: _whole_kind(kind, told) for kind, told in step.items()}


def _whole_kind(kind: str, told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    told = {
        key: _whole(value, _METHODS[kind, key]) if (kind, key) in _METHODS else value for key, value in told.items()
    }
    if kind == "cast" and isinstance(told.get("types"), dict):
        told["types"] = {column: _whole(name, _TYPE) for column, name in told["types"].items()}
    if kind == "validate" and isinstance(told.get("expectations"), list):
        told["expectations"] = [_whole_expectation(each) for each in told["expectations"]]
    return told


def _whole_expectation(told: Any) -> Any:
    return {**told, "type": _whole(told["type"], _TYPE)} if isinstance(told, dict) and "type" in told else told


def _whole_source(told: Any) -> Any:
    options = told.get("options") if isinstance(told, dict) else None
    if not isinstance(options, dict) or "format" not in options:
        return told
    return {**told, "options": {**options, "format": _whole(options["format"], _FORMAT)}}


def _whole(name: Any, prefix: str) -> Any:
    if not isinstance(name, str) or name.startswith(prefix):
        return name
    return prefix + name.upper().replace("-", "_")
