"""The HTTP server: granian, in this process and this event loop. HTTP/1.1 and, if wanted, HTTP/2; TLS 1.3 (1.2 too)."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from automesh.core.errors import AutomationError, InternalError, Kind
from automesh.mesh.server import PortInUse

log = structlog.get_logger()

App = Callable[[Any, Any, Any], Awaitable[None]]

_H1_BUFFER = 64 * 1024
_STREAMS_A_CONNECTION = 200
_PING_MS = 30_000  # a peer that vanished without a word is noticed, and its streams are cancelled
_HEAD_MS = 30_000  # a head that takes longer to come ends its connection, and so does one that never comes
_STARTUP_S = 10.0
CLOSE_S = 2.0
"""So long connections may take to end once no request is served any more."""


class BadCertificate(AutomationError):
    """The web certificate cannot be used."""

    kind = Kind.PRECONDITION
    reason = "BAD_WEB_CERTIFICATE"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where and how to listen. Without certificate and key it is plain HTTP."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    max_headers: int = 32 * 1024
    max_requests: int = 4096
    http2: bool = True
    """A server of both kinds waits for ever to hear which a silent connection will speak: whoever opens `max_requests`
    of these keeps all others out. One of HTTP/1.1 alone ends them."""
    setting: str = ""
    """The environment variable that names the port, for the message of PortInUse."""

    @property
    def url(self) -> str:
        """As people type it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"


@asynccontextmanager
async def serving(app: App, listen: Listen) -> AsyncGenerator[asyncio.Event]:
    """Serves `app` while it is open; the event is set if the server ends by itself. Raises PortInUse, BadCertificate.

    On leaving, no connection is taken any more, and requests in progress are waited for: end them first.
    """
    _check_port(listen)
    server = _server(app, listen)
    ended = asyncio.Event()
    task = asyncio.create_task(server.serve(), name="http server")
    task.add_done_callback(lambda _: ended.set())
    try:
        await _listening(listen, task)
        yield ended
    finally:
        server.stop()  # type: ignore[no-untyped-call] # granian leaves it without types
        await asyncio.wait([task], timeout=CLOSE_S)
        if not task.done():
            # Somebody holds a connection in the middle of a request; the end of the process will close it.
            log.warning("connections left open")
            task.cancel()
            await asyncio.wait([task])


def _check_port(listen: Listen) -> None:
    """granian shares a port with whoever has it: a second server would get half of the first one's requests."""
    try:
        family, _, _, _, address = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        choose = f" with {listen.setting}" if listen.setting else ""
        raise PortInUse(
            f"cannot listen on {listen.host}:{listen.port} ({os.strerror(error.errno or 0)}). Stop whoever holds the "
            f"port, or choose another{choose}",
            address=f"{listen.host}:{listen.port}",
        ) from error


def _server(app: App, listen: Listen) -> Server:
    tls: dict[str, Any] = {}
    if listen.certificate is not None:
        tls = {"ssl_cert": listen.certificate, "ssl_key": listen.key, "ssl_protocol_min": SSLProtocols.tls12}
    try:
        return Server(
            app,
            address=listen.host,
            port=listen.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto if listen.http2 else HTTPModes.http1,
            websockets=False,
            backpressure=listen.max_requests,
            http1_settings=HTTP1Settings(
                header_read_timeout=_HEAD_MS, max_buffer_size=max(_H1_BUFFER, 2 * listen.max_headers)
            ),
            http2_settings=HTTP2Settings(
                max_headers_size=2 * listen.max_headers,
                max_concurrent_streams=_STREAMS_A_CONNECTION,
                keep_alive_interval=_PING_MS,
            ),
            # Its own lines are no JSON, and tell of every request cut off; what matters is logged by the application.
            log_dictconfig={"loggers": {}, "handlers": {}, "formatters": {}},
            log_enabled=False,
            **tls,
        )
    except (OSError, ssl.SSLError) as error:
        raise BadCertificate(
            f"the certificate {listen.certificate} and key {listen.key} cannot be used: {error}"
        ) from error


async def _listening(listen: Listen, task: asyncio.Task[None]) -> None:
    """Returns once connections are taken."""
    deadline = asyncio.get_running_loop().time() + _STARTUP_S
    while asyncio.get_running_loop().time() < deadline and not task.done():
        try:
            _, writer = await asyncio.open_connection(listen.host, listen.port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        return
    error = None if not task.done() or task.cancelled() else task.exception()
    raise InternalError(f"the HTTP server did not begin to listen on {listen.url}") from error
