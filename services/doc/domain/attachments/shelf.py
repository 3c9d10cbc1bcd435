"""The use cases around attachments: stored once by content, kept in versions, read verified."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import timedelta

from automesh.core.errors import ValidationError
from services.doc.domain.attachments.attachment import (
    Attachment,
    NewAttachment,
    attachment_path,
    check_sha256,
)
from services.doc.domain.attachments.errors import AttachmentDamaged, quota_exceeded, too_large
from services.doc.domain.attachments.media_type import START_BYTES, media_type
from services.doc.domain.attachments.ports import AttachmentStore, BlobLedger, Blobs
from services.doc.domain.branches.branch import check_name
from services.doc.domain.documents.path import folder_prefix
from services.doc.domain.spaces.access import Person, check_unprotected
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole

MAX_CHUNK = 1024 * 1024
RESERVED_FOR = timedelta(days=1)


class AttachmentShelf:
    """Files of spaces. `quota` are the bytes that a tenant may keep."""

    def __init__(
        self,
        store: AttachmentStore,
        ledger: BlobLedger,
        blobs: Blobs,
        directory: SpaceDirectory,
        *,
        make_id: Callable[[str], str],
        max_bytes: int,
        quota: int,
    ) -> None:
        self._store, self._ledger, self._blobs, self._directory = store, ledger, blobs, directory
        self._make_id, self._max_bytes, self._quota = make_id, max_bytes, quota

    async def put(
        self,
        person: Person,
        space: str,
        branch: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        expected_sha256: str = "",
    ) -> Attachment:
        """Stores a file, for somebody who may write there. Nothing of it remains when it is refused or cut.

        Raises what `keep` does, SpaceNotFound, PermissionDenied, BranchProtected.
        """
        await self._writable(person, space, branch)
        return await self.keep(person, space, branch, path, chunks, expected_sha256=expected_sha256)

    async def keep(
        self,
        person: Person,
        space: str,
        branch: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        expected_sha256: str = "",
    ) -> Attachment:
        """The same for one who is allowed to already (imports, restores).

        Raises AttachmentChanged, AttachmentTooLarge, AttachmentQuotaExceeded, PathTaken, BranchNotFound.
        """
        checked, expected = attachment_path(path), check_sha256(expected_sha256)
        used = await self._store.used(person.tenant_id)
        if used >= self._quota:
            raise quota_exceeded(used, self._quota)
        blob = f"doc/attachments/{self._make_id('att')}"
        await self._ledger.reserve(blob, RESERVED_FOR)
        passing = _Passing(chunks, self._max_bytes)
        stored = await self._blobs.put(blob, passing)
        new = NewAttachment(
            tenant_id=person.tenant_id,
            space=space,
            branch=branch,
            path=checked,
            content_type=media_type(bytes(passing.start), whole=stored.size == len(passing.start)),
            size=stored.size,
            sha256=stored.sha256,
            blob=blob,
            created_by=person.user,
            expected=expected,
        )
        return await self._store.put(new, quota=self._quota)

    async def get(self, person: Person, space: str, branch: str, path: str) -> Attachment:
        """What is at a path. Raises AttachmentNotFound."""
        await self._directory.find(person, space)
        return await self._store.get(person.tenant_id, space, branch, attachment_path(path))

    async def found(self, person: Person, space: str, branch: str, path: str, *, revision_id: str = "") -> Attachment:
        """The same, or what was there when a revision was written: revisions keep what they show."""
        if not revision_id:
            return await self.get(person, space, branch, path)
        await self._directory.find(person, space)
        return await self._store.shown(person.tenant_id, space, attachment_path(path), revision_id)

    async def read(self, tenant_id: str, sha256: str) -> AsyncGenerator[bytes]:
        """A content in chunks, verified: its last chunk comes only when all of it is what its hash says.

        Raises AttachmentNotFound, AttachmentDamaged.
        """
        stored = await self._store.blob(tenant_id, sha256)
        digest, held = hashlib.sha256(), b""
        async for chunk in self._blobs.get(stored.name):
            if held:
                yield held
            digest.update(chunk)
            held = chunk
        if digest.hexdigest() != sha256:
            raise AttachmentDamaged(
                f"the file {sha256[:12]}... is another than its hash says: restore it from a backup"
            )
        if held:
            yield held

    async def list(
        self, person: Person, space: str, branch: str, *, prefix: str = "", limit: int, after: str = ""
    ) -> Sequence[Attachment]:
        """A page by path, of a folder or of all."""
        await self._directory.find(person, space)
        folder = folder_prefix(prefix)
        return await self._store.list(person.tenant_id, space, branch, prefix=folder, limit=limit, after=after)

    async def delete(self, person: Person, space: str, branch: str, path: str) -> None:
        """Takes a file off its branch; earlier revisions keep it. Raises AttachmentNotFound where none ever was."""
        await self._writable(person, space, branch)
        await self._store.delete(person.tenant_id, space, branch, attachment_path(path), person.user)

    async def sweep(self, limit: int) -> int:
        """Deletes blobs whose time has come; how many."""
        blobs = await self._ledger.discarded(limit)
        for blob in blobs:
            await self._blobs.delete(blob)
        await self._ledger.swept(blobs)
        return len(blobs)

    async def discard_orphans(self, limit: int) -> int:
        """Contents that nothing refers to wait a day for somebody who stores them again, then go; how many."""
        return await self._store.discard_orphans(RESERVED_FOR, limit)

    async def _writable(self, person: Person, space: str, branch: str) -> None:
        found = await self._directory.find(person, space, MemberRole.WRITER)
        check_name(branch)
        check_unprotected(found, branch, "store the file on a branch")


class _Passing:
    """Bounds what passes and keeps its first bytes."""

    def __init__(self, chunks: AsyncIterator[bytes], max_bytes: int) -> None:
        self._chunks, self._max_bytes = chunks, max_bytes
        self.start = bytearray()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._chunks:
            if len(chunk) > MAX_CHUNK:
                raise ValidationError(f"a chunk of {len(chunk)} bytes is more than {MAX_CHUNK}", field="content")
            size += len(chunk)
            if size > self._max_bytes:
                raise too_large(self._max_bytes)
            self.start += chunk[: START_BYTES - len(self.start)]
            yield chunk
