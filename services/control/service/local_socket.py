"""A second server on a Unix socket, for xDS clients of this host that cannot speak TLS to an xDS server (Node)."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import structlog
from envoy.service.discovery.v3.ads_pb2_grpc import add_AggregatedDiscoveryServiceServicer_to_server
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health

from automesh.core.errors import AutomationError, Kind
from services.control.service.ads import AdsServicer

log = structlog.get_logger(__name__)

OWNER_ONLY = 0o600
MAX_CONCURRENT_STREAMS = 1_000
CONNECT_TIMEOUT_S = 1.0


class BadSocketPath(AutomationError):
    """The Unix socket cannot be made where it was wanted."""

    kind = Kind.PRECONDITION
    reason = "BAD_SOCKET_PATH"


@asynccontextmanager
async def serve_local_socket(ads: AdsServicer, path: Path) -> AsyncGenerator[None]:
    """Serves ADS and health, nothing else: who can open the socket is the user that control runs as."""
    server = grpc.aio.server(maximum_concurrent_rpcs=MAX_CONCURRENT_STREAMS)
    add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    if await _is_served(path):
        raise BadSocketPath(f"another control already serves {path}: stop it, or set AUTOMESH_SOCKET_PATH to another")
    await asyncio.to_thread(_make_room, path)
    _bind(server, path)
    await server.start()
    log.info("xds for clients of this host", socket=str(path))
    try:
        yield
    finally:
        await server.stop(0)
        _remove(path)


async def _is_served(path: Path) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_unix_connection(path), CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _make_room(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = path.parent.stat()
        if owner.st_uid != os.getuid() or stat.S_IMODE(owner.st_mode) & 0o022:
            raise BadSocketPath(f"{path.parent} is not ours alone to write: remove it, or set AUTOMESH_SOCKET_PATH")
        _remove(path)  # left by a control that was killed
    except OSError as error:
        raise BadSocketPath(f"cannot make {path}: {error.strerror}. Set AUTOMESH_SOCKET_PATH to another") from error


def _bind(server: grpc.aio.Server, path: Path) -> None:
    before = os.umask(0o777 & ~OWNER_ONLY)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise BadSocketPath(f"cannot listen on {path}: set AUTOMESH_SOCKET_PATH to another") from error
    finally:
        os.umask(before)
