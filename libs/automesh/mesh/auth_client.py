"""What every process asks of auth: keys to verify tokens with, a place for audit entries, a new certificate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import grpc

from automesh.auth.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    certificate_service_pb2,
    certificate_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
)
from automesh.mesh.audit import AuditEvent
from automesh.mesh.errors import translating_errors

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class IssuedChain:
    """A signed certificate: the chain (leaf first) and the roots to trust, PEM."""

    certificate_pem: bytes
    bundle_pem: bytes


CertificateIssuer = Callable[[bytes], Awaitable[IssuedChain]]
"""Signs a PEM request for the identity that asks."""


class AuthClient:
    """The three questions, over the mesh."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._tokens = token_service_pb2_grpc.TokenServiceStub(channel)
        self._audit = audit_service_pb2_grpc.AuditServiceStub(channel)
        self._certificates = certificate_service_pb2_grpc.CertificateServiceStub(channel)

    async def keys(self) -> Sequence[Mapping[str, str]]:
        """The public keys that access tokens are signed with. A `JwksSource`."""
        with translating_errors():
            response = await self._tokens.GetJwks(token_service_pb2.GetJwksRequest(), timeout=TIMEOUT_S)
        names = ("kty", "crv", "x", "y", "kid", "use", "alg")
        return [{name: str(getattr(key, name)) for name in names} for key in response.keys]

    async def record(self, events: Sequence[AuditEvent]) -> None:
        """Stores audit entries. An `AuditSink`."""
        request = audit_service_pb2.RecordEventsRequest(events=map(_event, events))
        with translating_errors():
            await self._audit.RecordEvents(request, timeout=TIMEOUT_S)

    async def renew(self, csr_pem: bytes) -> IssuedChain:
        """A new certificate for the identity of this process. A `CertificateIssuer`."""
        request = certificate_service_pb2.RenewCertificateRequest(csr_pem=csr_pem.decode())
        with translating_errors():
            chain = (await self._certificates.RenewCertificate(request, timeout=TIMEOUT_S)).chain
        return IssuedChain(chain.certificate_pem.encode(), chain.bundle_pem.encode())


def _event(event: AuditEvent) -> audit_service_pb2.AuditEvent:
    message = audit_service_pb2.AuditEvent(
        event_id=event.event_id,
        service=event.service,
        tenant_id=event.tenant_id,
        subject=event.subject,
        workload=event.workload,
        method=event.method,
        resource=event.resource,
        outcome=event.outcome,
        reason=event.reason,
        request_id=event.request_id,
    )
    message.time.FromDatetime(datetime.fromisoformat(event.time))
    return message
