"""A version of a model: what a run left behind. It never changes. Pure.

`signature` and `spec` are the messages Signature and TrainingSpec as JSON with the proto's field names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from automesh.core.errors import ValidationError
from services.model.domain.registry.errors import FileNotInVersion

MAX_FILES = 200
MAX_METRICS = 500
WEIGHTS, ONNX = "model.safetensors", "model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A file of a version, for example "plots/loss.png"; `blob` is where its bytes are."""

    name: str
    content_type: str
    size: int
    sha256: str
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What a run hands over. `size` is that of the weights in bytes, `digest` their SHA-256."""

    metrics: Mapping[str, float]
    signature: Mapping[str, Any]
    size: int
    parameters: int
    digest: str
    files: tuple[ModelFile, ...]
    spec: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)
    data_id: str = ""
    data_version: int = 0
    created_by: str = ""

    def __post_init__(self) -> None:
        if len(self.files) > MAX_FILES or len(self.metrics) > MAX_METRICS:
            raise ValidationError(
                f"a version has at most {MAX_FILES} files and {MAX_METRICS} metrics, not {len(self.files)} and "
                f"{len(self.metrics)}",
                field="files",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A stored version. `aliases` are those that point at it now."""

    tenant_id: str
    model_id: str
    version: int
    run_id: str
    content: NewVersion
    created_at: datetime
    aliases: tuple[str, ...] = ()

    def file(self, name: str) -> ModelFile:
        """The file of that name. Raises FileNotInVersion, which names those there are."""
        for each in self.content.files:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.content.files[:20]) or "none"
        raise FileNotInVersion(
            f"version {self.version} of model {self.model_id} has no file {name[:200]!r}; it has {known}",
            modelId=self.model_id,
            version=self.version,
            name=name[:200],
        )

    @property
    def served_size(self) -> int:
        """Bytes of the file that is served: ONNX where there is one, else the weights."""
        sizes = {each.name: each.size for each in self.content.files}
        return sizes.get(ONNX, sizes.get(WEIGHTS, self.content.size))
