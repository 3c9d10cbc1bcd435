"""What the model service asks the data service, over mutual TLS and for a tenant."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import pytest

from automesh.core.errors import NotFound
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import data_service_pb2_grpc, dataset_pb2, processing_service_pb2, processing_service_pb2_grpc
from automesh.mesh.caller import current_tenant
from automesh.mesh.channel import MeshChannel
from automesh.mesh.server import Bound
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from services.model.clients.releases import GrpcReleases
from services.model.clients.statistics import GrpcStatistics, shapes
from services.model.domain.registry.drift import worst_drift


@dataclass
class Data(data_service_pb2_grpc.DataServiceServicer):
    """Knows one dataset of the tenant acme."""

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: object) -> pb.GetStatisticsResponse:
        if (current_tenant(), request.data_id) != ("acme", "data_1"):
            raise NotFound(f"there is no dataset {request.data_id!r}")
        histogram = dataset_pb2.Histogram(edges=[0.0, 1.0, 2.0], counts=[60, 40] if request.version == 1 else [5, 95])
        return pb.GetStatisticsResponse(columns=[dataset_pb2.ColumnStatistics(column="a", histogram=histogram)])


@dataclass
class Processing(processing_service_pb2_grpc.ProcessingServiceServicer):
    """Remembers who was released."""

    released: list[tuple[str, str, int]] = field(default_factory=list)

    async def RemoveDependent(
        self, request: processing_service_pb2.RemoveDependentRequest, context: object
    ) -> processing_service_pb2.RemoveDependentResponse:
        self.released.append((current_tenant(), request.model_id, request.model_version))
        return processing_service_pb2.RemoveDependentResponse()


@pytest.fixture
async def served() -> AsyncIterator[tuple[InProcessMesh, Processing]]:
    data = Data()  # type: ignore[abstract] # the other methods are not called
    processing = Processing()  # type: ignore[abstract] # the same
    bounds = [
        Bound(
            pb.DESCRIPTOR.services_by_name["DataService"],
            data_service_pb2_grpc.add_DataServiceServicer_to_server,
            data,
        ),
        Bound(
            processing_service_pb2.DESCRIPTOR.services_by_name["ProcessingService"],
            processing_service_pb2_grpc.add_ProcessingServiceServicer_to_server,
            processing,
        ),
    ]
    async with in_process_mesh("data", bounds) as mesh:
        yield mesh, processing


async def channel(mesh: InProcessMesh) -> grpc.aio.Channel:
    return MeshChannel(await mesh.channel("model"))


async def test_statistics_are_asked_for_the_tenant_of_the_model(served: tuple[InProcessMesh, Processing]) -> None:
    statistics = GrpcStatistics(await channel(served[0]))
    old = await statistics.columns("acme", "data_1", 1)
    assert (old["a"].counts, old["a"].rows) == ((60, 40), 100)
    new = await statistics.columns("acme", "data_1", 2)
    assert worst_drift(["a"], new, old).value > 0.2
    with pytest.raises(NotFound):
        await statistics.columns("globex", "data_1", 1)


async def test_a_deleted_model_is_released_with_all_its_versions(served: tuple[InProcessMesh, Processing]) -> None:
    mesh, processing = served
    await GrpcReleases(await channel(mesh)).release("acme", "model_1")
    assert processing.released == [("acme", "model_1", 0)]


def test_numeric_columns_tell_how_many_rows_the_others_have() -> None:
    columns = [
        dataset_pb2.ColumnStatistics(column="n", nulls=10, histogram=dataset_pb2.Histogram(edges=[0, 1], counts=[90])),
        dataset_pb2.ColumnStatistics(column="word", top=[dataset_pb2.ValueCount(value="x", count=30)]),
    ]
    found = shapes(columns)
    assert (found["word"].rows, found["word"].top) == (100, {"x": 30})
    assert not found["word"].numeric
