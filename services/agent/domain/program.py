"""What a program that works on a task may say: one JSON object a line, told apart by its `kind`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from automesh.core.errors import AutomationError, Kind

MAX_TEXT = 2000
MAX_FILES = 10_000
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,62}")


class ProgramGarbled(AutomationError):
    """A program broke the contract: saying it again would not help."""

    kind = Kind.PRECONDITION
    reason = "PROGRAM_GARBLED"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """It is alive, and moves."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`fraction` is from 0 to 1."""

    fraction: float
    message: str


@dataclass(frozen=True, slots=True)
class Points:
    """Values of metrics, and how far the training is (RunProgress as protojson; may be empty)."""

    points: tuple[Mapping[str, Any], ...]
    progress: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Environment:
    """Hardware, versions, digests."""

    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder below `out/` is complete."""

    folder: str
    step: int
    best: bool


@dataclass(frozen=True, slots=True)
class Done:
    """The last word of a program that has done its work."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The last word of a program that could not."""

    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """The last word of a program that was told to stop."""


Event: TypeAlias = Heartbeat | Progress | Points | Environment | Checkpoint | Done | Failed | Stopped
End: TypeAlias = Done | Failed | Stopped


def event_from_line(line: str) -> Event | None:
    """None for what is no JSON object with a `kind` that is known. Raises ProgramGarbled for one with wrong fields."""
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    maker = _MAKERS.get(str(said.get("kind")))
    if maker is None:
        return None
    try:
        return maker(said)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProgramGarbled(f"a program said {line[:200]!r}: {type(error).__name__} {error}") from error


def file_names(result: Mapping[str, Any]) -> Sequence[str]:
    """Names of the files below `out/` that a result lists under `files`. Raises ProgramGarbled."""
    files = result.get("files", [])
    if not isinstance(files, list) or not all(isinstance(file, Mapping) and "name" in file for file in files):
        raise ProgramGarbled("a program named its files in a way nobody understands")
    if len(files) > MAX_FILES:
        raise ProgramGarbled(f"a program left {len(files)} files: at most {MAX_FILES}")
    return [str(file["name"]) for file in files]


def _progress(said: Mapping[str, Any]) -> Progress:
    fraction = float(said["fraction"])
    if math.isnan(fraction):
        raise ValueError("fraction is not a number")
    return Progress(min(max(fraction, 0.0), 1.0), str(said.get("message", ""))[:MAX_TEXT])


def _points(said: Mapping[str, Any]) -> Points:
    points = tuple(_mapping(point) for point in said["points"])
    return Points(points, _mapping(said.get("progress") or {}))


def _failed(said: Mapping[str, Any]) -> Failed:
    reason = str(said["reason"])
    if not _REASON.fullmatch(reason):
        raise ValueError("reason is not UPPER_SNAKE")
    return Failed(reason, str(said["message"])[:MAX_TEXT], said.get("retryable") is True)


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("it must be an object")
    return value


_MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Event]] = {
    "heartbeat": lambda _: Heartbeat(),
    "progress": _progress,
    "points": _points,
    "environment": lambda said: Environment(_mapping(said["environment"])),
    "checkpoint": lambda said: Checkpoint(str(said["folder"]), int(said["step"]), said.get("best") is True),
    "done": lambda said: Done(_mapping(said["result"])),
    "failed": _failed,
    "stopped": lambda _: Stopped(),
}
