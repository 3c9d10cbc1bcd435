"""Stores files of a running task through ArtifactService, in chunks, from memory or from disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError, Kind, Unavailable
from automesh.mesh.errors import translating_errors
from automesh.mesh.replies import reply_of
from automesh.orchestrator.v1 import artifact_service_pb2 as pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as rpc
from automesh.sdk.chunks import chunks_of
from automesh.sdk.connection import Connection

ATTEMPTS = 4
_PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED})


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """A file as the orchestrator stored it."""

    name: str
    content_type: str
    size: int
    sha256: str


class Uploads:
    """Uploads under a lease. An orchestrator that is away for a moment is tried again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def upload(self, token: bytes, name: str, content: bytes | Path, content_type: str) -> StoredArtifact:
        """Stores `content` as `name`. Raises OSError for a file that cannot be read, else AutomationError; its kind is
        ABORTED when the lease is lost."""
        header = pb.UploadArtifactHeader(lease_token=token, name=name, content_type=content_type)
        backoff = Backoff(first_s=0.2, most_s=2.0)
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._once(header, content)
            except AutomationError as error:
                if error.kind not in _PASSING:
                    raise
            await asyncio.sleep(backoff.next_s())
        return await self._once(header, content)

    async def _once(self, header: pb.UploadArtifactHeader, content: bytes | Path) -> StoredArtifact:
        stub = rpc.ArtifactServiceStub(self._connection.channel("orchestrator"))
        metadata = await self._connection.metadata()
        parts = _Parts(header, content)
        try:
            with translating_errors():
                stored = (await reply_of(stub.UploadArtifact(aiter(parts), metadata=metadata))).artifact
        except asyncio.CancelledError:
            # grpc.aio says it so when the other side cancelled, or when the parts could not be read.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise parts.error or Unavailable("the upload was cut off") from None
        return StoredArtifact(stored.name, stored.content_type, stored.size, stored.sha256)


class _Parts:
    """The messages of one upload; keeps the error of a file that cannot be read."""

    def __init__(self, header: pb.UploadArtifactHeader, content: bytes | Path) -> None:
        self._header = header
        self._content = content
        self.error: OSError | None = None

    async def __aiter__(self) -> AsyncIterator[pb.UploadArtifactRequest]:
        yield pb.UploadArtifactRequest(header=self._header)
        try:
            async for chunk in chunks_of(self._content):
                yield pb.UploadArtifactRequest(chunk=chunk)
        except OSError as error:
            self.error = error
            raise
