"""Who is refused, and by whom: certificates of another CA, for another service, with two names, or out of date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from automesh.mesh.identity import Identity, IdentityFiles
from automesh.testing.ca import ThrowawayCa
from tests.mesh.impostor import impostor, stored

pytestmark = pytest.mark.mesh

ECHO = "spiffe://automesh.local/ns/dev/sa/echo"
GATEWAY = "spiffe://automesh.local/ns/dev/sa/gateway"


async def refused_by_callers(lab: Any, files: IdentityFiles) -> dict[str, Any]:
    await lab.control()
    caller = await lab.caller()
    report: dict[str, Any] = {}
    async with impostor(lab, files):
        # Until the impostor is what the name resolves to, and its handshake has failed.
        for _ in range(200):
            report = await caller.do("call", count=1)
            assert report["ok"] == 0
            if any("connections to all backends failing" in error for error in report["errors"]):
                break
        await lab.echo("echo-1")
        await caller.do("until", by=["echo-1"])
    return report


async def test_callers_refuse_a_server_of_another_ca(lab: Any, tmp_path: Path) -> None:
    other = ThrowawayCa(tmp_path / "other")
    # It trusts our CA, so that only the caller can be the one that refuses.
    foreign = other.identity([ECHO])
    mixed = Identity(foreign.certificate_pem, foreign.key_pem, lab.ca.bundle_pem)
    report = await refused_by_callers(lab, stored(tmp_path / "impostor", mixed))
    assert any("connections to all backends failing" in error for error in report["errors"])


async def test_callers_refuse_a_server_of_another_service(lab: Any, tmp_path: Path) -> None:
    wrong = lab.ca.identity(["spiffe://automesh.local/ns/dev/sa/agent"])
    report = await refused_by_callers(lab, stored(tmp_path / "impostor", wrong))
    assert any("connections to all backends failing" in error for error in report["errors"])


async def test_callers_refuse_a_server_of_another_environment(lab: Any, tmp_path: Path) -> None:
    wrong = lab.ca.identity(["spiffe://automesh.local/ns/prod/sa/echo"])
    report = await refused_by_callers(lab, stored(tmp_path / "impostor", wrong))
    assert any("connections to all backends failing" in error for error in report["errors"])


async def status_of_a_call(port: int, identity: Identity, bundle: bytes) -> tuple[grpc.StatusCode, str]:
    credentials = grpc.ssl_channel_credentials(bundle, identity.key_pem, identity.certificate_pem)
    options = [("grpc.ssl_target_name_override", "control.automesh.local"), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


async def test_servers_let_in_a_good_certificate(lab: Any) -> None:
    await lab.control()
    code, _ = await status_of_a_call(lab.port, lab.ca.identity([GATEWAY]), lab.ca.bundle_pem)
    assert code is grpc.StatusCode.OK


async def test_servers_refuse_a_caller_of_another_ca(lab: Any, tmp_path: Path) -> None:
    await lab.control()
    stranger = ThrowawayCa(tmp_path / "other").identity([GATEWAY])
    code, _ = await status_of_a_call(lab.port, stranger, lab.ca.bundle_pem)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_servers_refuse_an_expired_certificate(lab: Any) -> None:
    await lab.control()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = lab.ca.identity([GATEWAY], lifetime=timedelta(hours=1), now=yesterday)
    code, _ = await status_of_a_call(lab.port, expired, lab.ca.bundle_pem)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_servers_refuse_a_certificate_with_two_identities(lab: Any) -> None:
    await lab.control()
    code, details = await status_of_a_call(lab.port, lab.ca.identity([GATEWAY, ECHO]), lab.ca.bundle_pem)
    assert (code, "SPIFFE" in details) == (grpc.StatusCode.UNAUTHENTICATED, True)


async def test_servers_refuse_a_caller_without_a_certificate(lab: Any) -> None:
    await lab.control()
    credentials = grpc.ssl_channel_credentials(lab.ca.bundle_pem)
    async with grpc.aio.secure_channel(f"localhost:{lab.port}", credentials) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
