"""An upload that breaks off is never taken for a whole one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest

from automesh.mesh.server import Bound
from automesh.orchestrator.v1 import artifact_service_pb2 as pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as rpc
from automesh.testing.mesh import InProcessMesh, in_process_mesh

LIMIT_S = 10.0


class Shelf(rpc.ArtifactServiceServicer):
    """Stores at once what it takes for whole."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.reads_aside = False  # in a task of its own, as some stores do
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def UploadArtifact(
        self, request_iterator: AsyncIterator[pb.UploadArtifactRequest], context: object
    ) -> pb.UploadArtifactResponse:
        async def read() -> int:
            return sum([len(request.chunk) async for request in request_iterator])

        try:
            size = await (asyncio.shield(asyncio.ensure_future(read())) if self.reads_aside else read())
            self.stored.append(size)
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise
        self.ended.put_nowait("stored")
        return pb.UploadArtifactResponse(artifact={"size": size})


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def mesh(shelf: Shelf) -> AsyncGenerator[InProcessMesh]:
    service = pb.DESCRIPTOR.services_by_name["ArtifactService"]
    async with in_process_mesh(
        "orchestrator", [Bound(service, rpc.add_ArtifactServiceServicer_to_server, shelf)]
    ) as running:
        yield running


async def begun(mesh: InProcessMesh) -> tuple[grpc.aio.Channel, Any]:
    channel = await mesh.channel("agent")
    call = rpc.ArtifactServiceStub(channel).UploadArtifact()
    for _ in range(3):
        await call.write(pb.UploadArtifactRequest(chunk=b"x" * 10))
    return channel, call


async def test_an_upload_that_its_client_cancels_is_not_stored(mesh: InProcessMesh, shelf: Shelf) -> None:
    for _ in range(20):
        _, call = await begun(mesh)
        call.cancel()
        assert await asyncio.wait_for(shelf.ended.get(), LIMIT_S) == "cancelled"
    assert shelf.stored == []


async def test_an_upload_whose_connection_breaks_is_not_stored(mesh: InProcessMesh, shelf: Shelf) -> None:
    for _ in range(20):
        channel, _ = await begun(mesh)
        await channel.close()
        assert await asyncio.wait_for(shelf.ended.get(), LIMIT_S) == "cancelled"
    assert shelf.stored == []


async def test_a_store_that_reads_in_a_task_of_its_own_is_no_fault(mesh: InProcessMesh, shelf: Shelf) -> None:
    shelf.reads_aside = True
    for _ in range(20):
        _, call = await begun(mesh)
        call.cancel()
        assert await asyncio.wait_for(shelf.ended.get(), LIMIT_S) == "cancelled"
    assert {event.outcome for event in mesh.audited} == {"CANCELLED"}


async def test_an_upload_that_its_client_ends_is_stored_whole(mesh: InProcessMesh, shelf: Shelf) -> None:
    _, call = await begun(mesh)
    await call.done_writing()
    assert (await call).artifact.size == 30
    assert shelf.stored == [30]
