"""A running registry of each kind, and what control sees of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from automesh.control.v1 import registry_service_pb2, registry_service_pb2_grpc
from automesh.local.ports import free_port
from automesh.mesh.audit import AuditLog
from automesh.mesh.interceptor import CallInterceptor
from automesh.mesh.policy import AccessTable
from automesh.mesh.registry import Registry
from automesh.mesh.registry_consul import ConsulRegistry
from automesh.mesh.registry_embedded import EmbeddedRegistry
from automesh.mesh.server import Bound, Health, listen, make_server
from automesh.mesh.tokens import TokenVerifier
from automesh.testing.ca import ThrowawayCa
from automesh.testing.tokens import TokenMint
from services.control.clients.consul import ConsulCatalogue
from services.control.domain.instance import Instance as Seen
from services.control.domain.ports import Catalogue, CatalogueUnavailable
from services.control.service.registry import RegistryServicer
from services.control.store.embedded import EmbeddedCatalogue

TTL_S = 2.0
LIMIT_S = 15.0


class World(Protocol):
    """A running registry of one kind."""

    kind: str
    address: str
    ttl_s: float

    def registry(self, service: str = "echo") -> Registry: ...
    def identity(self) -> Path: ...
    def catalogue(self) -> Catalogue: ...
    async def stop(self) -> None: ...
    async def start(self) -> None: ...


class EmbeddedWorld:
    """Control's registry behind the real guard and real mutual TLS; it forgets everything when it stops."""

    kind = "embedded"
    ttl_s = TTL_S

    def __init__(self, folder: Path) -> None:
        self.ca, self._port = ThrowawayCa(folder / "ca"), free_port()
        self._audit = AuditLog(folder / "audit", service="control", instance_id="control-1")
        self.address = f"localhost:{self._port}"
        self._catalogue = self._fresh()

    def registry(self, service: str = "echo") -> Registry:
        return EmbeddedRegistry(self.address, self.ca.service(service))

    def identity(self) -> Path:
        return self.ca.service("echo").folder

    def catalogue(self) -> Catalogue:
        return _Current(lambda: self._catalogue)

    async def start(self) -> None:
        self._stopping = asyncio.Event()
        self._catalogue = self._fresh()
        descriptor = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]
        servicer = RegistryServicer(self._catalogue, stopping=self._stopping)
        bound = Bound(descriptor, registry_service_pb2_grpc.add_RegistryServiceServicer_to_server, servicer)
        mint = TokenMint()
        guard = CallInterceptor(
            AccessTable([descriptor]),
            TokenVerifier(mint.issuer, mint.keys),
            self._audit,
            trust_domain=self.ca.trust_domain,
            environment=self.ca.environment,
        )
        self._server = make_server([bound], guard, Health(), max_connection_age_s=600)
        listen(self._server, f"127.0.0.1:{self._port}", self.ca.service("control"))
        await self._server.start()

    async def stop(self) -> None:
        self._stopping.set()
        await self._server.stop(1)

    @staticmethod
    def _fresh() -> EmbeddedCatalogue:
        return EmbeddedCatalogue(ttl_s=TTL_S, linger_s=TTL_S / 2)


