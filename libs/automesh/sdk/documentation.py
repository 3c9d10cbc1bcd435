"""Documentation that an agent writes: stored under the lease of its task, as documents of a space."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError, Kind, Unavailable
from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import transfer_service_pb2 as pb
from automesh.doc.v1 import transfer_service_pb2_grpc as rpc
from automesh.mesh.errors import translating_errors
from automesh.mesh.replies import reply_of
from automesh.sdk.chunks import chunks_of
from automesh.sdk.connection import Connection

ATTEMPTS = 4
STORE_LIMIT_S = 600.0
"""The service answers once all files are stored, or with how far it is after so long."""
_PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED})


class Documentation:
    """Made from a `Connection`; keeps nothing of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def store(self, lease_token: bytes, files: Mapping[str, bytes | Path]) -> job_pb2.Job:
        """Stores files by their path ("guides/start.md") below the `prefix` of the task's input, in its space.

        Returns what became of them; nothing that people have changed since is overwritten. Safe to repeat. Raises
        OSError for a file that cannot be read, else AutomationError; its kind is ABORTED when the lease is lost.
        """
        backoff = Backoff(first_s=0.2, most_s=2.0)
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._once(lease_token, list(files.items()))
            except AutomationError as error:
                if error.kind not in _PASSING:
                    raise
            await asyncio.sleep(backoff.next_s())
        return await self._once(lease_token, list(files.items()))

    async def _once(self, lease_token: bytes, files: Sequence[tuple[str, bytes | Path]]) -> job_pb2.Job:
        stub = rpc.TransferServiceStub(self._connection.channel("doc"))
        metadata = await self._connection.metadata()
        parts = _Parts(lease_token, files)
        try:
            with translating_errors():
                call = stub.StoreDocumentation(aiter(parts), metadata=metadata, timeout=STORE_LIMIT_S + 30)
                return (await reply_of(call)).job  # type: ignore[no-any-return] # of a generated class
        except asyncio.CancelledError:
            # grpc.aio says it so when the other side cancelled, or when the parts could not be read.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise parts.error or Unavailable("the sending was cut off") from None


class _Parts:
    """The messages of one call; keeps the error of a file that cannot be read."""

    def __init__(self, lease_token: bytes, files: Sequence[tuple[str, bytes | Path]]) -> None:
        self._lease_token, self._files = lease_token, files
        self.error: OSError | None = None

    async def __aiter__(self) -> AsyncIterator[pb.StoreDocumentationRequest]:
        yield pb.StoreDocumentationRequest(header=pb.StoreDocumentationHeader(lease_token=self._lease_token))
        try:
            for path, content in self._files:
                yield pb.StoreDocumentationRequest(path=path)
                async for chunk in chunks_of(content):
                    yield pb.StoreDocumentationRequest(chunk=chunk)
        except OSError as error:
            self.error = error
            raise
