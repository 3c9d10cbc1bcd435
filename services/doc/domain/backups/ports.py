"""What backups need from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.doc.domain.backups.backup import Backup, Manifest, Piece
from services.doc.domain.backups.tables import BackedTable, Row


class BackupStore(Protocol):
    """Where backups lie, encrypted; nothing of them is anywhere else."""

    async def list(self, tenant_id: str) -> Sequence[Backup]:
        """All that are whole, the newest first. A head that cannot be read is left out."""
        ...

    async def get(self, tenant_id: str, backup_id: str) -> Backup:
        """Raises BackupNotFound, BackupDamaged."""
        ...

    async def manifest(self, tenant_id: str, backup: Backup) -> Manifest:
        """Raises BackupDamaged."""
        ...

    async def put(self, tenant_id: str, backup_id: str, content: bytes) -> tuple[Piece, int]:
        """Stores a piece; how many bytes that took."""
        ...

    async def read(self, tenant_id: str, piece: Piece) -> bytes:
        """A piece, held against its hash. Raises BackupDamaged."""
        ...

    async def finish(self, tenant_id: str, backup: Backup, manifest: Manifest) -> Backup:
        """Makes it one that is listed; with the hash of its manifest."""
        ...

    async def clear(self, tenant_id: str, backup_id: str) -> None:
        """Removes it, its head first. One that is not there is no error."""
        ...

    async def sweep(self, tenant_id: str) -> None:
        """Removes what is of no backup: those that made it never came to an end. None may be made meanwhile."""
        ...


class Snapshot(Protocol):
    """All spaces of a tenant as they were at one moment."""

    @property
    def moment(self) -> datetime:
        """When."""
        ...

    @property
    def tables(self) -> Sequence[BackedTable]:
        """Those that there are."""
        ...

    async def spaces(self) -> Sequence[str]:
        """By name."""
        ...

    async def count(self, space: str) -> int:
        """Its documents."""
        ...

    def rows(self, space: str, table: BackedTable) -> AsyncIterator[Row]:
        """In the order of the key, with what is sealed in the clear."""
        ...

    async def bodies(self, hashes: Sequence[str]) -> Mapping[str, bytes]:
        """Texts by hash. Raises ContentDamaged."""
        ...

    def file(self, sha256: str) -> AsyncIterator[bytes]:
        """The content of an attachment. Raises AttachmentNotFound, AttachmentDamaged."""
        ...


class Snapshots(Protocol):
    """Opens snapshots."""

    def open(self, tenant_id: str) -> AbstractAsyncContextManager[Snapshot]:
        """One that stays as it is for as long as it is entered."""
        ...


@dataclass(frozen=True, slots=True)
class DocumentRows:
    """A document as a backup has it: rows by table."""

    document_id: str
    rows: Mapping[str, Sequence[Row]]

    @property
    def path(self) -> str:
        """For people."""
        heads = self.rows.get("head", ())
        return str(heads[0]["path"]) if heads else self.document_id


class Restorer(Protocol):
    """Brings rows back, for one tenant; what is there already stays as it is."""

    async def exists(self, tenant_id: str, space: str) -> bool:
        """Whether there is a space of that name."""
        ...

    async def begin(self, tenant_id: str, space: str, rows: Mapping[str, Sequence[Row]]) -> None:
        """A new space with its members and branches; of one that exists, the branches that it lacks."""
        ...

    async def known(self, tenant_id: str, document_ids: Collection[str]) -> Collection[str]:
        """Those that are there already."""
        ...

    async def add(
        self, tenant_id: str, space: str, documents: Sequence[DocumentRows], bodies: Mapping[str, bytes]
    ) -> None:
        """Documents that are not there, with their histories: all or nothing. Raises PathTaken."""
        ...

    async def missing_files(self, tenant_id: str, hashes: Collection[str]) -> Collection[str]:
        """Those contents of attachments that are not there."""
        ...

    async def add_file(self, tenant_id: str, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """The content of an attachment."""
        ...

    async def add_rows(self, tenant_id: str, space: str, table: BackedTable, rows: Sequence[Row]) -> tuple[int, int]:
        """How many came back, and how many could not since what they belong to is not there."""
        ...


class Tenants(Protocol):
    """Who has something to back up, and when that was done."""

    async def due(self, every: timedelta) -> Sequence[str]:
        """Tenants with spaces whose last backup that came by itself was asked for longer ago than that."""
        ...
