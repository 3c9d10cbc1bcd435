"""auth behind the real guard on a real PostgreSQL: a house for integration tests, and its fixture."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from automesh.auth.v1 import (
    api_key_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    certificate_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
)
from automesh.core.errors import AutomationError
from automesh.mesh.errors import translating_errors
from automesh.storage.postgres import Database
from automesh.testing.databases import OpenDatabase
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.tokens import TokenMint
from services.auth.app import MIGRATIONS, SCHEMA, Parts, bounds
from services.auth.crypto.argon2_hasher import Argon2Cost, Argon2Hasher
from services.auth.pki.init import initialise
from services.auth.pki.layout import Layout, Plan
from services.auth.settings import Settings

PASSWORD = "violet otter crosses"
LIMIT_S = 30


class AuthMint(TokenMint):
    """The guard trusts the keys of auth itself, and those of the test."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts

    async def keys(self) -> Sequence[Mapping[str, str]]:
        return [*await super().keys(), *await self._parts.jwks()]


class House:
    """auth served over mutual TLS, and stubs to it."""

    def __init__(self, parts: Parts, mesh: InProcessMesh, database: Database, folder: Path) -> None:
        self.parts, self.mesh, self.database, self.folder = parts, mesh, database, folder
        self.password = Layout(folder).admin_password.read_text().strip()

    async def tokens(self, token: str = "", **how: Any) -> token_service_pb2_grpc.TokenServiceStub:
        return token_service_pb2_grpc.TokenServiceStub(await self.mesh.channel(token=token, **how))

    async def users(self, token: str) -> user_service_pb2_grpc.UserServiceStub:
        return user_service_pb2_grpc.UserServiceStub(await self.mesh.channel(token=token))

    async def keys(self, token: str) -> api_key_service_pb2_grpc.ApiKeyServiceStub:
        return api_key_service_pb2_grpc.ApiKeyServiceStub(await self.mesh.channel(token=token))

    async def audit(self, token: str = "", **how: Any) -> audit_service_pb2_grpc.AuditServiceStub:
        return audit_service_pb2_grpc.AuditServiceStub(await self.mesh.channel(token=token, **how))

    async def certificates(self, token: str = "", **how: Any) -> certificate_service_pb2_grpc.CertificateServiceStub:
        return certificate_service_pb2_grpc.CertificateServiceStub(await self.mesh.channel(token=token, **how))

    async def login(self, name: str = "admin", password: str = "", source: str = "") -> token_service_pb2.TokenPair:
        request = token_service_pb2.LoginRequest(username=name, password=password or self.password)
        metadata = (("x-forwarded-for", source),) if source else ()
        return (await (await self.tokens()).Login(request, metadata=metadata)).tokens

    async def admin(self) -> str:
        return (await self.login()).access_token

    async def add(self, name: str, *roles: str, tenant: str = "", token: str = "") -> user_service_pb2.User:
        user = user_service_pb2.User(username=name, roles=roles, tenant_id=tenant)
        request = user_service_pb2.CreateUserRequest(user=user, password=PASSWORD)
        return (await (await self.users(token or await self.admin())).CreateUser(request)).user

    async def signed_in(self, name: str, *roles: str, tenant: str = "") -> str:
        await self.add(name, *roles, tenant=tenant)
        return (await self.login(name, PASSWORD)).access_token


def make_parts(database: Database, folder: Path, **more: Any) -> Parts:
    settings = Settings(
        postgres_dsn="unused", keyring_file=Layout(folder).keyring, state_dir=folder, identity_dir=folder, **more
    )
    return Parts(settings, database, Argon2Hasher(Argon2Cost(memory_kib=8, passes=1)))


@pytest.fixture
async def house(open_database: OpenDatabase, tmp_path: Path) -> AsyncIterator[House]:
    folder = tmp_path / "state"
    initialise(Plan(layout=Layout(folder), trust_domain="automesh.local", environment="dev"), datetime.now(UTC))
    database = await open_database(SCHEMA, MIGRATIONS)
    parts = make_parts(database, folder)
    await parts.signing_keys.refresh()
    assert await parts.first_admin.ensure()
    async with in_process_mesh("auth", bounds(parts), mint=AuthMint(parts)) as mesh:
        yield House(parts, mesh, database, folder)
    parts.hasher.close()


@contextmanager
def refused(code: str, reason: str = "") -> Iterator[list[AutomationError]]:
    """The block must end with this status; the error is appended to what is yielded."""
    seen: list[AutomationError] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield seen
    assert caught.value.code().name == code, caught.value.details()
    with pytest.raises(AutomationError) as translated, translating_errors():
        raise caught.value
    assert not reason or translated.value.reason == reason
    seen.append(translated.value)


async def whoami(house: House, token: str) -> token_service_pb2.WhoAmIResponse:
    return await (await house.tokens(token)).WhoAmI(token_service_pb2.WhoAmIRequest())


async def refresh(house: House, text: str) -> token_service_pb2.TokenPair:
    request = token_service_pb2.RefreshTokenRequest(refresh_token=text)
    return (await (await house.tokens()).RefreshToken(request)).tokens


def an_event(event_id: str, **more: str) -> audit_service_pb2.AuditEvent:
    return audit_service_pb2.AuditEvent(event_id=event_id, method="a.B/C", outcome="OK", **more)


async def record(house: House, *events: audit_service_pb2.AuditEvent, **how: Any) -> None:
    await (await house.audit(**how)).RecordEvents(audit_service_pb2.RecordEventsRequest(events=events))


async def listed(house: House, token: str, **more: Any) -> audit_service_pb2.ListAuditEventsResponse:
    return await (await house.audit(token)).ListAuditEvents(audit_service_pb2.ListAuditEventsRequest(**more))
