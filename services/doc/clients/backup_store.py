"""Backups in a blob store: sealed there with the keyring, each tenant in a folder of its own.

<tenant>/heads/<backup>             what is listed; written last, removed first
<tenant>/manifests/<backup>         all pieces that it shows
<tenant>/pieces/<backup>/<sha256>   pieces that it wrote, compressed
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import structlog
import zstandard

from automesh.core.errors import ValidationError
from automesh.storage.blobs import BlobNotFound, BlobStore
from automesh.storage.sealing import SealBroken
from services.doc.domain.backups.backup import Backup, Manifest, Piece
from services.doc.domain.backups.errors import BackupDamaged, BackupNotFound, backup_not_found

log = structlog.get_logger(__name__)

LEVEL = 6
CHUNK = 1024 * 1024
MAX_HEAD, MAX_PIECE, MAX_MANIFEST = 16 * CHUNK, 96 * CHUNK, 1024 * CHUNK
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DAMAGE = (SealBroken, BlobNotFound, zstandard.ZstdError, ValueError, KeyError, TypeError)


class BlobBackupStore:
    """A services.doc.domain.backups.ports.BackupStore."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def list(self, tenant_id: str) -> Sequence[Backup]:
        prefix = f"{_folder(tenant_id)}/heads"
        names = [entry.name async for entry in self._blobs.list(prefix)]
        found: list[Backup] = []
        for name in sorted(names, reverse=True):
            try:
                found.append(await self.get(tenant_id, name.rpartition("/")[2]))
            except BackupNotFound:
                continue  # it was removed a moment ago
            except BackupDamaged as error:
                log.warning("a backup cannot be read", name=name, error=error.message)
        return sorted(found, key=lambda each: each.backup_id, reverse=True)

    async def get(self, tenant_id: str, backup_id: str) -> Backup:
        name = f"{_folder(tenant_id)}/heads/{_checked(backup_id)}"
        try:
            backup = Backup.of_json(await self._whole(name, MAX_HEAD))
        except BlobNotFound as error:
            raise backup_not_found(backup_id) from error
        except _DAMAGE as error:
            raise _damaged("head", backup_id, error) from error
        return backup

    async def manifest(self, tenant_id: str, backup: Backup) -> Manifest:
        name = f"{_folder(tenant_id)}/manifests/{_checked(backup.backup_id)}"
        try:
            content = await asyncio.to_thread(_unpacked, await self._whole(name, MAX_MANIFEST), MAX_MANIFEST)
            if hashlib.sha256(content).hexdigest() != backup.manifest:
                raise ValueError("it is another than its hash says")
            return await asyncio.to_thread(Manifest.of_json, content)
        except _DAMAGE as error:
            raise _damaged("list of pieces", backup.backup_id, error) from error

    async def put(self, tenant_id: str, backup_id: str, content: bytes) -> tuple[Piece, int]:
        piece = Piece(_checked(backup_id), hashlib.sha256(content).hexdigest(), len(content))
        packed = await asyncio.to_thread(zstandard.compress, content, LEVEL)
        await self._blobs.put(_piece_name(tenant_id, piece), _chunks(packed))
        return piece, len(packed)

    async def read(self, tenant_id: str, piece: Piece) -> bytes:
        try:
            packed = await self._whole(_piece_name(tenant_id, piece), MAX_PIECE)
            content = await asyncio.to_thread(_unpacked, packed, MAX_PIECE)
        except _DAMAGE as error:
            raise _damaged(f"piece {piece.sha256[:12]}...", piece.owner, error) from error
        if hashlib.sha256(content).hexdigest() != piece.sha256:
            raise _damaged(f"piece {piece.sha256[:12]}...", piece.owner, ValueError("another than its hash says"))
        return content

    async def finish(self, tenant_id: str, backup: Backup, manifest: Manifest) -> Backup:
        content = await asyncio.to_thread(manifest.to_json)
        packed = await asyncio.to_thread(zstandard.compress, content, LEVEL)
        folder, backup_id = _folder(tenant_id), _checked(backup.backup_id)
        await self._blobs.put(f"{folder}/manifests/{backup_id}", _chunks(packed))
        backup = replace(backup, manifest=hashlib.sha256(content).hexdigest(), size=backup.size + len(packed))
        await self._blobs.put(f"{folder}/heads/{backup_id}", _chunks(backup.to_json()))
        return backup

    async def clear(self, tenant_id: str, backup_id: str) -> None:
        folder, checked = _folder(tenant_id), _checked(backup_id)
        await self._blobs.delete(f"{folder}/heads/{checked}")
        await self._blobs.delete(f"{folder}/manifests/{checked}")
        names = [entry.name async for entry in self._blobs.list(f"{folder}/pieces/{checked}")]
        for name in names:
            await self._blobs.delete(name)

    async def sweep(self, tenant_id: str) -> None:
        """Nothing while a head cannot be read: who knows on what that backup builds."""
        whole = await self.list(tenant_id)
        heads = await self._ids(tenant_id, "heads")
        if len(whole) < len(heads):
            return
        needed = heads.union(*(each.bases for each in whole))
        for backup_id in sorted(await self._ids(tenant_id, "pieces") | await self._ids(tenant_id, "manifests")):
            if backup_id not in needed:
                await self.clear(tenant_id, backup_id)

    async def _ids(self, tenant_id: str, part: str) -> set[str]:
        """Of backups that have something there."""
        folder = f"{_folder(tenant_id)}/{part}"
        return {entry.name.removeprefix(f"{folder}/").partition("/")[0] async for entry in self._blobs.list(folder)}

    async def _whole(self, name: str, most: int) -> bytes:
        content = bytearray()
        async for chunk in self._blobs.get(name):
            content += chunk
            if len(content) > most:
                raise ValueError(f"it has more than {most} bytes")
        return bytes(content)


def _piece_name(tenant_id: str, piece: Piece) -> str:
    return f"{_folder(tenant_id)}/pieces/{_checked(piece.owner)}/{piece.sha256}"


def _folder(tenant_id: str) -> str:
    """A name that a blob may have, and no two tenants share."""
    if _PLAIN.fullmatch(tenant_id):
        return f"tenant={tenant_id}"
    return f"tenant-sha256={hashlib.sha256(tenant_id.encode()).hexdigest()}"


def _checked(backup_id: str) -> str:
    if not _PLAIN.fullmatch(backup_id):
        raise ValidationError(f"{backup_id[:80]!r} is no id of a backup", field="backup_id")
    return backup_id


def _unpacked(packed: bytes, most: int) -> bytes:
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=most)


def _damaged(what: str, backup_id: str, error: Exception) -> BackupDamaged:
    why = "it is not there" if isinstance(error, BlobNotFound) else str(error) or type(error).__name__
    return BackupDamaged(f"the {what} of {backup_id} is damaged: {why}", backupId=backup_id)


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK):
        yield content[start : start + CHUNK]
