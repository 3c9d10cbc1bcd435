"""`python -m gateway` as a process of a real mesh: what it serves, what it says, how it ends."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

import httpx
import pytest

from automesh.local.ports import free_port

pytestmark = pytest.mark.mesh

LIMIT_S = 60.0  # gRPC itself takes 15 s to decide that control does not know a service


class Front:
    """A gateway of the lab with a client that trusts its web certificate."""

    def __init__(self, lab: Any, port: int) -> None:
        self.port = port
        self.root = lab.folder / "web-root.pem"
        self.root.write_bytes(lab.ca.bundle_pem)
        web = lab.ca.identity([], dns=["localhost"], ips=["127.0.0.1"])
        self.certificate, self.key = lab.folder / "web.pem", lab.folder / "web.key"
        self.certificate.write_bytes(web.certificate_pem)
        self.key.write_bytes(web.key_pem)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AUTOMESH_GATEWAY_PORT": str(self.port),
            "AUTOMESH_GATEWAY_TLS_CERTIFICATE_FILE": str(self.certificate),
            "AUTOMESH_GATEWAY_TLS_KEY_FILE": str(self.key),
        }

    def client(self) -> httpx.AsyncClient:
        context = ssl.create_default_context(cafile=self.root)
        return httpx.AsyncClient(base_url=f"https://127.0.0.1:{self.port}", verify=context, timeout=LIMIT_S)


async def start(lab: Any, port: int) -> tuple[Any, Front]:
    front = Front(lab, port)
    command = [sys.executable, "-m", "gateway"]
    return await lab._serving("gateway-1", "gateway", command, "0", **front.environment), front


@pytest.fixture
def port() -> int:
    return free_port()


async def until(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    async with asyncio.timeout(LIMIT_S):
        while True:
            response = await client.get(path)
            if response.status_code == status:
                return response
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_health_comes_from_control_over_the_mesh_and_sigterm_ends_the_gateway_cleanly(
    lab: Any, port: int
) -> None:
    control = await lab.control()
    gateway, front = await start(lab, port)
    async with front.client() as client:
        response = await until(client, "/api/v1/health", 200)
        assert response.json()["status"].startswith("HEALTH_STATUS_")
        assert response.json()["services"] == []
        assert (await client.get("/api/v1/mesh/services")).status_code == 401

        missing = await client.get("/api/v1/tasks/task_1")
        assert missing.status_code == 503
        assert "orchestrator" in missing.json()["message"]
        assert "127.0.0.1" not in missing.text

        await control.kill()
        assert (await until(client, "/api/v1/health", 503)).json()["code"] == 14
    assert await gateway.stop() == 0
    last = json.loads(gateway.log.read_text().splitlines()[-1])
    assert last["level"] in ("info", "warning"), gateway.log.read_text()
    assert "Traceback" not in gateway.log.read_text()
    assert "panicked" not in gateway.log.read_text()


async def test_a_second_gateway_on_the_port_says_what_to_do_and_exits(lab: Any, port: int) -> None:
    await lab.control()
    _, front = await start(lab, port)
    identity = lab.ca.service("gateway", folder=lab.folder / "identities" / "gateway-2")
    kind = type(lab.programs[0])  # started as the others are, but without waiting for it to serve
    second = await lab._start(kind, "gateway-2", identity, [sys.executable, "-m", "gateway"], "0", **front.environment)
    assert await asyncio.wait_for(second.process.wait(), LIMIT_S) == 78
    assert "AUTOMESH_GATEWAY_PORT" in second.log.read_text()
