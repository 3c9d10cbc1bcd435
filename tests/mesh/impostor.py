"""A server that got into the catalogue with certificates of the test's choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health

from automesh.mesh.identity import Identity, IdentityFiles
from automesh.mesh.registry import Instance
from automesh.mesh.registry_embedded import EmbeddedRegistry
from automesh.mesh.server import listen


def stored(folder: Path, identity: Identity) -> IdentityFiles:
    files = IdentityFiles(folder)
    files.store(identity)
    return files


@asynccontextmanager
async def impostor(lab: Any, files: IdentityFiles) -> AsyncGenerator[None]:
    """A server with these certificates, which somehow got into the catalogue as `echo`."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = listen(server, "127.0.0.1:0", files)
    await server.start()
    registry = EmbeddedRegistry(f"localhost:{lab.port}", lab.ca.service("echo"))
    instance = Instance(instance_id="impostor", service="echo", address="127.0.0.1", port=port)

    async def healthy() -> bool:
        return True

    holding = asyncio.create_task(registry.hold(instance, healthy))
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.wait([holding])
        await server.stop(0)
