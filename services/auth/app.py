"""Wires auth: PostgreSQL and the authority's files below, the use cases, five servicers on top."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from automesh.auth.v1 import (
    api_key_service_pb2,
    api_key_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    certificate_service_pb2,
    certificate_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
)
from automesh.core.clock import Clock, utc_now
from automesh.core.ids import new_id
from automesh.mesh.auth_client import IssuedChain
from automesh.mesh.identity import SpiffeId
from automesh.mesh.loops import every
from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.storage.migrations import migrate
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from services.auth.crypto.argon2_hasher import Argon2Hasher
from services.auth.crypto.jwt import JwtSigner, new_signing_key, public_jwk
from services.auth.domain.api_keys import ApiKeys
from services.auth.domain.audit import AuditLog
from services.auth.domain.certificates import CertificateDesk, MeshNames
from services.auth.domain.directory import UserDirectory
from services.auth.domain.first_admin import FirstAdmin
from services.auth.domain.lockout import Lockout
from services.auth.domain.refresh import RefreshPolicy
from services.auth.domain.sessions import Sessions
from services.auth.domain.signing_keys import RotationPolicy, SigningKeys
from services.auth.domain.tokens import AccessTokens
from services.auth.domain.turnstile import Turnstile
from services.auth.pki.authority import FileAuthority
from services.auth.pki.hosts import parse_hosts
from services.auth.pki.layout import Layout
from services.auth.pki.password_file import PasswordFile
from services.auth.service.api_key_service import ApiKeyServicer
from services.auth.service.audit_service import AuditServicer
from services.auth.service.audit_sink import LocalAuditSink
from services.auth.service.certificate_service import CertificateServicer
from services.auth.service.token_service import TokenServicer
from services.auth.service.user_service import UserServicer
from services.auth.settings import Settings
from services.auth.store.api_keys import SqlApiKeyStore
from services.auth.store.audit import SqlAuditStore
from services.auth.store.certified_keys import SqlIssuedKeys
from services.auth.store.failures import SqlFailureStore
from services.auth.store.refresh_tokens import SqlRefreshStore
from services.auth.store.signing_keys import SqlSigningKeyStore
from services.auth.store.users import SqlUserStore

SCHEMA, MIGRATIONS = "auth", "services.auth.migrations"
KEY_ROUND_S = 30.0
SWEEP_ROUND_S = 600.0
KEEP_CERTIFIED = timedelta(days=30)
"""How long the key of an expired certificate still counts as used."""


class Parts:
    """The use cases over one database. Built once by `build`, and by tests without a mesh."""

    def __init__(self, settings: Settings, database: Database, hasher: Argon2Hasher, *, clock: Clock = utc_now) -> None:
        self.users, self.hasher, self.clock = SqlUserStore(database), hasher, clock
        self.lockout = Lockout(SqlFailureStore(database), clock)
        self.audit = AuditLog(SqlAuditStore(database), clock, new_id)
        self.refresh_tokens, self.certified = SqlRefreshStore(database), SqlIssuedKeys(database)
        self._turnstile, self._api_keys = Turnstile(), SqlApiKeyStore(database)
        sealer = Sealer(Keyring.from_file(settings.keyring_file))
        self.signing_keys = SigningKeys(
            SqlSigningKeyStore(database, sealer),
            new_signing_key,
            clock,
            policy=RotationPolicy(active_for=settings.signing_key_lifetime),
        )
        self.sessions = self._sessions(settings)
        self.directory = UserDirectory(
            users=self.users,
            hasher=hasher,
            lockout=self.lockout,
            turnstile=self._turnstile,
            clock=clock,
            new_id=new_id,
        )
        self.api_keys = ApiKeys(self._api_keys, clock, new_id)
        self.desk = self._desk(settings)
        self.first_admin = FirstAdmin(
            self.users, hasher, PasswordFile(Layout(settings.state_dir).admin_password).keep, clock, new_id
        )

    async def jwks(self) -> Sequence[Mapping[str, str]]:
        """The public keys. A JwksSource."""
        return [public_jwk(key) for key in self.signing_keys.published]

    async def sweep(self) -> None:
        """Forgets what is over."""
        now = self.clock()
        await self.lockout.sweep()
        await self.refresh_tokens.forget_before(now)
        await self.certified.forget_before(now - KEEP_CERTIFIED)

    def _sessions(self, settings: Settings) -> Sessions:
        issuer = SpiffeId.for_service(settings.trust_domain, settings.environment, "auth")
        signer = JwtSigner(self.signing_keys, issuer=str(issuer))
        return Sessions(
            users=self.users,
            keys=self._api_keys,
            refresh_tokens=self.refresh_tokens,
            access_tokens=AccessTokens(signer, self.clock, new_id),
            hasher=self.hasher,
            lockout=self.lockout,
            turnstile=self._turnstile,
            audit=self.audit,
            clock=self.clock,
            new_id=new_id,
            policy=RefreshPolicy(idle=settings.refresh_idle, total=settings.refresh_total),
        )

    def _desk(self, settings: Settings) -> CertificateDesk:
        names = MeshNames(
            trust_domain=settings.trust_domain,
            environment=settings.environment,
            more_hosts={"control": parse_hosts(settings.control_hosts)},
        )
        return CertificateDesk(
            FileAuthority(Layout(settings.state_dir)),
            self.certified,
            names,
            self.clock,
            service_lifetime=settings.leaf_lifetime,
            client_lifetime=settings.client_certificate_lifetime,
        )


@asynccontextmanager
async def parts(settings: Settings, *, clock: Clock = utc_now) -> AsyncIterator[Parts]:
    """Opens and migrates the database, and closes everything at the end."""
    async with AsyncExitStack() as stack:
        hasher = Argon2Hasher(threads=settings.password_threads, queue=settings.password_queue)
        stack.callback(hasher.close)
        database = await stack.enter_async_context(
            Database.open(
                settings.postgres_dsn.get_secret_value(), schema=SCHEMA, max_size=settings.database_connections
            )
        )
        await migrate(database, MIGRATIONS)
        yield Parts(settings, database, hasher, clock=clock)


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncIterator[Sequence[Bound]]:
    """Opens what auth needs, and stands in for auth in its own process: keys, audit, certificates."""
    async with parts(settings) as made, AsyncExitStack() as stack:
        await made.signing_keys.refresh()
        await made.first_admin.ensure()
        mesh.jwks_source = made.jwks
        mesh.audit_sink = LocalAuditSink(made.audit)

        async def issue(csr_pem: bytes) -> IssuedChain:
            chain = await made.desk.renew(str(mesh.spiffe_id), mesh.spiffe_id.service, csr_pem.decode())
            return IssuedChain(chain.certificate_pem, chain.bundle_pem)

        mesh.certificate_issuer = issue
        for seconds, work, name in (
            (KEY_ROUND_S, made.signing_keys.refresh, "rotate signing keys"),
            (SWEEP_ROUND_S, made.sweep, "sweep"),
        ):
            task = mesh.spawn(every(seconds, work, name=name), name)
            stack.push_async_callback(_stop, task)  # before the database closes
        yield bounds(made)


def bounds(made: Parts) -> Sequence[Bound]:
    """The five servicers."""
    return [
        Bound(
            token_service_pb2.DESCRIPTOR.services_by_name["TokenService"],
            token_service_pb2_grpc.add_TokenServiceServicer_to_server,
            TokenServicer(made.sessions, made.jwks),
        ),
        Bound(
            user_service_pb2.DESCRIPTOR.services_by_name["UserService"],
            user_service_pb2_grpc.add_UserServiceServicer_to_server,
            UserServicer(made.directory),
        ),
        Bound(
            api_key_service_pb2.DESCRIPTOR.services_by_name["ApiKeyService"],
            api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server,
            ApiKeyServicer(made.api_keys),
        ),
        Bound(
            certificate_service_pb2.DESCRIPTOR.services_by_name["CertificateService"],
            certificate_service_pb2_grpc.add_CertificateServiceServicer_to_server,
            CertificateServicer(made.desk),
        ),
        Bound(
            audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
            audit_service_pb2_grpc.add_AuditServiceServicer_to_server,
            AuditServicer(made.audit),
        ),
    ]


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
