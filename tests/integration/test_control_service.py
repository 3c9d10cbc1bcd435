"""Control's own rpcs behind the real guard, and its Unix socket."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from automesh.control.v1 import mesh_service_pb2 as pb
from automesh.control.v1 import mesh_service_pb2_grpc as rpc
from automesh.mesh.server import Bound
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from services.control.clients.probe import GrpcHealthProbe
from services.control.domain.instance import Instance
from services.control.domain.observatory import Observatory
from services.control.domain.topology import Topology
from services.control.resources.bundle import LISTENER
from services.control.service.ads import AdsServicer
from services.control.service.local_socket import BadSocketPath, serve_local_socket
from services.control.service.mesh import MeshServicer


def spiffe_id(service: str) -> str:
    return f"spiffe://automesh.local/ns/dev/sa/{service}"


def instance(name: str, service: str, *, port: int, healthy: bool = True) -> Instance:
    return Instance(instance_id=name, service=service, address="127.0.0.1", port=port, version="1.2", healthy=healthy)


class FakeProbe:
    async def serves(self, service: str) -> bool:
        return service != "gateway"


@pytest.fixture
def topology() -> Topology:
    topology = Topology(["auth", "gateway"], spiffe_id=spiffe_id)
    topology.update(
        [
            instance("auth-1", "auth", port=4001),
            instance("auth-2", "auth", port=4002, healthy=False),
            instance("gateway-1", "gateway", port=4003),
        ]
    )
    return topology


@pytest.fixture
async def mesh(topology: Topology) -> AsyncGenerator[InProcessMesh]:
    observatory = Observatory(topology, FakeProbe(), expected=["auth", "gateway"], essential=["auth"])
    servicer = MeshServicer(topology, observatory, registry="embedded")
    bound = Bound(pb.DESCRIPTOR.services_by_name["MeshService"], rpc.add_MeshServiceServicer_to_server, servicer)
    async with in_process_mesh("control", [bound]) as mesh:
        yield mesh


async def reader(mesh: InProcessMesh) -> Any:
    return rpc.MeshServiceStub(await mesh.signed_in(["mesh.read"]))


async def test_services_are_listed_with_their_counts(mesh: InProcessMesh) -> None:
    reply = await (await reader(mesh)).ListServices(pb.ListServicesRequest())
    assert reply.registry == "embedded"
    assert [(each.name, each.healthy_endpoints, each.endpoints, list(each.versions)) for each in reply.services] == [
        ("auth", 1, 2, ["1.2"]),
        ("gateway", 1, 1, ["1.2"]),
    ]


async def test_endpoints_are_listed_by_service_and_for_all(mesh: InProcessMesh) -> None:
    stub = await reader(mesh)
    one = await stub.ListEndpoints(pb.ListEndpointsRequest(service="auth"))
    assert [(each.instance_id, each.port, each.healthy) for each in one.endpoints] == [
        ("auth-1", 4001, True),
        ("auth-2", 4002, False),
    ]
    assert one.endpoints[0].spiffe_id == spiffe_id("auth")
    every = await stub.ListEndpoints(pb.ListEndpointsRequest())
    assert [each.instance_id for each in every.endpoints] == ["auth-1", "auth-2", "gateway-1"]


async def test_an_unknown_service_is_not_found(mesh: InProcessMesh) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="there is no service 'nobody'") as caught:
        await (await reader(mesh)).ListEndpoints(pb.ListEndpointsRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_without_the_permission_nothing_is_listed(mesh: InProcessMesh) -> None:
    stub: Any = rpc.MeshServiceStub(await mesh.signed_in(["task.read"]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListServices(pb.ListServicesRequest())
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_anonymous_callers_learn_the_overall_health_alone(mesh: InProcessMesh) -> None:
    stub: Any = rpc.MeshServiceStub(await mesh.channel("gateway"))
    reply = await stub.GetHealth(pb.GetHealthRequest())
    assert reply == pb.GetHealthResponse(status=pb.HEALTH_STATUS_DEGRADED)


async def test_who_is_signed_in_learns_the_health_of_each_service(mesh: InProcessMesh) -> None:
    stub: Any = rpc.MeshServiceStub(await mesh.signed_in([]))
    reply = await stub.GetHealth(pb.GetHealthRequest())
    assert [(each.service, each.status, each.healthy_endpoints, each.endpoints) for each in reply.services] == [
        ("auth", pb.HEALTH_STATUS_DEGRADED, 1, 2),
        ("gateway", pb.HEALTH_STATUS_NOT_SERVING, 1, 1),
    ]


async def test_the_probe_believes_a_service_that_says_serving_and_nobody_else(mesh: InProcessMesh) -> None:
    channel = await mesh.channel("control")
    assert await GrpcHealthProbe(lambda service: channel).serves("control")
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nobody:
        assert not await GrpcHealthProbe(lambda service: nobody, timeout_s=0.5).serves("control")


async def _one_request() -> AsyncIterator[DiscoveryRequest]:
    yield DiscoveryRequest(type_url=LISTENER, resource_names=["auth"])
    await asyncio.Event().wait()


async def test_the_unix_socket_serves_xds_and_health_to_its_owner_alone(tmp_path: Path, topology: Topology) -> None:
    path = tmp_path / "run" / "control.sock"
    async with serve_local_socket(AdsServicer(topology), path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            stub: Any = AggregatedDiscoveryServiceStub(channel)
            call = stub.StreamAggregatedResources(_one_request())
            response = await asyncio.wait_for(call.read(), 5)
            health: Any = health_pb2_grpc.HealthStub(channel)
            healthy = await health.Check(health_pb2.HealthCheckRequest())
            call.cancel()
    assert [Listener.FromString(each.value).name for each in response.resources] == ["auth"]
    assert healthy.status == health_pb2.HealthCheckResponse.SERVING
    assert not path.exists()


async def test_the_unix_socket_serves_nothing_else(tmp_path: Path, topology: Topology) -> None:
    path = tmp_path / "run" / "control.sock"
    async with serve_local_socket(AdsServicer(topology), path):
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            stub: Any = rpc.MeshServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListServices(pb.ListServicesRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_socket_left_by_a_killed_control_is_replaced(tmp_path: Path, topology: Topology) -> None:
    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir(mode=0o700)
    left = await asyncio.start_unix_server(lambda reader, writer: None, path)
    left.close()
    await left.wait_closed()
    assert path.exists(), "Python 3.11 leaves the file, as a killed process does"
    async with serve_local_socket(AdsServicer(topology), path):
        assert path.exists()


async def test_the_socket_of_a_living_control_is_left_alone(tmp_path: Path, topology: Topology) -> None:
    path = tmp_path / "run" / "control.sock"
    async with serve_local_socket(AdsServicer(topology), path):
        with pytest.raises(BadSocketPath, match="another control"):
            async with serve_local_socket(AdsServicer(topology), path):
                pytest.fail("two controls serve one socket")
        assert path.exists()


async def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, topology: Topology) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(BadSocketPath, match="not ours alone"):
        async with serve_local_socket(AdsServicer(topology), shared / "control.sock"):
            pytest.fail("anybody could have put a socket there")
