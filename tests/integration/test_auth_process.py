"""auth as a whole process: it starts from what `init` made, renews its own certificate, and lets the owner back in."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import grpc
import pytest

from automesh.auth.v1 import token_service_pb2 as pb
from automesh.auth.v1 import token_service_pb2_grpc as rpc
from automesh.mesh.identity import IdentityFiles
from automesh.mesh.process import Mesh, serve
from automesh.mesh.registry import HealthCheck, Instance
from automesh.mesh.server import Bound
from automesh.testing.postgres import PostgresForTests
from services.auth import app
from services.auth.pki.folder import PkiError
from services.auth.pki.init import initialise
from services.auth.pki.layout import Layout, Lifetimes, Plan
from services.auth.settings import Settings

pytestmark = pytest.mark.postgres

LIMIT_S = 30
SHORT = timedelta(seconds=4)


class NoRegistry:
    """There is no control here to register with."""

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    mesh.registry = NoRegistry()
    async with app.build(settings, mesh) as bounds:
        yield bounds


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    plan = Plan(
        layout=layout, trust_domain="automesh.local", environment="dev", lifetimes=Lifetimes(leaf=timedelta(hours=1))
    )
    initialise(plan, datetime.now(UTC))
    return layout


@pytest.fixture
async def settings(layout: Layout, postgres: PostgresForTests) -> AsyncIterator[Settings]:
    async with postgres.fresh() as dsn:
        yield Settings(
            postgres_dsn=dsn,
            keyring_file=layout.keyring,
            state_dir=layout.state,
            identity_dir=layout.identity("auth"),
            leaf_lifetime=SHORT,
        )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    started: asyncio.Future[tuple[int, Mesh]] = asyncio.get_running_loop().create_future()

    def ready(port: int, mesh: Mesh) -> None:
        started.set_result((port, mesh))

    process = asyncio.create_task(serve(settings, build, ready=ready))
    await asyncio.wait([process, started], return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT_S)
    if process.done():
        await process
    port, mesh = await started
    try:
        yield port
    finally:
        mesh.stopping.set()
        await asyncio.wait_for(process, LIMIT_S)


async def login(layout: Layout, port: int, password: str = "") -> pb.TokenPair:
    held = IdentityFiles(layout.identity("gateway")).load()
    credentials = grpc.ssl_channel_credentials(held.bundle_pem, held.key_pem, held.certificate_pem)
    options = [("grpc.ssl_target_name_override", "auth.automesh.local"), ("grpc.use_local_subchannel_pool", 1)]
    request = pb.LoginRequest(username="admin", password=password or layout.admin_password.read_text().strip())
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        return (await rpc.TokenServiceStub(channel).Login(request, timeout=LIMIT_S)).tokens


async def methods_in_log(settings: Settings) -> set[str]:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        await connection.execute("SELECT set_config('automesh.tenant', '*', false)")
        rows = await connection.fetch("SELECT method FROM auth.audit_event")
    finally:
        await connection.close()
    return {row["method"] for row in rows}


async def test_a_fresh_stack_is_signed_in_to_and_remembers_after_a_restart(layout: Layout, settings: Settings) -> None:
    async with serving(settings) as port:
        first = await login(layout, port)
    async with serving(settings) as port:
        again = await login(layout, port)
    header = first.access_token.partition(".")[0]
    assert again.access_token.partition(".")[0] == header  # the same signing key
    assert "automesh.auth.v1.TokenService/Login" in await methods_in_log(settings)


async def test_the_process_renews_its_own_certificate_from_its_own_authority(
    layout: Layout, settings: Settings
) -> None:
    plan = Plan(layout=layout, trust_domain="automesh.local", environment="dev", lifetimes=Lifetimes(leaf=SHORT))
    (layout.identity("auth") / "cert.pem").unlink()
    initialise(plan, datetime.now(UTC))
    files = IdentityFiles(layout.identity("auth"))
    before = files.load()
    async with serving(settings) as port:
        async with asyncio.timeout(LIMIT_S):
            while files.load() == before:  # noqa: ASYNC110 - a file tells no event
                await asyncio.sleep(0.05)
        after = files.load()
        assert after.spiffe_id == before.spiffe_id
        assert after.leaf.serial_number != before.leaf.serial_number
        assert after.bundle_pem == before.bundle_pem
        assert (await login(layout, port)).access_token


async def test_without_init_the_process_says_what_to_do(layout: Layout, settings: Settings) -> None:
    (layout.pki / "issuer.key").unlink()
    with pytest.raises(PkiError, match="init --state-dir"):
        async with serving(settings):
            pass


async def run(settings: Settings, *arguments: str) -> tuple[int, str]:
    environment = {
        **os.environ,
        "AUTOMESH_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "AUTOMESH_KEYRING_FILE": str(settings.keyring_file),
        "AUTOMESH_STATE_DIR": str(settings.state_dir),
    }
    command = [sys.executable, "-m", "services.auth", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        output, errors = await process.communicate()
    return process.returncode or 0, (output + errors).decode()


async def test_the_owner_gets_back_in_when_the_password_is_lost(layout: Layout, settings: Settings) -> None:
    async with serving(settings) as port:
        old = layout.admin_password.read_text().strip()
        layout.admin_password.unlink()
        code, output = await run(settings, "reset-admin")
        assert code == 0, output
        new = layout.admin_password.read_text().strip()
        assert new != old
        assert new not in output
        assert (await login(layout, port)).access_token
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await login(layout, port, old)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
