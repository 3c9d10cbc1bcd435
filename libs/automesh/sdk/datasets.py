"""Data, as a program sees it: files sent in, versions made of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from automesh.core.ids import new_id
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import data_service_pb2_grpc as rpc
from automesh.data.v1 import dataset_pb2
from automesh.mesh.errors import translating_errors
from automesh.mesh.replies import reply_of
from automesh.sdk.chunks import chunks_of
from automesh.sdk.connection import Connection

WAIT_S = 60.0
"""The longest that one call may wait for a version; the service allows no more."""
_PROCESSING = dataset_pb2.VERSION_STATE_PROCESSING


class Datasets:
    """Made from a `Connection`; keeps nothing of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = rpc.DataServiceStub(connection.channel("data"))

    async def upload(self, content: bytes | Path, name: str = "", *, sha256: str = "") -> dataset_pb2.Upload:
        """Sends a file in, to be named as a source. A path gives the name by itself. Raises OSError for its reading."""
        name = name or (content.name if isinstance(content, Path) else "")
        first = pb.UploadFileRequest(name=name, sha256=sha256)
        parts = _Parts(first, content)
        metadata = await self._connection.metadata()
        try:
            with translating_errors():
                return (await reply_of(self._stub.UploadFile(aiter(parts), metadata=metadata))).upload  # type: ignore[no-any-return] # of a generated class
        except asyncio.CancelledError:
            # grpc.aio says it so when the parts could not be read.
            if parts.error is not None:
                raise parts.error from None
            raise

    async def process(
        self, request: pb.ProcessDataRequest, *, wait_s: float | None = None
    ) -> dataset_pb2.DatasetVersion:
        """Has a version made. Returns at once, or once it is made (or given up) and at most after `wait_s` seconds.

        Look at `state` of what comes back: PROCESSING when the time was over first.
        """
        asked = pb.ProcessDataRequest()
        asked.CopyFrom(request)
        asked.request_id = request.request_id or new_id("once")
        asked.ClearField("wait")
        metadata = await self._connection.metadata()
        with translating_errors():
            version = (await self._stub.ProcessData(asked, metadata=metadata)).version
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + (wait_s or 0)
        while version.state == _PROCESSING and (left := ends_at - loop.time()) > 0:
            version = await self._waited(asked, min(left, WAIT_S))
        return version

    async def _waited(self, asked: pb.ProcessDataRequest, wait_s: float) -> dataset_pb2.DatasetVersion:
        """The same request again, which makes nothing new, but waits."""
        asked.wait.FromTimedelta(timedelta(seconds=wait_s))
        metadata = await self._connection.metadata()
        with translating_errors():
            response = await self._stub.ProcessData(asked, metadata=metadata, timeout=wait_s + 30)
        return response.version


class _Parts:
    """The messages of one upload; keeps the error of a file that cannot be read."""

    def __init__(self, first: pb.UploadFileRequest, content: bytes | Path) -> None:
        self._first, self._content = first, content
        self.error: OSError | None = None

    async def __aiter__(self) -> AsyncIterator[pb.UploadFileRequest]:
        yield self._first
        try:
            async for chunk in chunks_of(self._content):
                request = pb.UploadFileRequest()
                request.content.data = chunk
                yield request
        except OSError as error:
            self.error = error
            raise
