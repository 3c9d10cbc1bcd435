"""The life of a process: start, serve, stop; and why it refuses to start."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from automesh.control.v1 import mesh_service_pb2 as pb
from automesh.control.v1 import mesh_service_pb2_grpc as rpc
from automesh.mesh.audit import AuditEvent
from automesh.mesh.auth_client import IssuedChain
from automesh.mesh.identity import BadIdentity
from automesh.mesh.process import Mesh, serve
from automesh.mesh.registry import HealthCheck, Instance
from automesh.mesh.server import Bound, PortInUse
from automesh.mesh.settings import MeshSettings
from automesh.testing.ca import ThrowawayCa
from automesh.testing.tokens import TokenMint

LIMIT_S = 10


class Settings(MeshSettings):
    service: str = "control"


class Sample(rpc.MeshServiceServicer):
    async def GetHealth(self, request: pb.GetHealthRequest, context: object) -> pb.GetHealthResponse:
        return pb.GetHealthResponse()


class FakeRegistry:
    """Remembers who is registered."""

    def __init__(self) -> None:
        self.held: list[Instance] = []
        self.changed = asyncio.Event()

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        assert await healthy()
        self.held.append(instance)
        try:
            await asyncio.Event().wait()
        finally:
            self.held.remove(instance)


class Bench:
    """One process in this loop, with everything it asks of others replaced."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.mint, self.registry = ThrowawayCa(folder / "ca"), TokenMint(), FakeRegistry()
        self.audited: list[AuditEvent] = []
        self.settings = Settings(state_dir=folder, identity_dir=self.ca.service("control").folder)
        self.closed = False

    @asynccontextmanager
    async def build(self, settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
        async def sink(events: Sequence[AuditEvent]) -> None:
            self.audited += events

        async def refuse(csr_pem: bytes) -> IssuedChain:
            raise AssertionError("nothing is renewed in this test")

        mesh.jwks_source, mesh.audit_sink, mesh.registry = self.mint.keys, sink, self.registry
        mesh.certificate_issuer = refuse
        yield [Bound(pb.DESCRIPTOR.services_by_name["MeshService"], rpc.add_MeshServiceServicer_to_server, Sample())]
        self.closed = True


@asynccontextmanager
async def serving(bench: Bench, settings: Settings | None = None) -> AsyncGenerator[tuple[int, Mesh]]:
    started: asyncio.Future[tuple[int, Mesh]] = asyncio.get_running_loop().create_future()
    ready: Callable[[int, Mesh], None] = lambda port, mesh: started.set_result((port, mesh))  # noqa: E731
    process = asyncio.create_task(serve(settings or bench.settings, bench.build, ready=ready))
    await asyncio.wait([process, started], return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT_S)
    if process.done():
        await process
    port, mesh = await started
    try:
        yield port, mesh
    finally:
        mesh.stopping.set()
        await asyncio.wait_for(process, LIMIT_S)


def dial(bench: Bench, port: int) -> grpc.aio.Channel:
    held = bench.ca.service("gateway").load()
    credentials = grpc.ssl_channel_credentials(held.bundle_pem, held.key_pem, held.certificate_pem)
    return grpc.aio.secure_channel(f"localhost:{port}", credentials)


async def test_a_process_serves_registers_and_leaves_cleanly(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with serving(bench) as (port, _):
        async with dial(bench, port) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            await rpc.MeshServiceStub(channel).GetHealth(pb.GetHealthRequest())
        await asyncio.sleep(0)
        assert [(each.port, each.spiffe_id) for each in bench.registry.held] == [
            (port, "spiffe://automesh.local/ns/dev/sa/control")
        ]
    assert bench.registry.held == []
    assert bench.closed


async def test_denials_reach_the_audit_sink_before_the_process_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with serving(bench) as (port, _), dial(bench, port) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.MeshServiceStub(channel).ListServices(pb.ListServicesRequest())
    assert [each.outcome for each in bench.audited] == ["UNAUTHENTICATED"]


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = bench.settings.model_copy(update={"listen_port": taken.getsockname()[1]})
        with pytest.raises(PortInUse, match=str(settings.listen_port)):
            async with serving(bench, settings):
                pass


async def test_an_expired_certificate_stops_the_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    past = datetime.now(UTC) - timedelta(days=2)
    old = bench.ca.identity(["spiffe://automesh.local/ns/dev/sa/control"], lifetime=timedelta(days=1), now=past)
    bench.ca._stored(bench.settings.identity_dir, old)
    with pytest.raises(BadIdentity, match="ended"):
        async with serving(bench):
            pass


async def test_background_work_that_fails_stops_the_process(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def fail() -> None:
        raise LookupError("gone")

    process = asyncio.create_task(
        serve(bench.settings, bench.build, ready=lambda _, mesh: _ignore(mesh.spawn(fail(), "x")))
    )
    with pytest.raises(LookupError):
        await asyncio.wait_for(process, LIMIT_S)


def _ignore(_task: object) -> None:
    return None