class ConsulWorld:
    """A real Consul in development mode; it forgets everything when it stops."""

    kind = "consul"
    ttl_s = TTL_S

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary, self._folder, self._ports = binary, folder, [free_port() for _ in range(4)]
        self.address = f"127.0.0.1:{self._ports[0]}"

    def registry(self, service: str = "echo") -> Registry:
        return ConsulRegistry(self.address, ttl_s=TTL_S)

    def identity(self) -> Path:
        return self._folder  # Consul asks for none

    def catalogue(self) -> Catalogue:
        return ConsulCatalogue(self.address, grace_s=4 * TTL_S)

    async def start(self) -> None:
        http, server, lan, wan = map(str, self._ports)
        command = [str(self._binary), "agent", "-dev", "-bind", "127.0.0.1", "-http-port", http, "-server-port", server]
        command += ["-serf-lan-port", lan, "-serf-wan-port", wan, "-dns-port", "-1", "-grpc-port", "-1"]
        with (self._folder / "consul.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        await asyncio.wait_for(self._until_it_answers(), 30)

    async def stop(self) -> None:
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _until_it_answers(self) -> None:
        while True:
            with contextlib.suppress(CatalogueUnavailable):
                async for _ in self.catalogue().watch():
                    return
            await asyncio.sleep(0.1)


class _Current:
    """The catalogue of a world that may be started anew."""

    name = "embedded"

    def __init__(self, current: Callable[[], EmbeddedCatalogue]) -> None:
        self._current = current

    async def watch(self) -> AsyncGenerator[tuple[Seen, ...]]:
        while True:
            current = self._current()
            watching = current.watch().__aiter__()
            while current is self._current():
                try:
                    yield await asyncio.wait_for(anext(watching), 0.2)
                except (TimeoutError, StopAsyncIteration):
                    break


class Watcher:
    """What control sees, kept up to date as control does it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._changed = asyncio.Event()
        self.instances: dict[str, Seen] = {}
        self.history: list[frozenset[str]] = []

    async def run(self) -> None:
        while True:
            with contextlib.suppress(CatalogueUnavailable):
                async for found in self._catalogue.watch():
                    self.instances = {each.instance_id: each for each in found}
                    self.history.append(self.serving())
                    self._changed.set()
            await asyncio.sleep(0.1)

    def serving(self) -> frozenset[str]:
        return frozenset(name for name, each in self.instances.items() if each.healthy)

    async def until(self, *serving: str, limit_s: float = LIMIT_S) -> None:
        """Waits until exactly these may be called."""
        await self.when(lambda: self.serving() == frozenset(serving), limit_s=limit_s)

    async def when(self, condition: Callable[[], bool], *, limit_s: float = LIMIT_S) -> None:
        """Waits until the condition holds; it is looked at after each change."""
        async with asyncio.timeout(limit_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def watching(world: World) -> AsyncGenerator[Watcher]:
    watcher = Watcher(world.catalogue())
    running = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        running.cancel()
        await asyncio.wait([running])


@contextlib.asynccontextmanager
async def started(world: World) -> AsyncGenerator[World]:
    await world.start()
    try:
        yield world
    finally:
        await world.stop()


@pytest.fixture
async def embedded_world(tmp_path: Path) -> AsyncGenerator[World]:
    """The embedded registry, for what it alone does."""
    async with started(EmbeddedWorld(tmp_path)) as world:
        yield world


@pytest.fixture
async def consul_world(consul_binary: Path, tmp_path: Path) -> AsyncGenerator[World]:
    """Consul, for what it alone does."""
    async with started(ConsulWorld(consul_binary, tmp_path)) as world:
        yield world


@pytest.fixture(params=["embedded", pytest.param("consul", marks=pytest.mark.consul)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[World]:
    """Each of them in turn."""
    world: World
    if request.param == "consul":
        world = ConsulWorld(request.getfixturevalue("consul_binary"), tmp_path)
    else:
        world = EmbeddedWorld(tmp_path)
    async with started(world):
        yield world


@pytest.fixture
async def watcher(world: World) -> AsyncGenerator[Watcher]:
    """What control sees in the world."""
    async with watching(world) as watcher:
        yield watcher


@pytest.fixture
async def embedded_watcher(embedded_world: World) -> AsyncGenerator[Watcher]:
    """What control sees in its own registry."""
    async with watching(embedded_world) as watcher:
        yield watcher


@pytest.fixture
async def consul_watcher(consul_world: World) -> AsyncGenerator[Watcher]:
    """What control sees in Consul."""
    async with watching(consul_world) as watcher:
        yield watcher
