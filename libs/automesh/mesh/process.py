"""The life of a process of the mesh, from its settings to its last call. Every service's `__main__` is `run(...)`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import grpc
import structlog

from automesh.core.clock import utc_now
from automesh.core.errors import AutomationError
from automesh.mesh import bootstrap
from automesh.mesh.audit import AuditLog, AuditSink
from automesh.mesh.auth_client import AuthClient, CertificateIssuer
from automesh.mesh.caller import current_caller
from automesh.mesh.channel import MeshChannel, mesh_channel
from automesh.mesh.identity import BadIdentity, IdentityFiles, SpiffeId
from automesh.mesh.interceptor import CallInterceptor
from automesh.mesh.policy import AccessTable
from automesh.mesh.registry import Instance, Registry
from automesh.mesh.registry_embedded import EmbeddedRegistry
from automesh.mesh.renewal import renew_forever
from automesh.mesh.server import Bound, Health, listen, make_server
from automesh.mesh.settings import EXIT_REFUSED, MeshSettings
from automesh.mesh.tokens import JwksSource, TokenVerifier
from automesh.telemetry.logs import configure_logging
from automesh.telemetry.metrics import metrics_endpoint
from automesh.telemetry.traces import trace_id

log = structlog.get_logger()

AUTH = "auth"
BACKGROUND_STOP_S = 5.0

S = TypeVar("S", bound=MeshSettings)
Build = Callable[[S, "Mesh"], AbstractAsyncContextManager[Sequence[Bound]]]
"""Wires a service: opens what it needs, yields its servicers, closes what it opened."""


class Mesh:
    """What a process has of the mesh. `build` gets it, may replace a port whose owner it is, and opens channels."""

    def __init__(self, settings: MeshSettings, files: IdentityFiles, spiffe_id: SpiffeId) -> None:
        self.settings, self.files, self.spiffe_id = settings, files, spiffe_id
        self.stopping = asyncio.Event()
        self.health = Health()
        self.jwks_source: JwksSource | None = None
        self.audit_sink: AuditSink | None = None
        self.certificate_issuer: CertificateIssuer | None = None
        self.registry: Registry | None = None
        self.before_server: list[Callable[[grpc.aio.Server], None]] = []
        self.ready_when: Callable[[], Awaitable[object]] | None = None
        """Returns once the process is of use; until then its health says NOT_SERVING. None: from the start."""
        self._channels: dict[str, MeshChannel] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None

    def channel(self, service: str) -> grpc.aio.Channel:
        """The channel to a service of the mesh; shared, and closed by the mesh."""
        if service not in self._channels:
            self._channels[service] = mesh_channel(service)
        return self._channels[service]

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs `work` until the process stops. When it fails, the process stops and says why."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def auth(self) -> AuthClient:
        """What every process asks of auth."""
        return AuthClient(self.channel(AUTH))

    async def close(self) -> None:
        """Ends the background work and the channels."""
        for task in tuple(self._background):
            task.cancel()
        if self._background:
            await asyncio.wait(self._background, timeout=BACKGROUND_STOP_S)
        for channel in self._channels.values():
            await channel.close()

    def raise_failure(self) -> None:
        """Raises what stopped the process, if something did."""
        if self._failure is not None:
            raise self._failure

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed, so the process stops", work=task.get_name(), exc_info=error)
            self._failure = self._failure or error
            self.stopping.set()


def run(settings: S, build: Build[S]) -> None:
    """The whole of a service's `__main__`. Exits 0 after a clean stop, 78 when it cannot start as it is told."""
    configure_logging(settings.service, settings.log_level, context=_request_fields)
    try:
        asyncio.run(serve(settings, build, on_signals=True))
    except AutomationError as error:
        log.error("cannot go on", reason=error.reason, error=str(error))
        sys.exit(EXIT_REFUSED if error.retry_after is None else 1)


async def serve(
    settings: S, build: Build[S], *, on_signals: bool = False, ready: Callable[[int, Mesh], None] | None = None
) -> None:
    """Joins the mesh and serves until told to stop. `ready` is called with the port once the process serves."""
    async with joined(settings) as mesh:
        if on_signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, mesh.stopping.set)
        async with build(settings, mesh) as bounds:
            await _serve_bounds(mesh, bounds, ready)
    mesh.raise_failure()


@asynccontextmanager
async def joined(settings: MeshSettings) -> AsyncGenerator[Mesh]:
    """Identity, bootstrap and channels, without a server: enough for a process that only calls."""
    files = IdentityFiles(settings.identity_dir)
    identity = files.load()
    if identity.validity[1] <= utc_now():
        raise BadIdentity(
            f"the certificate in {files.folder} ended {identity.validity[1]:%Y-%m-%d %H:%M} UTC: "
            "`automesh up` makes a new one on this machine",
        )
    bootstrap.install(
        bootstrap.xds_bootstrap(
            control_address=settings.control_address,
            identity=files,
            instance_id=settings.instance_id,
            service=settings.service,
        )
    )
    mesh = Mesh(settings, files, identity.spiffe_id)
    try:
        yield mesh
    finally:
        mesh.stopping.set()
        await mesh.close()


