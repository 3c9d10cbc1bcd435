"""The way in for files: checked, bounded, sealed, and forgotten after a while."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from automesh.core.clock import Clock
from services.data.domain.errors import ChecksumMismatch, file_too_large, quota_exceeded
from services.data.domain.ports import BlobLedger, Blobs, UploadStore
from services.data.domain.streams import bounded
from services.data.domain.upload import NewUpload, Upload, guessed_format

RESERVED_FOR = timedelta(days=1)
_START = 64


class UploadIntake:
    """Takes files in. `quota` are the bytes that a tenant may keep, datasets included."""

    def __init__(
        self,
        uploads: UploadStore,
        ledger: BlobLedger,
        blobs: Blobs,
        *,
        make_id: Callable[[str], str],
        clock: Clock,
        max_bytes: int,
        quota: int,
        keep_for: timedelta,
    ) -> None:
        self._uploads, self._ledger, self._blobs = uploads, ledger, blobs
        self._make_id, self._clock = make_id, clock
        self._max_bytes, self._quota, self._keep_for = max_bytes, quota, keep_for

    async def take(self, tenant_id: str, subject: str, new: NewUpload, chunks: AsyncIterator[bytes]) -> Upload:
        """Stores a file. Nothing of it remains when it is too large, cut, or not the one that was announced."""
        used = await self._uploads.used(tenant_id)
        if used >= self._quota:
            raise quota_exceeded(used, self._quota)
        upload_id = self._make_id("upload")
        blob = f"uploads/{upload_id}"
        await self._ledger.reserve(blob, RESERVED_FOR)
        start = _Start(self._within(chunks, used))
        stored = await self._blobs.put(blob, start)
        if new.sha256 and stored.sha256 != new.sha256:
            await self._ledger.reserve(blob, timedelta(0))
            raise ChecksumMismatch(
                f"the {stored.size} bytes that came have the SHA-256 {stored.sha256}: send the file again",
                field="sha256",
            )
        now = self._clock()
        upload = Upload(
            upload_id=upload_id,
            tenant_id=tenant_id,
            name=new.name,
            format=new.format or guessed_format(new.name, new.media_type, start.bytes),
            size=stored.size,
            sha256=stored.sha256,
            blob=blob,
            created_by=subject,
            created_at=now,
            expires_at=now + self._keep_for,
        )
        return await self._uploads.put(upload, quota=self._quota)

    def _within(self, chunks: AsyncIterator[bytes], used: int) -> AsyncIterator[bytes]:
        left = self._quota - used
        if left < self._max_bytes:
            return bounded(chunks, left, quota_exceeded(used, self._quota))
        too_large = file_too_large(self._max_bytes, setting="AUTOMESH_DATA_MAX_UPLOAD_BYTES", field="content")
        return bounded(chunks, self._max_bytes, too_large)


class _Start:
    """Keeps the first bytes of what passes."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.bytes = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            if len(self.bytes) < _START:
                self.bytes += chunk[: _START - len(self.bytes)]
            yield chunk
