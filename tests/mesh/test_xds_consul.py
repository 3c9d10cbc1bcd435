"""The mesh on a real Consul: found, balanced, and unharmed while Consul is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from automesh.local.ports import free_port

pytestmark = [pytest.mark.mesh, pytest.mark.consul]


class Consul:
    """One Consul in development mode: what it knew is gone when it stops."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        self.ports = [free_port() for _ in range(4)]

    async def start(self) -> None:
        http, server, lan, wan = map(str, self.ports)
        command = [str(self._binary), "agent", "-dev", "-bind", "127.0.0.1", "-http-port", http, "-server-port", server]
        command += ["-serf-lan-port", lan, "-serf-wan-port", wan, "-dns-port", "-1", "-grpc-port", "-1"]
        with (self._folder / "consul.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture
async def consul(lab: Any, consul_binary: Path) -> AsyncGenerator[Consul]:
    consul = Consul(consul_binary, lab.folder)
    lab.extra = {"AUTOMESH_REGISTRY": "consul", "AUTOMESH_CONSUL_ADDRESS": f"127.0.0.1:{consul.ports[0]}"}
    await consul.start()
    yield consul
    await consul.stop()


async def test_a_service_is_found_through_consul_and_its_processes_share_the_calls(lab: Any, consul: Consul) -> None:
    await lab.control()
    await lab.echo("echo-1")
    second = await lab.echo("echo-2")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1", "echo-2"])
    await caller.do("begin")
    assert await second.stop() == 0
    await caller.do("until", by=["echo-1"])
    report = await caller.do("end")
    assert report["errors"] == {}


async def test_calls_go_on_while_consul_is_away_and_new_processes_are_found_once_it_is_back(
    lab: Any, consul: Consul
) -> None:
    await lab.control()
    await lab.echo("echo-1")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    await caller.do("begin")
    await consul.stop()
    assert (await caller.do("call", count=50))["ok"] == 50
    await lab.echo("echo-2")  # starts although its registry is away
    await consul.start()
    await caller.do("until", by=["echo-1", "echo-2"])
    report = await caller.do("end")
    assert report["errors"] == {}


async def test_control_started_again_without_consul_serves_what_it_remembers(lab: Any, consul: Consul) -> None:
    control = await lab.control()
    await lab.echo("echo-1")
    caller = await lab.caller()
    await caller.do("until", by=["echo-1"])
    await control.kill()
    await consul.stop()
    await lab.control()
    late = await lab.caller()
    assert (await late.do("until", by=["echo-1"]))["errors"] == {}
