"""One suite for both registries, embedded and Consul: what a process registers is what control sees."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automesh.core.errors import PermissionDenied, ValidationError
from automesh.mesh.consul_client import ConsulConnection
from automesh.mesh.identity import IdentityFiles
from automesh.mesh.registry import Instance, Registry
from automesh.mesh.registry_embedded import EmbeddedRegistry

LIMIT_S = 15.0
ECHO = "spiffe://automesh.local/ns/dev/sa/echo"


def instance(instance_id: str = "echo-1", *, port: int = 4001) -> Instance:
    return Instance(
        instance_id=instance_id,
        service="echo",
        address="127.0.0.1",
        port=port,
        version="1.2",
        metadata={"zone": "a"},
        spiffe_id=ECHO,
    )


class Process:
    """A registration that a test holds, with a health it can change."""

    def __init__(self, registry: Registry, what: Instance) -> None:
        self.well = True
        self._task = asyncio.create_task(registry.hold(what, self._healthy))

    async def _healthy(self) -> bool:
        return self.well

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def refused(self) -> None:
        await asyncio.wait_for(self._task, LIMIT_S)


class CuttingProxy:
    """Passes TCP connections on, and can cut them all."""

    def __init__(self, target_port: str) -> None:
        self._target_port = int(target_port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.connected = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[int]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        self.connected.clear()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers |= {writer, far_writer}
        self.connected.set()
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def registered(world: Any, what: Instance) -> AsyncGenerator[Process]:
    process = Process(world.registry(), what)
    try:
        yield process
    finally:
        await process.stop()


async def test_a_registration_is_seen_with_all_it_says(world: Any, watcher: Any) -> None:
    async with registered(world, instance()):
        await watcher.until("echo-1")
        seen = watcher.instances["echo-1"]
    assert (seen.service, seen.address, seen.port, seen.version) == ("echo", "127.0.0.1", 4001, "1.2")
    assert (dict(seen.metadata), seen.spiffe_id) == ({"zone": "a"}, ECHO)


async def test_a_process_that_is_not_well_is_not_served_until_it_is(world: Any, watcher: Any) -> None:
    async with registered(world, instance()) as process:
        await watcher.until("echo-1")
        process.well = False
        await watcher.until()
        assert "echo-1" in watcher.instances, "it is still registered"
        process.well = True
        await watcher.until("echo-1")


async def test_a_goodbye_takes_the_process_out_long_before_its_ttl(world: Any, watcher: Any) -> None:
    async with registered(world, instance()):
        await watcher.until("echo-1")
    await watcher.until(limit_s=world.ttl_s / 2)
    assert "echo-1" not in watcher.instances


async def test_two_processes_of_a_service_are_both_seen_and_leave_one_by_one(world: Any, watcher: Any) -> None:
    async with registered(world, instance("echo-1")):
        async with registered(world, instance("echo-2", port=4002)):
            await watcher.until("echo-1", "echo-2")
        await watcher.until("echo-1")


async def test_a_registration_outlives_many_ttls(world: Any, watcher: Any) -> None:
    async with registered(world, instance()):
        await watcher.until("echo-1")
        before = len(watcher.history)
        with pytest.raises(TimeoutError):
            await watcher.until(limit_s=2.5 * world.ttl_s)
        assert all("echo-1" in serving for serving in watcher.history[before:])


async def test_a_killed_process_is_out_within_its_ttl(world: Any, watcher: Any) -> None:
    program = Path(__file__).parent / "programs" / "hold_registration.py"
    command = [sys.executable, str(program), world.kind, world.address, str(world.identity()), str(world.ttl_s)]
    doomed = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        await watcher.until("doomed")
    finally:
        doomed.kill()
        await doomed.wait()
    await watcher.until(limit_s=world.ttl_s + 1)


async def test_after_a_restart_of_the_registry_processes_are_back(world: Any, watcher: Any) -> None:
    async with registered(world, instance()):
        await watcher.until("echo-1")
        await world.stop()
        await world.start()
        watcher.instances = {}
        await watcher.until("echo-1")
        with pytest.raises(TimeoutError):
            await watcher.until(limit_s=world.ttl_s)  # and stay


async def test_a_process_may_start_before_its_registry(world: Any, watcher: Any) -> None:
    await world.stop()
    async with registered(world, instance()):
        await world.start()
        await watcher.until("echo-1")


async def test_the_same_instance_registers_anew_with_another_port(world: Any, watcher: Any) -> None:
    async with registered(world, instance()):
        await watcher.until("echo-1")
    async with registered(world, replace(instance(), port=4777)):
        await watcher.until("echo-1")
        await watcher.when(lambda: watcher.instances["echo-1"].port == 4777)


@pytest.mark.consul
async def test_consul_keeps_a_service_of_somebody_else_out_of_the_mesh(consul_world: Any, consul_watcher: Any) -> None:
    connection = ConsulConnection(consul_world.address)
    await connection.agent.service.register("database", service_id="db-1", port=5432)
    await connection.close()
    async with registered(consul_world, instance()):
        await consul_watcher.until("echo-1")
    assert "db-1" not in consul_watcher.instances


@pytest.mark.consul
async def test_after_an_outage_consul_is_given_time_to_learn_everything_again(
    consul_world: Any, consul_watcher: Any
) -> None:
    async with registered(consul_world, instance()):
        await consul_watcher.until("echo-1")
        before = len(consul_watcher.history)
        await consul_world.stop()
        await consul_world.start()
        await consul_watcher.when(lambda: len(consul_watcher.history) >= before + 2)
        assert all(serving == {"echo-1"} for serving in consul_watcher.history[before:])


async def test_the_embedded_registry_refuses_to_register_another_service(embedded_world: Any) -> None:
    with pytest.raises(PermissionDenied, match="may not register a process of 'echo'"):
        await Process(embedded_world.registry("agent"), instance()).refused()


async def test_the_embedded_registry_refuses_an_instance_that_nobody_could_call(embedded_world: Any) -> None:
    with pytest.raises(ValidationError, match="port 0 is not between 1 and 65535"):
        await Process(embedded_world.registry(), replace(instance(), port=0)).refused()


async def test_the_embedded_registry_refuses_an_instance_id_that_is_taken(
    embedded_world: Any, embedded_watcher: Any
) -> None:
    async with registered(embedded_world, instance()):
        await embedded_watcher.until("echo-1")
        with pytest.raises(PermissionDenied, match="belongs to a process of echo"):
            await Process(embedded_world.registry("agent"), replace(instance(), service="agent")).refused()
        assert embedded_watcher.serving() == {"echo-1"}


async def test_a_connection_that_breaks_for_a_moment_takes_nobody_out_of_the_embedded_registry(
    embedded_world: Any, embedded_watcher: Any
) -> None:
    proxy = CuttingProxy(embedded_world.address.rpartition(":")[2])
    async with proxy.listening() as port:
        registry = EmbeddedRegistry(f"localhost:{port}", IdentityFiles(embedded_world.identity()))
        process = Process(registry, instance())
        await embedded_watcher.until("echo-1")
        before = len(embedded_watcher.history)
        proxy.cut()
        await asyncio.wait_for(proxy.connected.wait(), LIMIT_S)
        with pytest.raises(TimeoutError):
            await embedded_watcher.until(limit_s=1.5 * embedded_world.ttl_s)
        assert all(serving == {"echo-1"} for serving in embedded_watcher.history[before:])
        await process.stop()
