"""The data service as a process: wired from settings, migrating, serving, stopping."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import data_service_pb2_grpc as rpc
from automesh.mesh.audit import AuditEvent
from automesh.mesh.process import Mesh, serve
from automesh.mesh.registry import HealthCheck, Instance
from automesh.mesh.server import Bound
from automesh.storage.keyring import KeyringError
from automesh.storage.sealing import Keyring
from automesh.testing.ca import ThrowawayCa
from automesh.testing.mesh import InProcessMesh
from automesh.testing.tokens import TokenMint
from services.data.app import build
from services.data.settings import Settings

pytestmark = pytest.mark.postgres
LIMIT_S = 30
HEAVY = ("polars", "pandera", "torch", "pyarrow", "numpy", "daft", "ray")


class NoRegistry:
    """Nobody looks for us."""

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        await asyncio.Event().wait()


def settings(folder: Path, ca: ThrowawayCa, dsn: str, **changes: object) -> Settings:
    keyring_file = folder / "keyring.json"
    if not keyring_file.exists():
        Keyring.generate().save(keyring_file)
    given = {"postgres_dsn": dsn, "keyring_file": keyring_file, "state_dir": folder, **changes}
    return Settings(identity_dir=ca.service("data").folder, drain_timeout_s=5, **given)  # type: ignore[arg-type]


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
    client = InProcessMesh(ca, mint, "data", port, told.state_dir)
    try:
        yield client
    finally:
        mesh.stopping.set()
        await asyncio.wait_for(running, LIMIT_S)
        await client.close()


async def test_a_process_migrates_serves_and_stops(fresh_dsn: str, tmp_path: Path) -> None:
    ca, mint = ThrowawayCa(tmp_path / "ca"), TokenMint()
    told = settings(tmp_path, ca, fresh_dsn)
    async with process(told, ca, mint) as mesh:
        stub = rpc.DataServiceStub(await mesh.signed_in(["data.read", "data.write"]))

        async def requests() -> Any:
            yield pb.UploadFileRequest(name="a.csv", content={"data": b"a\n1\n"})

        upload = (await stub.UploadFile(requests())).upload
        assert upload.size == 4
        assert list((await stub.ListDatasets(pb.ListDatasetsRequest())).datasets) == []
    async with process(told, ca, mint) as mesh:  # the same database again: nothing to migrate
        stub = rpc.DataServiceStub(await mesh.signed_in(["data.read"]))
        assert list((await stub.ListDatasets(pb.ListDatasetsRequest())).datasets) == []


async def test_a_missing_key_file_is_named(fresh_dsn: str, tmp_path: Path) -> None:
    ca = ThrowawayCa(tmp_path / "ca")
    told = settings(tmp_path, ca, fresh_dsn, keyring_file=tmp_path / "absent.json")
    with pytest.raises(KeyringError, match=r"absent\.json"):
        async with process(told, ca, TokenMint()):
            pass


def test_the_process_starts_without_the_libraries_of_its_programs() -> None:
    code = f"import sys, services.data.__main__; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
