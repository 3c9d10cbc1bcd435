"""What somebody asks to be made, and what it comes to once names like "the latest" are resolved."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from automesh.core.errors import ValidationError
from services.data.domain.dataset import NewDataset
from services.data.domain.errors import version_not_ready
from services.data.domain.ports import UploadStore, Urls, VersionStore
from services.data.domain.version import Json, Origin, Recipe, State

UPLOAD, DATASET, URL, GENERATOR = "upload", "dataset", "url", "generator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A version to be made: of the dataset `data_id`, or of a `new` one. Source and pipeline as JSON (snake_case)."""

    data_id: str = ""
    new: NewDataset | None = None
    source: Json = field(default_factory=dict)
    pipeline: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.data_id) == (self.new is not None):
            raise ValidationError(
                "give the data_id of a dataset for another version, or a name for a new one", field="data_id"
            )
        if not self.source and not self.data_id:
            raise ValidationError(
                "a new dataset needs a source of rows: an upload, a dataset, a url or a generator", field="source"
            )

    def fingerprint(self) -> bytes:
        """Equal for equal orders."""
        new = self.new
        asked = [
            self.data_id,
            self.source,
            self.pipeline,
            [new.name, new.description, dict(new.labels)] if new else None,
        ]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


class Resolver:
    """Makes recipes of orders: checks that what they name is there, and fixes which version is meant."""

    def __init__(self, versions: VersionStore, uploads: UploadStore, urls: Urls) -> None:
        self._versions, self._uploads, self._urls = versions, uploads, urls

    async def resolve(self, tenant_id: str, order: Order) -> Recipe:
        """Raises NotFound, VersionNotReady, UrlRefused, ValidationError."""
        source = copy.deepcopy(dict(order.source)) or {DATASET: {"data_id": order.data_id}}
        pipeline = copy.deepcopy(dict(order.pipeline))
        origin = await self._origin(tenant_id, source)
        references = [await self._reference(tenant_id, order, drift) for drift in _drifts(pipeline)]
        known = tuple(dict.fromkeys(reference for reference in references if reference[1]))
        return Recipe(source=source, pipeline=pipeline, origin=origin, references=known)

    async def _origin(self, tenant_id: str, source: dict[str, Any]) -> Origin:
        [(kind, told)] = source.items()
        if kind == UPLOAD:
            return await self._upload(tenant_id, told)
        if kind == DATASET:
            return await self._dataset(tenant_id, told)
        if kind == URL:
            self._urls.check(told.get("url", ""))
            return Origin(URL, told["url"].partition("?")[0])  # the rest may hold a signature: it stays sealed
        return Origin(GENERATOR, told.get("kind", "") or "sine")

    async def _upload(self, tenant_id: str, told: dict[str, Any]) -> Origin:
        upload_id = told.get("upload_id", "")
        if not upload_id:
            raise ValidationError("source.upload needs the upload_id that the upload returned", field="source.upload")
        upload = await self._uploads.get(tenant_id, upload_id)
        options = told.setdefault("options", {})
        if not options.get("format") and upload.format:
            options["format"] = upload.format
        return Origin(UPLOAD, upload.upload_id)

    async def _dataset(self, tenant_id: str, told: dict[str, Any]) -> Origin:
        found = await self._ready(tenant_id, told.get("data_id", ""), told.get("version", 0))
        told["version"] = found
        return Origin(DATASET, told["data_id"], found)

    async def _reference(self, tenant_id: str, order: Order, drift: dict[str, Any]) -> tuple[str, int]:
        """Of the dataset itself the first version has nothing to drift from: it is measured from then on."""
        own = not drift.get("data_id") or drift["data_id"] == order.data_id
        if own and not drift.get("version"):
            latest = await self._latest_of_own(tenant_id, order)
            if not latest:
                drift.pop("data_id", None)
                return order.data_id, 0
            drift["data_id"], drift["version"] = order.data_id, latest
            return order.data_id, latest
        if not drift.get("data_id"):
            drift["data_id"] = order.data_id
        drift["version"] = await self._ready(tenant_id, drift["data_id"], drift.get("version", 0))
        return drift["data_id"], drift["version"]

    async def _latest_of_own(self, tenant_id: str, order: Order) -> int:
        if not order.data_id:
            return 0
        newest = await self._versions.list(tenant_id, order.data_id, limit=100, before=None)
        return next((each.version for each in newest if each.state is State.READY), 0)

    async def _ready(self, tenant_id: str, data_id: str, version: int) -> int:
        found = await self._versions.get(tenant_id, data_id, version)
        if found.state is not State.READY:
            raise version_not_ready(data_id, found.version, found.state)
        return found.version


def _drifts(pipeline: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for step in pipeline.get("steps", ()):
        for expectation in step.get("validate", {}).get("expectations", ()):
            if "drift" in expectation:
                yield expectation["drift"]
