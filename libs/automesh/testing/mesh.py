"""Servicers behind the real guard, on a real mutual-TLS server of this process: for tests of one service alone."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc

from automesh.mesh.audit import AuditEvent, AuditLog
from automesh.mesh.channel import OPTIONS
from automesh.mesh.identity import IdentityFiles, SpiffeId
from automesh.mesh.interceptor import CallInterceptor
from automesh.mesh.policy import AccessTable
from automesh.mesh.server import Bound, Health, listen, make_server
from automesh.mesh.tokens import TokenVerifier
from automesh.testing.authorizing import authorizing
from automesh.testing.ca import ThrowawayCa
from automesh.testing.tokens import TokenMint

CONNECTION_AGE_S = 600.0


class InProcessMesh:
    """A served service, and channels to it with any identity and any token."""

    def __init__(self, ca: ThrowawayCa, mint: TokenMint, service: str, port: int, folder: Path) -> None:
        self.ca, self.mint, self.service, self.port, self.folder = ca, mint, service, port, folder
        self.audited: list[AuditEvent] = []
        self._stack = AsyncExitStack()

    async def channel(
        self, caller: str = "gateway", *, client: bool = False, token: str = "", identity: IdentityFiles | None = None
    ) -> grpc.aio.Channel:
        """A channel with the certificate of service `caller` (or of a client), sending `token` when it is not empty."""
        files = identity or (self.ca.client(caller) if client else self.ca.service(caller))
        held = files.load()
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}",
            grpc.ssl_channel_credentials(held.bundle_pem, held.key_pem, held.certificate_pem),
            options=[
                ("grpc.ssl_target_name_override", self._dns_name()),
                ("grpc.use_local_subchannel_pool", 1),
                *(option for option in OPTIONS if "metadata_size" in option[0]),
            ],
            interceptors=authorizing(token),
        )
        return await self._stack.enter_async_context(channel)

    async def signed_in(self, permissions: Iterable[str], **who: str) -> grpc.aio.Channel:
        """A channel as the gateway forwards a person's call; `who` may hold subject, tenant_id and name."""
        subject, tenant_id = who.get("subject", "user_test"), who.get("tenant_id", "default")
        token = self.mint.mint(permissions, subject=subject, tenant_id=tenant_id, name=who.get("name", "test"))
        return await self.channel("gateway", token=token)

    async def close(self) -> None:
        """Closes the channels."""
        await self._stack.aclose()

    def _dns_name(self) -> str:
        return SpiffeId.for_service(self.ca.trust_domain, self.ca.environment, self.service).dns_name


@asynccontextmanager
async def in_process_mesh(
    service: str, bounds: Sequence[Bound], *, folder: Path | None = None, mint: TokenMint | None = None
) -> AsyncGenerator[InProcessMesh]:
    """Serves `bounds` as `service`; audit entries are collected in `.audited`."""
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        ca, mint = ThrowawayCa(place / "ca"), mint or TokenMint()
        audit = _CollectedAudit(place / "audit", service)
        verifier = TokenVerifier(mint.issuer, mint.keys)
        access = AccessTable(bound.descriptor for bound in bounds)
        guard = CallInterceptor(access, verifier, audit, trust_domain=ca.trust_domain, environment=ca.environment)
        health = Health()
        server = make_server(bounds, guard, health, max_connection_age_s=CONNECTION_AGE_S)
        port = listen(server, "127.0.0.1:0", ca.service(service))
        await server.start()
        await health.set(True, [bound.descriptor.full_name for bound in bounds])
        mesh = InProcessMesh(ca, mint, service, port, place)
        mesh.audited = audit.events
        try:
            yield mesh
        finally:
            await mesh.close()
            await server.stop(0)


class _CollectedAudit(AuditLog):
    """An audit log that keeps the entries in memory as well."""

    def __init__(self, folder: Path, service: str) -> None:
        super().__init__(folder, service=service, instance_id="in-process")
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        super().record(event)
        self.events.append(event)
