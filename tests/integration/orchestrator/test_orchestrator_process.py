"""The orchestrator as a process: wired from settings, serving, and stopping with an agent on it."""

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
from automesh.storage.keyring import KeyringError
from automesh.storage.sealing import Keyring
from automesh.testing.ca import ThrowawayCa
from automesh.testing.mesh import InProcessMesh
from automesh.testing.tokens import TokenMint
from automesh.testing.wire import OrchestratorOnWire, task_request
from services.orchestrator.app import build
from services.orchestrator.settings import Settings

pytestmark = pytest.mark.postgres
LIMIT_S = 30


class NoRegistry:
    """Nobody looks for us."""

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        await asyncio.Event().wait()


def settings(folder: Path, ca: ThrowawayCa, dsn: str, redis_url: str, **changes: object) -> Settings:
    keyring_file = folder / "keyring.json"
    if not keyring_file.exists():
        Keyring.generate().save(keyring_file)
    given = {"postgres_dsn": dsn, "redis_url": redis_url, "keyring_file": keyring_file, "state_dir": folder, **changes}
    return Settings(identity_dir=ca.service("orchestrator").folder, drain_timeout_s=5, **given)  # type: ignore[arg-type]


@asynccontextmanager
async def process(told: Settings, ca: ThrowawayCa, mint: TokenMint) -> AsyncGenerator[tuple[OrchestratorOnWire, Mesh]]:
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
    client = InProcessMesh(ca, mint, "orchestrator", port, told.state_dir)
    try:
        yield OrchestratorOnWire(client), mesh
    finally:
        mesh.stopping.set()
        await asyncio.wait_for(running, LIMIT_S)
        await client.close()


async def test_a_process_migrates_serves_and_says_goodbye(fresh_dsn: str, redis_url: str, tmp_path: Path) -> None:
    ca, mint = ThrowawayCa(tmp_path / "ca"), TokenMint()
    told = settings(tmp_path, ca, fresh_dsn, redis_url)
    async with process(told, ca, mint) as (wire, mesh):
        agent = await wire.agent()
        await agent.attach()
        task = (await (await wire.tasks()).CreateTask(task_request())).task
        lease = await agent.take()
        assert lease.task_id == task.task_id
        mesh.stopping.set()
        await agent.expect("goaway")
        assert await agent.ended() is grpc.StatusCode.OK
    async with process(told, ca, mint) as (wire, _):  # the same database and keys: the lease is still good
        again = await wire.agent(agent_id=agent.agent_id)
        assert list((await again.attach(held=[lease.lease_token])).keep) == [lease.lease_token]
        assert not (await again.complete(lease)).stale
        await again.leave()


async def test_a_missing_key_file_is_named(fresh_dsn: str, tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path / "ca")
    told = settings(tmp_path, ca, fresh_dsn, "", keyring_file=tmp_path / "absent.json")
    with pytest.raises(KeyringError, match=r"absent\.json"):
        async with process(told, ca, TokenMint()):
            pass


async def test_beats_must_be_able_to_keep_a_lease(fresh_dsn: str, tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path / "ca")
    with pytest.raises(ValueError, match="AUTOMESH_HEARTBEAT_S"):
        settings(tmp_path, ca, fresh_dsn, "", lease_ttl_s=4, heartbeat_s=3)
