"""Wiring: descriptors -> site -> ASGI application -> HTTP server, beside the gateway's own place in the mesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
import structlog

from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.web.server import Listen, serving
from gateway.api_keys import ApiKeys, AuthExchange
from gateway.calls import Invoker
from gateway.descriptors import BadDescriptors, load_catalog, own_descriptors
from gateway.http import Gateway
from gateway.metadata import Deadlines
from gateway.rpc import GrpcUpstream
from gateway.settings import Settings
from gateway.site import Site, build_site
from gateway.streaming import Streamer
from gateway.uploads import UploadLimits

log = structlog.get_logger()


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """The gateway serves no rpc of its own: only health and reflection, so the mesh can watch it."""
    async with http_gateway(settings, mesh.channel, mesh.stopping) as ended:
        watching = asyncio.create_task(_stop_when(ended, mesh.stopping))
        try:
            yield []
        finally:
            watching.cancel()


@asynccontextmanager
async def http_gateway(
    settings: Settings, channel: Callable[[str], grpc.aio.Channel], stopping: asyncio.Event
) -> AsyncGenerator[asyncio.Event]:
    """Serves HTTP while it is open; set `stopping` first, so that streams end. Gives an event: the server is down."""
    api_keys = ApiKeys(AuthExchange(channel), longest_s=settings.gateway_api_key_cache_s)
    invoker = Invoker(
        GrpcUpstream(channel),
        api_keys,
        Deadlines(
            default_s=settings.gateway_timeout_s,
            stream_s=settings.gateway_stream_timeout_s,
            longest_s=settings.gateway_longest_timeout_s,
        ),
        max_body=settings.gateway_max_body,
        body_timeout_s=settings.gateway_body_timeout_s,
        trust_forwarded=settings.gateway_trust_forwarded,
    )
    site = load_site(settings)
    gateway = Gateway(
        site,
        invoker,
        Streamer(
            invoker,
            stopping,
            keep_alive_s=settings.gateway_keep_alive_s,
            stalled_s=settings.gateway_stalled_s,
            uploads=UploadLimits(settings.gateway_max_upload_bytes, settings.gateway_upload_silence_s),
        ),
        max_headers=settings.gateway_max_headers,
        slow_s=settings.gateway_slow_s,
    )
    listen = _listen(settings)
    async with serving(gateway, listen) as ended:
        log.info("serving http", url=listen.url, routes=len(site.endpoints))
        try:
            yield ended
        finally:
            await gateway.drain(settings.drain_timeout_s)
            await api_keys.close()


def load_site(settings: Settings) -> Site:
    """The site of automesh's own descriptors and of those that the operator adds. Raises BadDescriptors."""
    sets = [own_descriptors()]
    for path in settings.gateway_descriptor_files:
        try:
            sets.append(path.read_bytes())
        except OSError as error:
            raise BadDescriptors(f"the descriptor set {path} cannot be read: {error.strerror}", path=path) from error
    return build_site(
        load_catalog(*sets),
        version=settings.version,
        ignore_unknown_fields=settings.gateway_ignore_unknown_fields,
        ignore_unknown_query=settings.gateway_ignore_unknown_query,
    )


def _listen(settings: Settings) -> Listen:
    secure = settings.gateway_tls == "on"
    return Listen(
        host=settings.gateway_host,
        port=settings.gateway_port,
        certificate=settings.gateway_tls_certificate_file if secure else None,
        key=settings.gateway_tls_key_file if secure else None,
        max_headers=settings.gateway_max_headers,
        max_requests=settings.gateway_max_requests,
        setting="AUTOMESH_GATEWAY_PORT",
    )


async def _stop_when(ended: asyncio.Event, stopping: asyncio.Event) -> None:
    """A gateway without its HTTP server is of no use: the supervisor starts another."""
    await ended.wait()
    if not stopping.is_set():
        log.error("the http server has ended by itself")
        stopping.set()
