"""Details of errors: as large as the mesh carries them, over a real channel."""

from collections.abc import AsyncGenerator

import grpc
import pytest

from automesh.core.errors import AutomationError, Kind
from automesh.doc.v1 import document_pb2
from automesh.mesh.errors import MOST_STATUS, from_rpc_error
from automesh.mesh.server import Bound
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2_grpc as rpc
from automesh.testing.mesh import InProcessMesh, in_process_mesh


class Late(AutomationError):
    """Somebody else has written meanwhile."""

    kind = Kind.ABORTED
    reason = "LATE"


def stale(size: int) -> document_pb2.StaleWrite:
    return document_pb2.StaleWrite(document_id="doc_1", merge=document_pb2.Merge(content="x" * size))


class Tasks(rpc.TaskServiceServicer):
    """GetTask fails with a detail of as many bytes as it is asked for."""

    async def GetTask(self, request: pb.GetTaskRequest, context: object) -> pb.GetTaskResponse:
        error = Late("ü" * 2000, documentId="doc_1")
        error.details = (stale(int(request.task_id)),)
        raise error


@pytest.fixture
async def mesh() -> AsyncGenerator[InProcessMesh]:
    bound = Bound(pb.DESCRIPTOR.services_by_name["TaskService"], rpc.add_TaskServiceServicer_to_server, Tasks())
    async with in_process_mesh("orchestrator", [bound]) as running:
        yield running


async def refusal(mesh: InProcessMesh, size: int) -> AutomationError:
    channel = await mesh.signed_in(["task.read"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc.TaskServiceStub(channel).GetTask(pb.GetTaskRequest(task_id=str(size)))
    return from_rpc_error(caught.value)


async def test_a_detail_of_40_kilobytes_arrives(mesh: InProcessMesh) -> None:
    error = await refusal(mesh, 40_000)
    assert type(error) is Late
    assert error.details == (stale(40_000),)


async def test_the_largest_detail_that_is_sent_arrives(mesh: InProcessMesh) -> None:
    largest = MOST_STATUS - 1300  # beside a message of the greatest length, and the reason
    assert (await refusal(mesh, largest)).details == (stale(largest),)


async def test_an_error_with_a_detail_too_large_arrives_without_it(mesh: InProcessMesh) -> None:
    error = await refusal(mesh, MOST_STATUS)
    assert (type(error), error.details) == (Late, ())
