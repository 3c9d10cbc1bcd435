"""Files that travel between the agent and the services: what is known of them, and where they may be put."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from automesh.core.errors import AutomationError, Kind, ValidationError

MAX_NAME = 500


class FileDamaged(AutomationError):
    """What arrived is not what was sent; fetching it again may help."""

    kind = Kind.UNAVAILABLE
    reason = "FILE_DAMAGED"


class FileMissing(AutomationError):
    """A program names a file that it has not written."""

    kind = Kind.PRECONDITION
    reason = "FILE_MISSING"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """`name` is a relative path with "/" between folders; `sha256` has 64 hexadecimal digits."""

    name: str
    size: int
    sha256: str


def place(folder: Path, name: str) -> Path:
    """Where in `folder` a file of that name belongs. Raises ValidationError for a name that leads out of it."""
    path = PurePosixPath(name)
    if not name or len(name) > MAX_NAME or "\0" in name or path.is_absolute() or {"..", "."} & set(name.split("/")):
        raise ValidationError(f"{name[:MAX_NAME]!r} is no relative path of a file", field="name")
    return folder / path
