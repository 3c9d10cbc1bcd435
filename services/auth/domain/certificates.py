"""Which certificates the mesh signs, for whom, and with which names. Reading and signing are a port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from automesh.core.clock import Clock
from automesh.core.errors import PermissionDenied, ValidationError
from services.auth.domain.actor import Actor
from services.auth.domain.tenant import DEFAULT_TENANT

MAX_CSR = 16 * 1024
LONGEST_CLIENT_LIFETIME = timedelta(hours=24)
_CLIENT_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")
_MAX_NAME = 64
_TENANT_MARK = "--"  # parts tenant and name; neither of them can hold it


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Everything a certificate may say about its holder."""

    spiffe_id: str
    common_name: str  # tolerated in a request, never copied into a certificate
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRequest:
    """A request whose signature was checked: its names, and a digest of its key."""

    csr_pem: str
    key_digest: bytes
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    wants_ca: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A signed certificate with what is needed to use it, PEM."""

    certificate_pem: bytes
    bundle_pem: bytes
    expires_at: datetime
    spiffe_id: str


class Authority(Protocol):
    """The certificate authority's key."""

    def read(self, csr_pem: str) -> SigningRequest:
        """Raises ValidationError for what is no request, badly signed, or has a weak key."""
        ...

    def sign(self, request: SigningRequest, names: Names, *, lifetime: timedelta, now: datetime) -> Chain:
        """Signs, with exactly the given names."""
        ...

    def holds(self, key_digest: bytes) -> bool:
        """Whether the key is one of the authority's own."""
        ...

    def key_digest(self, certificate_pem: bytes) -> bytes:
        """The digest of the key in a certificate."""
        ...

    def bundle_pem(self) -> bytes:
        """The roots to trust."""
        ...


class IssuedKeys(Protocol):
    """Remembers which keys were certified, so that none is certified twice."""

    async def add(self, key_digest: bytes, spiffe_id: str, expires_at: datetime) -> bool:
        """False when the key is known already."""
        ...

    async def forget_before(self, moment: datetime) -> int:
        """Drops keys whose certificates expired before the moment; returns how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshNames:
    """How identities of this mesh are named."""

    trust_domain: str
    environment: str
    more_hosts: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]  # service -> further DNS names, IPs

    def service(self, service: str) -> Names:
        """The names of a service."""
        dns, ips = self.more_hosts.get(service, ((), ()))
        own = f"{service}.{self.trust_domain}"
        spiffe_id = f"spiffe://{self.trust_domain}/ns/{self.environment}/sa/{service}"
        return Names(spiffe_id=spiffe_id, common_name=service, dns=(own, *dns), ips=ips)

    def client(self, name: str, tenant_id: str) -> Names:
        """The names of a person's tool. Outside the tenant `default` the name begins with `<tenant>--`, so that
        nobody can take a name of another tenant."""
        if len(name) > _MAX_NAME or not _CLIENT_NAME.fullmatch(name):
            raise ValidationError(
                f"a client name has 1 to {_MAX_NAME} of a-z and 0-9, with single dashes inside", field="name"
            )
        full = name if tenant_id == DEFAULT_TENANT else f"{tenant_id}{_TENANT_MARK}{name}"
        if len(full) > _MAX_NAME:
            raise ValidationError(f"{full} is longer than {_MAX_NAME} characters: take a shorter name", field="name")
        return Names(spiffe_id=f"spiffe://{self.trust_domain}/ns/{self.environment}/client/{full}", common_name=name)


def check_request(request: SigningRequest, names: Names) -> None:
    """Raises ValidationError for a request that asks for anything but the holder's own names."""
    if request.wants_ca:
        raise _bad("asks to be a certificate authority (CA:TRUE): leave the basic constraints out")
    if len(request.uris) > 1:
        raise _bad(f"names {len(request.uris)} URIs, where an identity has exactly one: leave the names out")
    tolerated = {f"CN={names.common_name}", f"CN={names.spiffe_id}"}
    foreign = [
        *(uri for uri in request.uris if uri != names.spiffe_id),
        *(name for name in request.dns_names if name not in names.dns),
        *(name for name in request.other_names if name not in names.ips and name not in tolerated),
    ]
    if foreign:
        raise _bad(f"asks for {foreign[0][:100]!r}, which is not yours: you are {names.spiffe_id}; leave the names out")


class CertificateDesk:
    """Signs certificates: for services, of the identity they called with; for people's tools, of a name of theirs."""

    def __init__(
        self,
        authority: Authority,
        issued: IssuedKeys,
        mesh: MeshNames,
        clock: Clock,
        *,
        service_lifetime: timedelta,
        client_lifetime: timedelta,
    ) -> None:
        self._authority, self._issued, self._mesh, self._clock = authority, issued, mesh, clock
        self._service_lifetime = service_lifetime
        self._client_lifetime = min(client_lifetime, LONGEST_CLIENT_LIFETIME)

    async def renew(self, spiffe_id: str, service: str, csr_pem: str, *, shown_pem: bytes = b"") -> Chain:
        """A new certificate for the service that asks. `shown_pem` is the certificate it called with."""
        if not service:
            raise PermissionDenied("only services renew their certificates: ask for a new client certificate instead")
        names = self._mesh.service(service)
        if names.spiffe_id != spiffe_id:
            raise PermissionDenied(f"{spiffe_id} is not an identity of this mesh", spiffeId=spiffe_id)
        return await self._sign(csr_pem, names, self._service_lifetime, shown_pem)

    async def issue_client(self, actor: Actor, name: str, csr_pem: str) -> Chain:
        """A certificate for a tool of the caller: it opens TLS and has no rights of its own."""
        names = self._mesh.client(name, actor.tenant_id)
        return await self._sign(csr_pem, names, self._client_lifetime, b"")

    def bundle_pem(self) -> bytes:
        """The roots that the mesh trusts."""
        return self._authority.bundle_pem()

    async def _sign(self, csr_pem: str, names: Names, lifetime: timedelta, shown_pem: bytes) -> Chain:
        if len(csr_pem) > MAX_CSR:
            raise _bad(f"is longer than {MAX_CSR} characters")
        request = self._authority.read(csr_pem)
        check_request(request, names)
        if self._authority.holds(request.key_digest):
            raise _bad("holds a key of the certificate authority itself")
        chain = self._authority.sign(request, names, lifetime=lifetime, now=self._clock())
        shown = bool(shown_pem) and self._authority.key_digest(shown_pem) == request.key_digest
        if shown or not await self._issued.add(request.key_digest, names.spiffe_id, chain.expires_at):
            raise _bad("holds a key that was certified before: make a new key for each certificate")
        return chain


def _bad(problem: str) -> ValidationError:
    return ValidationError(f"the request {problem}", field="csr_pem")
