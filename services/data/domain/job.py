"""What the program that makes a version is told (job.json), and which files it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.data.domain.errors import version_not_ready
from services.data.domain.order import DATASET, GENERATOR, UPLOAD, URL
from services.data.domain.ports import UploadStore, VersionStore
from services.data.domain.upload import Upload, plain_name
from services.data.domain.version import FileInfo, State, StoredFile, Version

MANIFEST = "source/manifest.json"
STATISTICS = "statistics.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one job; bytes where not said otherwise. `memory` 0: no limit."""

    max_rows: int
    max_columns: int
    max_bytes: int
    max_cell: int
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Input:
    """A file that the program needs below `in/`: a blob, or content that is known here."""

    info: FileInfo
    blob: str = ""
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Job:
    """job.json and the files beside it."""

    told: Mapping[str, Any]
    inputs: Sequence[Input]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Which engine carries pipelines out: "polars" on one machine, "ray" on the cluster at `ray_address`."""

    name: str = "polars"
    ray_address: str = ""


class JobWriter:
    """Writes the jobs of versions."""

    def __init__(self, versions: VersionStore, uploads: UploadStore, *, engine: Engine, limits: Limits) -> None:
        self._versions, self._uploads = versions, uploads
        self._engine, self._limits = engine, limits

    async def job(self, version: Version) -> Job:
        """The job of a version. Raises NotFound for what has been deleted since, VersionNotReady."""
        source, inputs = await self._source(version)
        references = {}
        for data_id, number in version.recipe.references:
            file = (await self._ready_files(version.tenant_id, data_id, number))[STATISTICS]
            name = f"ref/{data_id}-{number}.{STATISTICS}"
            references[f"{data_id}/{number}"] = name
            inputs.append(Input(FileInfo(name, file.info.size, file.info.sha256), file.blob))
        told = {
            "op": "process",
            "engine": self._engine.name,
            "ray_address": self._engine.ray_address,
            "pipeline": version.recipe.pipeline,
            "source": source,
            "references": references,
            "limits": asdict(self._limits),
        }
        return Job(told, inputs)

    async def _source(self, version: Version) -> tuple[dict[str, Any], list[Input]]:
        origin, told = version.recipe.origin, version.recipe.source
        if origin.kind == GENERATOR:
            return {"kind": "generator", "generator": told[GENERATOR]}, []
        if origin.kind == DATASET:
            return {"kind": "version", "manifest": MANIFEST}, await self._dataset(version)
        upload = await self._uploads.get(version.tenant_id, version.upload_id or origin.id)
        options = dict(told[UPLOAD if origin.kind == UPLOAD else URL].get("options", {}))
        if not options.get("format") and upload.format:
            options["format"] = upload.format
        given = _given(upload)
        return {"kind": "files", "files": [{"name": given.info.name, "options": options}]}, [given]

    async def _dataset(self, version: Version) -> list[Input]:
        origin = version.recipe.origin
        source = await self._versions.get(version.tenant_id, origin.id, origin.version)
        files = await self._ready_files(version.tenant_id, origin.id, origin.version)
        manifest = json.dumps(source.manifest).encode()
        digest = hashlib.sha256(manifest).hexdigest()
        parts = [files[part["file"]] for part in source.manifest["parts"]]
        return [
            Input(FileInfo(MANIFEST, len(manifest), digest), content=manifest),
            *(
                Input(FileInfo(f"source/{file.info.name}", file.info.size, file.info.sha256), file.blob)
                for file in parts
            ),
        ]

    async def _ready_files(self, tenant_id: str, data_id: str, number: int) -> Mapping[str, StoredFile]:
        found = await self._versions.get(tenant_id, data_id, number)
        if found.state is not State.READY:
            raise version_not_ready(data_id, number, found.state)
        return await self._versions.files(tenant_id, data_id, number)


def _given(upload: Upload) -> Input:
    return Input(FileInfo(plain_name(upload.name), upload.size, upload.sha256), upload.blob)
