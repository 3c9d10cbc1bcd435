"""Stores files of a running task through ArtifactService, in chunks, from memory or from disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from automesh.core.backoff import Backoff
from automesh.mesh.errors import translating_errors
from automesh.orchestrator.v1 import artifact_service_pb2 as pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as rpc
from automesh.sdk.connection import Connection

CHUNK = 256 * 1024  # bytes; the protocol allows 1 MiB
ATTEMPTS = 4
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})


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
        """Stores `content` as `name`. Raises AutomationError; kind ABORTED when the lease is lost."""
        header = pb.UploadArtifactHeader(lease_token=token, name=name, content_type=content_type)
        backoff = Backoff(first_s=0.2, most_s=2.0)
        with translating_errors():
            for _ in range(ATTEMPTS - 1):
                try:
                    return await self._once(header, content)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in _PASSING:
                        raise
                await asyncio.sleep(backoff.next_s())
            return await self._once(header, content)

    async def _once(self, header: pb.UploadArtifactHeader, content: bytes | Path) -> StoredArtifact:
        stub = rpc.ArtifactServiceStub(self._connection.channel("orchestrator"))
        metadata = await self._connection.metadata()
        stored = (await stub.UploadArtifact(_parts(header, content), metadata=metadata)).artifact
        return StoredArtifact(stored.name, stored.content_type, stored.size, stored.sha256)


async def _parts(header: pb.UploadArtifactHeader, content: bytes | Path) -> AsyncIterator[pb.UploadArtifactRequest]:
    yield pb.UploadArtifactRequest(header=header)
    if isinstance(content, bytes):
        for start in range(0, len(content), CHUNK):
            yield pb.UploadArtifactRequest(chunk=content[start : start + CHUNK])
        return
    with await asyncio.to_thread(content.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield pb.UploadArtifactRequest(chunk=chunk)
