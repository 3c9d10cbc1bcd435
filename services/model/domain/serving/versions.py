"""What serving needs to know of a version, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """What goes in or comes out: a name, a datatype of the protocol, and sizes (-1 for the batch)."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How requests for a model are gathered into batches."""

    max_rows: int = 64
    """Windows of one batch at most; a single larger request is a batch of its own."""
    max_delay_s: float = 0.0
    """How long the first request of a batch may wait for others."""
    max_queue: int = 1000
    """Requests that may wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """A version as serving sees it."""

    tenant_id: str
    model_id: str
    name: str
    version: int
    input: TensorSpec
    output: TensorSpec
    classes: tuple[str, ...] = ()
    """Classification: the class of each score."""
    limits: BatchLimits = BatchLimits()

    @property
    def key(self) -> tuple[str, str, int]:
        """Names it among all versions."""
        return self.tenant_id, self.model_id, self.version


class VersionSource(Protocol):
    """Where serving finds versions."""

    async def resolve(self, tenant_id: str, model: str, version: str) -> ServedVersion:
        """`model` is an id or a name; `version` a number, an alias, or empty: the champion, else the latest.

        Raises ModelNotFound or VersionNotFound.
        """

    async def fetch(self, version: ServedVersion, name: str) -> bytes:
        """A file of the version, such as "model.onnx"."""

    async def listed(self, tenant_id: str, *, most: int) -> Sequence[ServedVersion]:
        """The versions that aliases point at, and the latest of each model."""

    async def versions(self, tenant_id: str, model_id: str, *, most: int) -> Sequence[int]:
        """The versions of a model, the newest first."""
