"""The request of `automesh data process` out of files and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from automesh.cli.api import Json
from automesh.cli.errors import CliError
from automesh.cli.messages import with_whole_names
from automesh.data.v1.data_service_pb2 import ProcessDataRequest

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


def request_of(given: Json, **flags: Any) -> Json:
    """A file's request with what flags say otherwise."""
    request = {**given, **{key: value for key, value in flags.items() if value}}
    whole: Json = with_whole_names(request, ProcessDataRequest.DESCRIPTOR)
    return whole


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
