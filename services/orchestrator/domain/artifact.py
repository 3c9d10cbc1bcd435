"""A file that a task left behind: what is known of it, and which names and media types are allowed."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError

MAX_NAME = 512
_MEDIA_TYPE = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,64}/[a-zA-Z0-9!#$&^_.+-]{1,64}(;[ -~]{0,128})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file of a task: where its bytes are (`blob`), how many, and their SHA-256."""

    task_id: str
    name: str
    content_type: str
    size: int
    sha256: str
    blob: str
    created_at: datetime | None = None


def check_name(name: str) -> None:
    """Raises ValidationError unless `name` is a plain relative path."""
    if not name or len(name) > MAX_NAME:
        raise ValidationError(f"an artifact's name has 1 to {MAX_NAME} characters, not {len(name)}", field="name")
    if "\\" in name or not name.isprintable():
        raise ValidationError("an artifact's name has no backslash and no control character", field="name")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise ValidationError(
            f"{name!r} is not a relative path: no leading, trailing or double '/', no '.' and no '..' folders",
            field="name",
        )


def media_type(given: str, name: str) -> str:
    """`given`, else what the name suggests."""
    guessed = given or mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
    if not _MEDIA_TYPE.fullmatch(guessed):
        raise ValidationError(f"content_type {guessed[:80]!r} is not a media type", field="content_type")
    return guessed
