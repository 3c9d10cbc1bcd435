"""The model service as a process: wired from settings, serving, and stopping while somebody watches."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from automesh.mesh.audit import AuditEvent
from automesh.mesh.process import Mesh, serve
from automesh.mesh.registry import HealthCheck, Instance
from automesh.mesh.server import Bound
from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import run_service_pb2_grpc as rpc
from automesh.storage.sealing import Keyring
from automesh.testing.ca import ThrowawayCa
from automesh.testing.mesh import InProcessMesh
from automesh.testing.tokens import TokenMint
from services.model.app import build
from services.model.settings import Settings

pytestmark = pytest.mark.postgres
LIMIT_S = 30


class NoRegistry:
    """Nobody looks for us."""

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def process(told: Settings, ca: ThrowawayCa, mint: TokenMint) -> AsyncGenerator[InProcessMesh]:
    async def no_audit(events: Sequence[AuditEvent]) -> None:
        """Kept by nobody here."""

    @asynccontextmanager
    async def alone(told: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
        mesh.jwks_source, mesh.audit_sink, mesh.registry = mint.keys, no_audit, NoRegistry()
        async with build(told, mesh) as bounds:
            yield bounds

    started: asyncio.Future[tuple[int, Mesh]] = asyncio.get_running_loop().create_future()
    ready: Callable[[int, Mesh], None] = lambda port, mesh: started.set_result((port, mesh))  # noqa: E731
    running = asyncio.create_task(serve(told, alone, ready=ready))
    either: list[asyncio.Future[Any]] = [running, started]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT_S)
    if running.done():
        await running
    port, mesh = await started
    client = InProcessMesh(ca, mint, "model", port, told.state_dir)
    try:
        yield client
    finally:
        mesh.stopping.set()
        await asyncio.wait_for(running, LIMIT_S)
        await client.close()


async def test_a_process_migrates_serves_and_stops(fresh_dsn: str, redis_url: str, tmp_path: Path) -> None:
    ca, mint = ThrowawayCa(tmp_path / "ca"), TokenMint()
    Keyring.generate().save(tmp_path / "keyring.json")
    told = Settings(
        postgres_dsn=fresh_dsn,
        redis_url=redis_url,
        keyring_file=tmp_path / "keyring.json",
        state_dir=tmp_path,
        identity_dir=ca.service("model").folder,
        drain_timeout_s=5,
    )
    for _ in range(2):  # the second finds its tables migrated
        async with process(told, ca, mint) as client:
            stub = rpc.RunServiceStub(await client.signed_in(["model.read"]))
            assert list((await stub.ListRuns(pb.ListRunsRequest())).runs) == []
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetRun(pb.GetRunRequest(run_id="run_x"))
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
