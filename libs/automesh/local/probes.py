"""One look at a process: does it answer as it should? Each ends within a second or two and never raises."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automesh.local.ports import HOST, listening_port
from automesh.local.program import Health

if TYPE_CHECKING:
    import grpc

    from automesh.mesh.identity import IdentityFiles

LIMIT_S = 2.0
_REPLY_BYTES = 256 * 1024
HEALTH_PATH = "/api/v1/health"
SERVING = "HEALTH_STATUS_SERVING"


async def redis_answers(socket_path: Path) -> Health:
    """PING over the Unix socket."""
    return await _looked(_exchange(b"PING\r\n", lambda reply: reply.startswith(b"+PONG"), unix=socket_path))


async def postgres_answers(dsn: str) -> Health:
    """A connection as the services make it."""
    import asyncpg  # noqa: PLC0415 not every command that looks at processes pays for it

    async def connect() -> Health:
        connection = await asyncpg.connect(dsn, timeout=LIMIT_S)
        await connection.close(timeout=LIMIT_S)
        return Health(True)

    return await _looked(connect(), asyncpg.PostgresError, asyncpg.InterfaceError)


async def consul_leads(port: int) -> Health:
    """A single server works once it has elected itself."""
    request = f"GET /v1/status/leader HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode()
    health = await _looked(_exchange(request, lambda reply: b'"127.' in reply, port=port))
    return Health(health.well, port, health.detail)


async def gateway_answers(port: int, ca_file: Path) -> Health:
    """HTTPS answers with an overall state, whichever; `detail` holds it."""
    request = (
        f"GET {HEALTH_PATH} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    ).encode()
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        return Health(False, port, f"cannot read {ca_file}: {error.strerror}")
    told = ""

    def complete(reply: bytes) -> bool:
        nonlocal told
        told = _overall(reply)
        return told.startswith("HEALTH_STATUS_")

    health = await _looked(_exchange(request, complete, port=port, context=context))
    return Health(health.well, port, told or health.detail)


async def grpc_serves(
    pid: int, service: str, identity: IdentityFiles, *, trust_domain: str, besides: int = 0
) -> Health:
    """grpc.health.v1 over mutual TLS, at the port where that very process listens (`besides` one that is no gRPC)."""
    port = await asyncio.to_thread(listening_port, pid, besides=besides)
    if port is None:
        return Health(False, 0, "does not listen yet")
    import grpc  # noqa: PLC0415 - most probes need none, and it costs a third of a second

    async def check() -> Health:
        from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - as above

        async with _channel(port, f"{service}.{trust_domain}", identity) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=LIMIT_S)
        well = reply.status == health_pb2.HealthCheckResponse.SERVING
        return Health(well, port, "" if well else "says that it does not serve")

    health = await _looked(check(), grpc.aio.AioRpcError)
    return Health(health.well, port, health.detail)


def _channel(port: int, dns_name: str, identity: IdentityFiles) -> grpc.aio.Channel:
    import grpc  # noqa: PLC0415 - most probes need none, and it costs a third of a second

    held = identity.load()
    return grpc.aio.secure_channel(
        f"{HOST}:{port}",
        grpc.ssl_channel_credentials(held.bundle_pem, held.key_pem, held.certificate_pem),
        options=[
            ("grpc.ssl_target_name_override", dns_name),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ],
    )


async def _exchange(
    request: bytes,
    good: Callable[[bytes], bool],
    *,
    port: int = 0,
    unix: Path | None = None,
    context: ssl.SSLContext | None = None,
) -> Health:
    if unix is not None:
        reader, writer = await asyncio.open_unix_connection(str(unix))
    else:
        name = "localhost" if context else None
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=name)
    try:
        writer.write(request)
        reply = b""
        while not good(reply) and len(reply) < _REPLY_BYTES and (piece := await reader.read(16 * 1024)):
            reply += piece
        return Health(True) if good(reply) else Health(False, detail="answers, but not as it should")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _looked(look: Awaitable[Health], *faults: type[Exception]) -> Health:
    expected: tuple[type[Exception], ...] = (OSError, *faults)
    try:
        async with asyncio.timeout(LIMIT_S):
            return await look
    except TimeoutError:
        return Health(False, detail=f"gave no answer in {LIMIT_S:g} s")
    except expected as error:
        return Health(False, detail=_short(error))


def _short(error: BaseException) -> str:
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "strerror", None) or str(error)
    return (str(text).strip().split("\n", 1)[0] or type(error).__name__)[:200]


def _overall(reply: bytes) -> str:
    """The state in the gateway's reply, or what it says instead."""
    body = reply.partition(b"\r\n\r\n")[2]
    with suppress(ValueError):
        document = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
        return str(document.get("status") or document.get("message") or "")
    return ""
