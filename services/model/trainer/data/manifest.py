"""What the data service says about a version of a dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.model.domain.training.errors import DataDamaged

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True, slots=True)
class PartFiles:
    """A part: its rows, and the first row of each window (None where nothing was cut)."""

    rows: Path
    windows: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The parts of a version, how they were cut (0: they were not) and which columns are no measures."""

    parts: Mapping[str, PartFiles]
    length: int
    stride: int
    horizon: int
    series_column: str
    time_column: str
    digest: str


def read_manifest(path: Path) -> Manifest:
    """Raises DataDamaged when it cannot be read."""
    try:
        return _manifest(path.parent, json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataDamaged(f"{path.name} of the dataset cannot be read: {type(error).__name__}: {error}") from error


def _manifest(folder: Path, content: Mapping[str, Any]) -> Manifest:
    window = content.get("window") or {}
    length = int(window.get("length") or 0)
    return Manifest(
        parts={part["name"]: _part(folder, part) for part in content["parts"]},
        length=length,
        stride=int(window.get("stride") or length),
        horizon=int(window.get("horizon") or 0),
        series_column=content.get("series_column") or "",
        time_column=content.get("time_column") or "",
        digest=content.get("digest") or "",
    )


def _part(folder: Path, part: Mapping[str, Any]) -> PartFiles:
    windows = part.get("windows_file")
    return PartFiles(folder / part["file"], folder / windows if windows else None)
