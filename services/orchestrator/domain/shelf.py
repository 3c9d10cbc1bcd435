"""The way in and out of the files that tasks leave behind, and their bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

from automesh.core.errors import PermissionDenied, ValidationError
from services.orchestrator.domain.artifact import Artifact, check_name, media_type
from services.orchestrator.domain.errors import ArtifactTooLarge, unknown_lease
from services.orchestrator.domain.lease import LeaseKey, LeaseTokens
from services.orchestrator.domain.ports import ArtifactStore, Blobs

MAX_CHUNK = 1024 * 1024
READ_CHUNK = 256 * 1024
RESERVED_FOR = timedelta(days=1)


class ArtifactShelf:
    """Takes files in under a lease and gives them out to whoever may read the task."""

    def __init__(
        self,
        store: ArtifactStore,
        blobs: Blobs,
        tokens: LeaseTokens,
        *,
        make_id: Callable[[str], str],
        max_bytes: int,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._tokens = tokens
        self._make_id = make_id
        self._max_bytes = max_bytes

    async def upload(
        self, token: bytes, name: str, content_type: str, chunks: AsyncIterator[bytes], *, tenant_id: str
    ) -> Artifact:
        """Stores a file of a running task. An empty `tenant_id` is an agent of the platform.

        The lease is checked before the first byte and again in the transaction that makes the file visible.
        """
        check_name(name)
        content_type = media_type(content_type, name)
        lease_key = self._lease_key(token)
        owner = await self._store.tenant_of(lease_key)
        if tenant_id not in {"", owner}:
            raise PermissionDenied("the lease belongs to a task of another tenant")
        blob = f"artifacts/{lease_key.task_id}/{self._make_id('blob')}"
        await self._store.reserve(blob, RESERVED_FOR)
        stored = await self._blobs.put(blob, _bounded(chunks, self._max_bytes))
        artifact = Artifact(
            task_id=lease_key.task_id,
            name=name,
            content_type=content_type,
            size=stored.size,
            sha256=stored.sha256,
            blob=blob,
        )
        return await self._store.put(lease_key, artifact)

    async def list(self, tenant_id: str, task_id: str, *, limit: int, after: str | None) -> Sequence[Artifact]:
        """A page of the task's files, by name."""
        return await self._store.list(tenant_id, task_id, limit=limit, after=after)

    async def download(self, tenant_id: str, task_id: str, name: str) -> tuple[Artifact, AsyncIterator[bytes]]:
        """A file and its bytes in chunks of at most READ_CHUNK."""
        artifact = await self._store.get(tenant_id, task_id, name)
        return artifact, _sliced(self._blobs.get(artifact.blob))

    async def sweep(self, limit: int = 100) -> int:
        """Deletes blobs that nothing points at; returns how many."""
        blobs = await self._store.discarded(limit)
        for blob in blobs:
            await self._blobs.delete(blob)
        await self._store.swept(blobs)
        return len(blobs)

    def _lease_key(self, token: bytes) -> LeaseKey:
        lease_key = self._tokens.read(token)
        if lease_key is None:
            raise unknown_lease()
        return lease_key


async def _bounded(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        if len(chunk) > MAX_CHUNK:
            raise ValidationError(f"a chunk of {len(chunk)} bytes is more than {MAX_CHUNK}", field="chunk")
        size += len(chunk)
        if size > max_bytes:
            raise ArtifactTooLarge(
                f"an artifact has at most {max_bytes} bytes here: send less, or ask the operator to raise "
                "AUTOMESH_MAX_ARTIFACT_BYTES",
                field="chunk",
                limit=max_bytes,
            )
        yield chunk


async def _sliced(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        for start in range(0, len(chunk), READ_CHUNK):
            yield chunk[start : start + READ_CHUNK]
