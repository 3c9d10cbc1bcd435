"""What attachments need from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence
from datetime import timedelta
from typing import Protocol

from services.doc.domain.attachments.attachment import Attachment, NewAttachment, StoredBlob


class AttachmentStore(Protocol):
    """Which file is at which path of a branch, and was before. Anything of another tenant is not there."""

    async def used(self, tenant_id: str) -> int:
        """Bytes that the tenant's files take; equal ones count once."""
        ...

    async def put(self, new: NewAttachment, *, quota: int) -> Attachment:
        """Makes it what is at its path; the very same content changes nothing.

        Raises AttachmentChanged when something else is there than expected, PathTaken, BranchNotFound,
        AttachmentQuotaExceeded. Its blob is forgotten where the tenant has the content already.
        """
        ...

    async def get(self, tenant_id: str, space: str, branch: str, path: str) -> Attachment:
        """Raises AttachmentNotFound."""
        ...

    async def shown(self, tenant_id: str, space: str, path: str, revision_id: str) -> Attachment:
        """What was there, on its branch, when a revision of a document of the space was written.

        Raises RevisionNotFound, AttachmentNotFound.
        """
        ...

    async def list(
        self, tenant_id: str, space: str, branch: str, *, prefix: str, limit: int, after: str
    ) -> Sequence[Attachment]:
        """A page by path."""
        ...

    async def delete(self, tenant_id: str, space: str, branch: str, path: str, user: str) -> None:
        """Takes it off its path; what was taken off before is no error. Raises AttachmentNotFound."""
        ...

    async def blob(self, tenant_id: str, sha256: str) -> StoredBlob:
        """Raises AttachmentNotFound."""
        ...

    async def discard_orphans(self, keep_for: timedelta, limit: int) -> int:
        """Hands contents that nothing refers to any more over to the ledger; how many."""
        ...


class BlobLedger(Protocol):
    """Names of blobs that are to be deleted when their time has come, unless they are kept until then."""

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """Before the first byte is written; or with 0 to have it deleted."""
        ...

    async def discarded(self, limit: int) -> Sequence[str]:
        """Those whose time has come."""
        ...

    async def swept(self, blobs: Collection[str]) -> None:
        """They are deleted."""
        ...


class StoredInfo(Protocol):
    """What was stored."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def sha256(self) -> str:
        """Hexadecimal."""
        ...


class Blobs(Protocol):
    """Big things by name, encrypted: see automesh.storage.blobs.BlobStore."""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> StoredInfo:
        """All of it or nothing."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """In chunks of at most 1 MiB."""
        ...

    async def delete(self, name: str) -> None:
        """One that is not there is no error."""
        ...
