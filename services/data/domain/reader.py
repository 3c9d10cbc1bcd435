"""Reads what versions hold: first rows, statistics, whole parts, and all files for training."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from automesh.core.errors import PermissionDenied, ValidationError
from services.data.domain.errors import PartNotFound, version_damaged, version_not_ready
from services.data.domain.job import STATISTICS
from services.data.domain.ports import Blobs, Converter, Tasks, VersionStore
from services.data.domain.streams import sliced, whole
from services.data.domain.upload import PARQUET
from services.data.domain.version import FileInfo, State, StoredFile, Version

PREVIEW = "preview.json"
DEFAULT_ROWS, MAX_ROWS = 20, 100
MAX_JSON_BYTES = 64 * 1024 * 1024
_INNER_FILES = frozenset({PREVIEW})


@dataclass(frozen=True, slots=True)
class Opened:
    """A version of a READY dataset, its files, and the name of the part that is meant."""

    version: Version
    files: Mapping[str, StoredFile]
    part: Mapping[str, Any]


class DatasetReader:
    """Reads READY versions only."""

    def __init__(self, versions: VersionStore, blobs: Blobs, converter: Converter, tasks: Tasks) -> None:
        self._versions, self._blobs, self._converter, self._tasks = versions, blobs, converter, tasks

    async def preview(self, tenant_id: str, data_id: str, version: int, part: str, rows: int) -> Mapping[str, Any]:
        """Columns and first rows of a part: {"columns": [...], "rows": [[...], ...]}."""
        if not 0 <= rows <= MAX_ROWS:
            raise ValidationError(f"rows is from 1 to {MAX_ROWS} (0 means {DEFAULT_ROWS})", field="rows")
        opened = await self._open(tenant_id, data_id, version, part)
        found = await self._list(opened, PREVIEW, "rows")
        return {"columns": opened.version.manifest["columns"], "rows": found[: rows or DEFAULT_ROWS]}

    async def statistics(self, tenant_id: str, data_id: str, version: int, part: str) -> Sequence[Mapping[str, Any]]:
        """ColumnStatistics of a part, as JSON."""
        opened = await self._open(tenant_id, data_id, version, part)
        return await self._list(opened, STATISTICS)

    async def download(
        self, tenant_id: str, data_id: str, version: int, part: str, file_format: str
    ) -> AsyncGenerator[bytes, None]:
        """The rows of a part as a file, in chunks; `file_format` empty or Parquet: as stored."""
        opened = await self._open(tenant_id, data_id, version, part)
        stored = self._blobs.get(opened.files[opened.part["file"]].blob)
        if file_format in {"", PARQUET}:
            async for chunk in sliced(stored):
                yield chunk
            return
        async with self._converter.convert(stored, file_format) as converted:
            async for chunk in sliced(converted):
                yield chunk

    async def for_lease(
        self, lease_token: bytes, data_id: str, version: int, *, tenant_id: str, manifest_only: bool
    ) -> AsyncGenerator[bytes | FileInfo, None]:
        """The manifest, then for each file its description and its chunks, for the holder of a live lease."""
        lease = await self._tasks.lease(lease_token)
        if tenant_id not in {"", lease.tenant_id}:
            raise PermissionDenied("the lease belongs to a task of another tenant")
        opened = await self._open(lease.tenant_id, data_id, version, "")
        manifest = dict(opened.version.manifest) | {"data_id": data_id, "version": opened.version.version}
        yield json.dumps(manifest).encode()
        if manifest_only:
            return
        for name, file in opened.files.items():
            if name in _INNER_FILES:
                continue
            yield file.info
            async with aclosing(_closing(sliced(self._blobs.get(file.blob)))) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _open(self, tenant_id: str, data_id: str, version: int, part: str) -> Opened:
        if version < 0:
            raise ValidationError(f"version {version} is negative", field="version")
        found = await self._versions.get(tenant_id, data_id, version)
        if found.state is not State.READY:
            why = found.failure.message if found.failure else ""
            raise version_not_ready(data_id, found.version, found.state, why)
        parts = found.manifest["parts"]
        meant = next((each for each in parts if not part or each["name"] == part), None)
        if meant is None:
            names = ", ".join(each["name"] for each in parts)
            raise PartNotFound(f"version {found.version} of {data_id} has no part {part[:40]!r}, only {names}")
        return Opened(found, await self._versions.files(tenant_id, data_id, found.version), meant)

    async def _list(self, opened: Opened, name: str, *keys: str) -> list[Any]:
        """What a JSON file of the version holds for the part, below `keys`. Raises VersionDamaged for no list."""
        content = await whole(self._blobs.get(opened.files[name].blob), MAX_JSON_BYTES)
        try:
            found = await asyncio.to_thread(json.loads, content)  # of thousands of columns it is megabytes
            for key in (opened.part["name"], *keys):
                found = found[key]
            if not isinstance(found, list):
                raise TypeError("no list")
        except (ValueError, RecursionError, TypeError, LookupError) as error:
            raise version_damaged(opened.version.data_id, opened.version.version, name) from error
        return found


async def _closing(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield chunk
