"""The data service as an agent calls it: jobs to be carried out, and versions to be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from automesh.core.errors import Unavailable
from automesh.data.v1 import processing_service_pb2 as pb
from automesh.data.v1 import processing_service_pb2_grpc as rpc
from automesh.data.v1.dataset_pb2 import Failure
from automesh.mesh.errors import translating_errors
from automesh.sdk import Connection
from services.agent.clients.files import CALL_LIMIT_S, STREAM_LIMIT_S, Outgoing, receive, retried, send
from services.agent.convert import file_from_proto, processing_claim_from_proto, processing_end_from_proto
from services.agent.domain.files import FileInfo, place
from services.agent.domain.processing import ProcessingClaim, ProcessingEnd

MANIFEST = "manifest.json"


class Datasets:
    """Calls are tried again while the service is away. Raises AutomationError; ABORTED when the claim is stale."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, lease_token: bytes) -> ProcessingClaim:
        """Begins the work of a leased task."""
        request = pb.ClaimProcessingRequest(lease_token=lease_token)
        return processing_claim_from_proto(await self._unary("ClaimProcessing", request))

    async def fetch(self, claim: ProcessingClaim, file: FileInfo, target: Path) -> None:
        """An input file."""
        request = pb.ReadInputRequest(claim_token=claim.token, name=file.name)

        async def once() -> None:
            call = await self._call("ReadInput", request)
            await receive(_chunks(call), target, file)

        await retried(once)

    async def store(self, claim: ProcessingClaim, name: str, path: Path) -> FileInfo:
        """An output file."""
        stub, metadata = self._stub(), await self._connection.metadata()
        header = pb.WriteOutputRequest(header=pb.WriteOutputHeader(claim_token=claim.token, name=name))
        return await send(
            lambda parts, timeout: stub.WriteOutput(parts, timeout=timeout, metadata=metadata),
            lambda: Outgoing(path, name, header, lambda chunk: pb.WriteOutputRequest(chunk=chunk)),
            lambda answer: file_from_proto(answer.file),
        )

    async def finish(self, claim: ProcessingClaim, manifest: bytes) -> ProcessingEnd:
        """The work is done."""
        request = pb.FinishProcessingRequest(claim_token=claim.token, manifest=manifest)
        return processing_end_from_proto(await self._unary("FinishProcessing", request))

    async def fail(self, claim: ProcessingClaim, reason: str, message: str) -> None:
        """It cannot be done, now or later."""
        failure = Failure(reason=reason, message=message)
        await self._unary("FinishProcessing", pb.FinishProcessingRequest(claim_token=claim.token, failure=failure))

    async def manifest(self, lease_token: bytes, data_id: str, version: int) -> bytes:
        """The manifest of a version."""
        request = pb.ReadVersionRequest(lease_token=lease_token, data_id=data_id, version=version, manifest_only=True)

        async def once() -> bytes:
            return await _Version(await self._call("ReadVersion", request)).manifest()

        return await retried(once)

    async def read(self, lease_token: bytes, data_id: str, version: int, folder: Path) -> None:
        """A whole version into `folder`: manifest.json and all files."""
        request = pb.ReadVersionRequest(lease_token=lease_token, data_id=data_id, version=version)

        async def once() -> None:
            with translating_errors():
                parts = _Version(await self._call("ReadVersion", request))
                content = await parts.manifest()
                while (file := await parts.next_file()) is not None:
                    await receive(parts.chunks(), place(folder, file.name), file)
            (folder / MANIFEST).write_bytes(content)

        await retried(once)

    def _stub(self) -> rpc.ProcessingServiceAsyncStub:
        return rpc.ProcessingServiceStub(self._connection.channel("data"))

    async def _call(self, method: str, request: Any) -> Any:
        metadata = await self._connection.metadata()
        return getattr(self._stub(), method)(request, timeout=STREAM_LIMIT_S, metadata=metadata)

    async def _unary(self, method: str, request: Any) -> Any:
        async def once() -> Any:
            metadata = await self._connection.metadata()
            return await getattr(self._stub(), method)(request, timeout=CALL_LIMIT_S, metadata=metadata)

        return await retried(once)


async def _chunks(call: Any) -> AsyncIterator[bytes]:
    async for part in call:
        yield part.chunk


class _Version:
    """A ReadVersion stream, taken apart."""

    def __init__(self, call: Any) -> None:
        self._parts = aiter(call)
        self._held: pb.ReadVersionResponse | None = None

    async def manifest(self) -> bytes:
        part = await anext(self._parts, None)
        if part is None or part.WhichOneof("part") != "manifest":
            raise Unavailable("the data service did not begin with a manifest")
        content: bytes = part.manifest
        return content

    async def next_file(self) -> FileInfo | None:
        part = self._held or await anext(self._parts, None)
        self._held = None
        if part is None:
            return None
        if part.WhichOneof("part") != "file":
            raise Unavailable("the data service sent bytes of no file")
        return file_from_proto(part.file)

    async def chunks(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            if part.WhichOneof("part") != "chunk":
                self._held = part
                return
            yield part.chunk
