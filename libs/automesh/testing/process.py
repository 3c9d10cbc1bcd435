"""A whole process of the mesh inside a test: wired by its own `build`, with nothing else of the platform around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from automesh.mesh.audit import AuditEvent
from automesh.mesh.process import Build, Mesh, S, serve
from automesh.mesh.registry import HealthCheck, Instance
from automesh.mesh.server import Bound
from automesh.testing.ca import ThrowawayCa
from automesh.testing.mesh import InProcessMesh
from automesh.testing.tokens import TokenMint

LIMIT_S = 30.0
"""The longest a test waits for a process to serve, or to stop."""


class NoRegistry:
    """An automesh.mesh.registry.Registry in which nobody looks for us."""

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        """Returns only when it is cancelled."""
        await asyncio.Event().wait()


@asynccontextmanager
async def lone_process(
    settings: S, build: Build[S], ca: ThrowawayCa, mint: TokenMint
) -> AsyncGenerator[tuple[InProcessMesh, Mesh]]:
    """Serves until the block ends. Yields channels to it and its own mesh; raises what stops it from serving."""
    started: asyncio.Future[tuple[int, Mesh]] = asyncio.get_running_loop().create_future()

    def ready(port: int, mesh: Mesh) -> None:
        started.set_result((port, mesh))

    running = asyncio.create_task(serve(settings, _alone(build, mint), ready=ready))
    either: set[asyncio.Future[Any]] = {running, started}
    async with asyncio.timeout(LIMIT_S):
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        port, mesh = await started
    client = InProcessMesh(ca, mint, settings.service, port, settings.state_dir)
    try:
        yield client, mesh
    finally:
        mesh.stopping.set()
        await asyncio.wait_for(running, LIMIT_S)
        await client.close()


def _alone(build: Build[S], mint: TokenMint) -> Build[S]:
    """The same wiring with keys of the test, and without a registry or an audit service."""

    @asynccontextmanager
    async def alone(settings: S, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
        mesh.jwks_source, mesh.audit_sink, mesh.registry = mint.keys, _no_audit, NoRegistry()
        async with build(settings, mesh) as bounds:
            yield bounds

    return alone


async def _no_audit(events: Sequence[AuditEvent]) -> None:
    """Kept by nobody here."""
