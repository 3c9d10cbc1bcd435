"""A version of a dataset: what it is made of, where it stands, and what came of it. READY ones never change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from automesh.core.errors import ValidationError

MAX_REQUEST_ID = 128
Json = Mapping[str, Any]


class State(StrEnum):
    """Where a version stands."""

    PROCESSING = "PROCESSING"
    READY = "READY"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a version could not be made."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What a version is made of: an `upload`, a `dataset` (with its version), a `url` or a `generator`."""

    kind: str
    id: str
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Source and pipeline, as their messages are written in JSON (snake_case), and what follows from them.

    `references` are the versions that drift is measured against.
    """

    source: Json
    pipeline: Json
    origin: Origin
    references: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are used together: "train", "validation" or "test"."""

    name: str
    rows: int
    file: str
    windows_file: str = ""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file: relative name, bytes, SHA-256 (hex)."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version, and the blob that holds it."""

    info: FileInfo
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the program made: checked, with the JSON it came as."""

    state: State
    rows: int
    size: int
    digest: str
    parts: Sequence[Part]
    files: Sequence[FileInfo]
    json: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version as it stands. `manifest` is there once READY or REJECTED, `failure` once FAILED."""

    tenant_id: str
    data_id: str
    version: int
    state: State
    recipe: Recipe
    task_id: str = ""
    upload_id: str = ""
    created_by: str
    created_at: datetime
    finished_at: datetime | None = None
    rows: int = 0
    size: int = 0
    digest: str = ""
    manifest: Json = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def finished(self) -> bool:
        """Whether it stays as it is."""
        return self.state is not State.PROCESSING

    def result(self) -> dict[str, Any]:
        """The result of the task that made it."""
        return {
            "data_id": self.data_id,
            "version": self.version,
            "state": str(self.state),
            "rows": self.rows,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version that is to be made."""

    tenant_id: str
    data_id: str
    recipe: Recipe
    created_by: str
    task_id: str = ""
    request_id: str = ""
    fingerprint: bytes = b""

    def __post_init__(self) -> None:
        if len(self.request_id) > MAX_REQUEST_ID or not self.request_id.isprintable():
            raise ValidationError(
                f"request_id has more than {MAX_REQUEST_ID} characters, or some that cannot be printed",
                field="request_id",
            )


def check_written(manifest: Manifest, written: Mapping[str, FileInfo]) -> None:
    """Raises ValidationError unless each file of the manifest was written under this claim, and is the same."""
    for info in manifest.files:
        if written.get(info.name) != info:
            what = "is another one" if info.name in written else "was never written"
            raise ValidationError(f"the file {info.name!r} of the manifest {what}: write it first", field="manifest")