async def _serve_bounds(mesh: Mesh, bounds: Sequence[Bound], ready: Callable[[int, Mesh], None] | None) -> None:
    settings = mesh.settings
    audit = AuditLog(settings.state_dir / "audit", service=settings.service, instance_id=settings.instance_id)
    sink = mesh.audit_sink or mesh.auth().record
    server = make_server(
        bounds, _interceptor(mesh, bounds, audit), mesh.health, max_connection_age_s=_connection_age(mesh)
    )
    for prepare in mesh.before_server:
        prepare(server)
    port = listen(server, f"{settings.listen_host}:{settings.listen_port}", mesh.files)
    names = [bound.descriptor.full_name for bound in bounds]
    with metrics_endpoint(settings.metrics_port):
        await server.start()
        if mesh.ready_when is None:
            await mesh.health.set(True, names)
        else:
            mesh.spawn(_serving_once(mesh.ready_when, mesh, names), "serve once ready")
        mesh.spawn(renew_forever(mesh.files, mesh.certificate_issuer or mesh.auth().renew), "renew certificate")
        shipping = mesh.spawn(audit.ship_forever(sink), "ship audit")
        registration = mesh.spawn(_registry(mesh).hold(_instance(mesh, port), mesh.health.is_serving), "register")
        log.info("serving", address=f"{settings.listen_host}:{port}", spiffe_id=str(mesh.spiffe_id))
        if ready is not None:
            ready(port, mesh)
        await mesh.stopping.wait()
        await _drain(mesh, server, registration, names)
        shipping.cancel()
        await asyncio.wait([shipping])
        await audit.close(sink)


async def _serving_once(ready: Callable[[], Awaitable[object]], mesh: Mesh, names: Sequence[str]) -> None:
    await mesh.health.set(False, names)
    await ready()
    if not mesh.stopping.is_set():
        await mesh.health.set(True, names)


async def _drain(mesh: Mesh, server: grpc.aio.Server, registration: asyncio.Task[Any], names: Sequence[str]) -> None:
    """Out of the registry first, so that nobody new comes; then the calls in flight may end."""
    log.info("stopping")
    await mesh.health.set(False, names)
    registration.cancel()
    await asyncio.wait([registration], timeout=BACKGROUND_STOP_S)
    # Callers hear of it through control: a call that arrives while the server closes is cancelled by gRPC, not refused.
    await asyncio.sleep(mesh.settings.farewell_s)
    await server.stop(mesh.settings.drain_timeout_s)


def _interceptor(mesh: Mesh, bounds: Sequence[Bound], audit: AuditLog) -> CallInterceptor:
    settings = mesh.settings
    issuer = SpiffeId.for_service(settings.trust_domain, settings.environment, AUTH)
    tokens = TokenVerifier(str(issuer), mesh.jwks_source or mesh.auth().keys)
    access = AccessTable(bound.descriptor for bound in bounds)
    return CallInterceptor(access, tokens, audit, trust_domain=settings.trust_domain, environment=settings.environment)


def _connection_age(mesh: Mesh) -> float:
    """A connection outlives its certificate, so it must end well before: at most half of the certificate's life."""
    starts, ends = mesh.files.load().validity
    half_life = (ends - starts).total_seconds() / 2
    return min(mesh.settings.max_connection_age_s or half_life, half_life)


def _registry(mesh: Mesh) -> Registry:
    settings = mesh.settings
    if mesh.registry is not None:
        return mesh.registry
    if settings.registry == "consul":
        # Its client brings aiohttp and requests: a quarter of a second and 10 MiB that only those pay who use it.
        from automesh.mesh.registry_consul import ConsulRegistry  # noqa: PLC0415 - 10 MiB, for Consul only

        return ConsulRegistry(
            settings.consul_address, token_file=settings.consul_token_file, ca_file=settings.consul_ca_file
        )
    return EmbeddedRegistry(settings.control_address, mesh.files)


def _instance(mesh: Mesh, port: int) -> Instance:
    settings = mesh.settings
    return Instance(
        instance_id=settings.instance_id,
        service=settings.service,
        address=settings.advertise_host or settings.listen_host,
        port=port,
        version=settings.version,
        spiffe_id=str(mesh.spiffe_id),
    )


def _request_fields() -> dict[str, str]:
    caller = current_caller()
    return {"request_id": caller.request_id, "trace_id": trace_id(caller.traceparent), "subject": caller.subject}
