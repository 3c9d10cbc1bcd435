"""auth behind the real guard on a real PostgreSQL: signing in, users, keys, certificates, audit, tenants."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from cryptography import x509
from google.protobuf.field_mask_pb2 import FieldMask

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
from automesh.core.errors import AutomationError
from automesh.mesh.certificates import new_csr, new_key
from automesh.mesh.errors import translating_errors
from automesh.storage.postgres import ENGINE, Database
from automesh.telemetry.logs import configure_logging
from automesh.testing.databases import OpenDatabase
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.tokens import TokenMint
from services.auth.app import MIGRATIONS, SCHEMA, Parts, bounds
from services.auth.crypto.argon2_hasher import Argon2Cost, Argon2Hasher
from services.auth.pki.init import initialise
from services.auth.pki.layout import Layout, Plan
from services.auth.settings import Settings

pytestmark = pytest.mark.postgres

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


# ---------------------------------------------------------------- signing in


async def test_the_first_admin_signs_in_with_the_password_in_the_file(house: House) -> None:
    pair = await house.login()
    assert pair.token_type == "Bearer"
    assert pair.expires_in.seconds == 300
    me = await whoami(house, pair.access_token)
    assert (me.name, me.tenant_id, list(me.roles)) == ("admin", "default", ["admin", "operator"])
    assert "tenant.any" in me.permissions
    assert Layout(house.folder).admin_password.stat().st_mode & 0o777 == 0o600


async def test_tokens_are_signed_by_a_published_key(house: House) -> None:
    jwks = await (await house.tokens()).GetJwks(token_service_pb2.GetJwksRequest())
    assert [(key.kty, key.crv, key.use, key.alg) for key in jwks.keys] == [("EC", "P-256", "sig", "ES256")]


async def test_a_wrong_password_and_an_unknown_name_are_answered_alike(house: House) -> None:
    answers = []
    for name in ("admin", "nobody"):
        with refused("UNAUTHENTICATED", "BAD_CREDENTIALS") as seen:
            await house.login(name, "wrong")
        answers.append((seen[0].message, dict(seen[0].metadata)))
    assert answers[0] == answers[1]


async def test_twenty_refreshes_of_one_token_at_once_give_one_successor(house: House) -> None:
    first = await house.login()
    async with asyncio.timeout(LIMIT_S):
        pairs = await asyncio.gather(*(refresh(house, first.refresh_token) for _ in range(20)))
    [successor] = {pair.refresh_token for pair in pairs}
    assert successor != first.refresh_token
    assert (await refresh(house, successor)).refresh_token not in (first.refresh_token, successor)


async def test_signing_out_ends_the_whole_family(house: House) -> None:
    first = await house.login()
    second = await refresh(house, first.refresh_token)
    logout = token_service_pb2.LogoutRequest(refresh_token=second.refresh_token)
    await (await house.tokens()).Logout(logout)
    for text in (first.refresh_token, second.refresh_token):
        with refused("UNAUTHENTICATED", "BAD_REFRESH_TOKEN"):
            await refresh(house, text)


async def test_a_refresh_token_reused_after_the_grace_revokes_the_family(house: House) -> None:
    first = await house.login()
    second = await refresh(house, first.refresh_token)
    await house.database.execute(
        "UPDATE refresh_token SET used_at = used_at - interval '11 s' WHERE used_at IS NOT NULL", tenant=ENGINE
    )
    for text in (first.refresh_token, second.refresh_token):
        with refused("UNAUTHENTICATED", "BAD_REFRESH_TOKEN"):
            await refresh(house, text)


async def test_a_lock_survives_a_restart_and_ends_by_itself(house: House) -> None:
    await house.add("ann", "viewer")
    for _ in range(5):
        with refused("UNAUTHENTICATED"):
            await house.login("ann", "wrong")
    reborn = make_parts(house.database, house.folder)
    await reborn.signing_keys.refresh()
    async with in_process_mesh("auth", bounds(reborn), mint=AuthMint(reborn)) as mesh:
        again = House(reborn, mesh, house.database, house.folder)
        with refused("RESOURCE_EXHAUSTED", "TOO_MANY_FAILURES") as seen:
            await again.login("ann", PASSWORD)
        assert seen[0].retry_after is not None
        assert timedelta(0) < seen[0].retry_after <= timedelta(seconds=1)
        await house.database.execute("UPDATE sign_in_failure SET last_at = last_at - interval '1 s'", tenant=None)
        assert (await again.login("ann", PASSWORD)).access_token
    reborn.hasher.close()


async def test_a_source_behind_the_gateway_is_slowed_down_and_the_gateway_is_not(house: House) -> None:
    for number in range(30):
        with refused("UNAUTHENTICATED"):
            await house.login(f"nobody{number}", "wrong", source="10.1.2.3")
    with refused("RESOURCE_EXHAUSTED", "TOO_MANY_FAILURES"):
        await house.login(source="10.1.2.3")
    assert (await house.login(source="10.1.2.4")).access_token
    assert (await house.login()).access_token


async def test_an_expired_and_a_forged_token_are_refused(house: House) -> None:
    past = int(datetime.now(UTC).timestamp()) - 60
    for token in (house.mesh.mint.mint(exp=past), TokenMint(key_id="sig_x").mint(["tenant.any"]), "rubbish"):
        with refused("UNAUTHENTICATED"):
            await whoami(house, token)
    with refused("UNAUTHENTICATED"):
        await whoami(house, "")


# ---------------------------------------------------------------- users


async def test_a_user_is_added_read_listed_changed_and_removed(house: House) -> None:
    token = await house.admin()
    bob = await house.add("bob", "developer", token=token)
    users = await house.users(token)
    assert bob.user_id.startswith("user_")
    assert (bob.username, bob.tenant_id, list(bob.roles), bob.disabled) == ("bob", "default", ["developer"], False)
    got = await users.GetUser(user_service_pb2.GetUserRequest(user_id=bob.user_id))
    assert got.user == bob
    listed = await users.ListUsers(user_service_pb2.ListUsersRequest())
    assert [user.username for user in listed.users] == ["bob", "admin"]
    changed = await users.UpdateUser(
        user_service_pb2.UpdateUserRequest(
            user_id=bob.user_id,
            user=user_service_pb2.User(roles=["viewer"], disabled=True),
            update_mask=FieldMask(paths=["roles"]),
        )
    )
    assert (list(changed.user.roles), changed.user.disabled) == (["viewer"], False)
    await users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=bob.user_id))
    with refused("NOT_FOUND", "USER_NOT_FOUND"):
        await users.GetUser(user_service_pb2.GetUserRequest(user_id=bob.user_id))


async def test_pages_of_users_end_and_hold_each_once(house: House) -> None:
    token = await house.admin()
    for number in range(5):
        await house.add(f"user{number}", "viewer", token=token)
    users, seen, page = await house.users(token), [], ""
    while True:
        response = await users.ListUsers(user_service_pb2.ListUsersRequest(page_size=2, page_token=page))
        seen += [user.username for user in response.users]
        page = response.next_page_token
        if not page:
            break
    assert seen == ["user4", "user3", "user2", "user1", "user0", "admin"]


@pytest.mark.parametrize("page_token", ["x", "WyJcdTAwMDAiLCIyYmIiXQ", "é"])
async def test_a_page_token_that_was_not_given_out_is_refused(house: House, page_token: str) -> None:
    with refused("INVALID_ARGUMENT"):
        request = user_service_pb2.ListUsersRequest(page_token=page_token)
        await (await house.users(await house.admin())).ListUsers(request)


async def test_a_creation_may_be_repeated(house: House) -> None:
    users = await house.users(await house.admin())

    def request(**more: Any) -> user_service_pb2.CreateUserRequest:
        user = user_service_pb2.User(username=more.pop("username", "bob"), roles=["viewer"])
        return user_service_pb2.CreateUserRequest(user=user, request_id="r1", **{"password": PASSWORD, **more})

    first, second = await users.CreateUser(request()), await users.CreateUser(request())
    assert first == second
    with refused("ALREADY_EXISTS"):
        await users.CreateUser(request(username="eve"))
    with refused("ALREADY_EXISTS"):
        await users.CreateUser(request(password="another good one 7"))
    with refused("ALREADY_EXISTS", "USERNAME_TAKEN"):
        await users.CreateUser(
            user_service_pb2.CreateUserRequest(user=user_service_pb2.User(username="bob"), password=PASSWORD)
        )


@pytest.mark.parametrize("path", ["username", "tenant_id", "password"])
async def test_nothing_but_roles_and_disabled_can_be_changed(house: House, path: str) -> None:
    token = await house.admin()
    bob = await house.add("bob", "viewer", token=token)
    request = user_service_pb2.UpdateUserRequest(user_id=bob.user_id, update_mask=FieldMask(paths=[path]))
    with refused("INVALID_ARGUMENT"):
        await (await house.users(token)).UpdateUser(request)


async def test_a_disabled_user_can_neither_sign_in_nor_refresh(house: House) -> None:
    token = await house.admin()
    bob = await house.add("bob", "viewer", token=token)
    pair = await house.login("bob", PASSWORD)
    request = user_service_pb2.UpdateUserRequest(
        user_id=bob.user_id, user=user_service_pb2.User(disabled=True), update_mask=FieldMask(paths=["disabled"])
    )
    await (await house.users(token)).UpdateUser(request)
    with refused("UNAUTHENTICATED", "BAD_CREDENTIALS"):
        await house.login("bob", PASSWORD)
    with refused("UNAUTHENTICATED", "BAD_REFRESH_TOKEN"):
        await refresh(house, pair.refresh_token)


async def test_two_admins_cannot_remove_each_other_at_once(house: House) -> None:
    operator = await house.admin()
    one = await house.add("one", "admin", tenant="acme", token=operator)
    two = await house.add("two", "admin", tenant="acme", token=operator)
    users = await house.users(operator)
    results = await asyncio.gather(
        *(users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=each.user_id)) for each in (one, two)),
        return_exceptions=True,
    )
    [error] = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_changing_the_password_signs_out_everywhere(house: House) -> None:
    await house.add("bob", "viewer")
    pair = await house.login("bob", PASSWORD)
    request = user_service_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="another good one 7")
    await (await house.users(pair.access_token)).ChangePassword(request)
    with refused("UNAUTHENTICATED"):
        await refresh(house, pair.refresh_token)
    with refused("UNAUTHENTICATED"):
        await house.login("bob", PASSWORD)
    assert (await house.login("bob", "another good one 7")).access_token


async def test_a_developer_cannot_touch_users(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    with refused("PERMISSION_DENIED"):
        await house.add("eve", "viewer", token=token)
    with refused("PERMISSION_DENIED"):
        await (await house.users(token)).ListUsers(user_service_pb2.ListUsersRequest())


# ---------------------------------------------------------------- tenants


async def test_tenants_do_not_see_each_other(house: House) -> None:
    ours = await house.add("bob", "viewer")
    theirs = await house.signed_in("eve", "admin", tenant="acme")
    users = await house.users(theirs)
    for call in (
        users.GetUser(user_service_pb2.GetUserRequest(user_id=ours.user_id)),
        users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=ours.user_id)),
        users.UpdateUser(user_service_pb2.UpdateUserRequest(user_id=ours.user_id)),
    ):
        with refused("NOT_FOUND", "USER_NOT_FOUND"):
            await call
    listed = await users.ListUsers(user_service_pb2.ListUsersRequest())
    assert [user.username for user in listed.users] == ["eve"]
    with refused("PERMISSION_DENIED"):
        await house.add("spy", "viewer", tenant="default", token=theirs)


async def test_the_database_itself_keeps_tenants_apart(house: House) -> None:
    await house.signed_in("eve", "admin", tenant="acme")
    await house.add("bob", "viewer")
    for table in ("user_account", "refresh_family", "refresh_token", "audit_event", "tenant"):
        count = f"SELECT count(*) FROM {table}"  # noqa: S608 - names of the lines above
        everything = await house.database.fetchval(count, tenant=ENGINE)
        assert everything > 0
        assert await house.database.fetchval(count, tenant=None) == 0
        assert 0 < await house.database.fetchval(count, tenant="acme") < everything
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.database.execute("INSERT INTO tenant VALUES ('smuggled', now())", tenant="acme")


# ---------------------------------------------------------------- API keys


async def test_a_key_is_made_used_listed_and_revoked(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    keys, tokens = await house.keys(token), await house.tokens()
    wanted = api_key_service_pb2.ApiKey(name="ci", permissions=["task.create", "task.read"])
    made = await keys.CreateApiKey(api_key_service_pb2.CreateApiKeyRequest(api_key=wanted))
    exchange = token_service_pb2.ExchangeApiKeyRequest(api_key=made.secret)
    pair = (await tokens.ExchangeApiKey(exchange)).tokens
    assert pair.refresh_token == ""
    me = await whoami(house, pair.access_token)
    assert (me.subject, me.name, list(me.permissions)) == (made.api_key.key_id, "ci", ["task.create", "task.read"])
    listed = (await keys.ListApiKeys(api_key_service_pb2.ListApiKeysRequest())).api_keys
    assert [(key.key_id, key.HasField("last_used_time")) for key in listed] == [(made.api_key.key_id, True)]
    await keys.RevokeApiKey(api_key_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id))
    with refused("UNAUTHENTICATED", "BAD_CREDENTIALS"):
        await tokens.ExchangeApiKey(exchange)
    with refused("NOT_FOUND", "API_KEY_NOT_FOUND"):
        await keys.RevokeApiKey(api_key_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id))


async def test_a_key_cannot_be_made_with_more_than_one_holds(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    wanted = api_key_service_pb2.ApiKey(name="ci", permissions=["user.write"])
    with refused("PERMISSION_DENIED"):
        await (await house.keys(token)).CreateApiKey(api_key_service_pb2.CreateApiKeyRequest(api_key=wanted))


# ---------------------------------------------------------------- certificates


async def test_a_service_renews_the_certificate_it_called_with(house: House) -> None:
    stub = await house.certificates(caller="orchestrator")
    request = certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(new_key()).decode())
    chain = (await stub.RenewCertificate(request)).chain
    assert chain.spiffe_id == "spiffe://automesh.local/ns/dev/sa/orchestrator"
    leaf = x509.load_pem_x509_certificates(chain.certificate_pem.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [chain.spiffe_id]
    bundle = await stub.GetTrustBundle(certificate_service_pb2.GetTrustBundleRequest())
    assert bundle.bundle_pem == chain.bundle_pem


async def test_a_renewal_for_somebody_else_or_with_an_old_key_is_refused(house: House) -> None:
    stub, key = await house.certificates(caller="orchestrator"), new_key()
    foreign = new_csr(new_key(), spiffe_id="spiffe://automesh.local/ns/dev/sa/auth").decode()
    with refused("INVALID_ARGUMENT"):
        await stub.RenewCertificate(certificate_service_pb2.RenewCertificateRequest(csr_pem=foreign))
    again = certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(key).decode())
    await stub.RenewCertificate(again)
    with refused("INVALID_ARGUMENT"):
        await stub.RenewCertificate(again)


async def test_the_key_that_a_service_calls_with_is_not_certified_again(house: House) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    identity = house.mesh.ca.service("agent")
    key = load_pem_private_key(identity.load().key_pem, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    stub = await house.certificates(identity=identity)
    with refused("INVALID_ARGUMENT"):
        await stub.RenewCertificate(certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(key).decode()))


async def test_a_client_certificate_is_issued_to_those_who_may_and_cannot_renew_itself(house: House) -> None:
    request = certificate_service_pb2.IssueClientCertificateRequest(csr_pem=new_csr(new_key()).decode(), name="laptop")
    issued = await (await house.certificates(await house.admin())).IssueClientCertificate(request)
    assert issued.chain.spiffe_id == "spiffe://automesh.local/ns/dev/client/laptop"
    with refused("PERMISSION_DENIED"):
        await (await house.certificates(await house.signed_in("eye", "viewer"))).IssueClientCertificate(request)
    client = await house.certificates(caller="laptop", client=True)
    with refused("PERMISSION_DENIED"):
        await client.RenewCertificate(
            certificate_service_pb2.RenewCertificateRequest(csr_pem=new_csr(new_key()).decode())
        )


# ---------------------------------------------------------------- audit


def an_event(event_id: str, **more: str) -> audit_service_pb2.AuditEvent:
    return audit_service_pb2.AuditEvent(event_id=event_id, method="a.B/C", outcome="OK", **more)


async def record(house: House, *events: audit_service_pb2.AuditEvent, **how: Any) -> None:
    await (await house.audit(**how)).RecordEvents(audit_service_pb2.RecordEventsRequest(events=events))


async def listed(house: House, token: str, **more: Any) -> audit_service_pb2.ListAuditEventsResponse:
    return await (await house.audit(token)).ListAuditEvents(audit_service_pb2.ListAuditEventsRequest(**more))


async def test_entries_carry_the_service_that_sent_them_and_are_stored_once(house: House) -> None:
    forged = an_event("evt_1", service="auth", tenant_id="default", subject="user_1")
    await record(house, forged, caller="orchestrator")
    await record(house, forged, an_event("evt_2", tenant_id="default", subject="user_1"), caller="agent")
    events = (await listed(house, await house.admin(), subject="user_1")).events
    assert {event.event_id: event.service for event in events} == {"evt_1": "orchestrator", "evt_2": "agent"}


async def test_a_client_certificate_opens_no_audit_log(house: House) -> None:
    with refused("PERMISSION_DENIED"):
        await record(house, an_event("evt_1"), caller="laptop", client=True)


async def test_entries_of_nobody_are_for_operators_alone(house: House) -> None:
    await record(house, an_event("evt_1", resource="r"), an_event("evt_2", resource="r", tenant_id="default"))
    admin = await house.signed_in("ann", "admin")
    assert [event.event_id for event in (await listed(house, admin, resource="r")).events] == ["evt_2"]
    operators = (await listed(house, await house.admin(), resource="r")).events
    assert {event.event_id for event in operators} == {"evt_1", "evt_2"}


async def test_pages_of_entries_end_and_refuse_another_filter(house: House) -> None:
    await record(house, *(an_event(f"evt_{number}", resource="r", tenant_id="default") for number in range(5)))
    token, seen, page = await house.admin(), [], ""
    while True:
        response = await listed(house, token, resource="r", page_size=2, page_token=page)
        seen += [event.event_id for event in response.events]
        if not response.next_page_token:
            break
        page = response.next_page_token
    assert sorted(seen) == [f"evt_{number}" for number in range(5)]
    with refused("INVALID_ARGUMENT"):
        await listed(house, token, resource="another", page_token=page)
    with refused("INVALID_ARGUMENT"):
        await listed(house, token, subject="nul\0")


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET outcome = 'OK'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
async def test_nobody_rewrites_the_audit_log(house: House, statement: str) -> None:
    await house.login()
    before = await house.database.fetch("SELECT * FROM audit_event", tenant=ENGINE)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await house.database.execute(statement, tenant=ENGINE)
    assert await house.database.fetch("SELECT * FROM audit_event", tenant=ENGINE) == before != []


async def test_every_sign_in_and_key_use_is_in_the_log_with_who_it_was(house: House) -> None:
    token = await house.signed_in("dev", "developer")
    made = await (await house.keys(token)).CreateApiKey(
        api_key_service_pb2.CreateApiKeyRequest(api_key=api_key_service_pb2.ApiKey(name="ci"))
    )
    await (await house.tokens()).ExchangeApiKey(token_service_pb2.ExchangeApiKeyRequest(api_key=made.secret))
    with refused("UNAUTHENTICATED"):
        await house.login("dev", "wrong")
    me = await whoami(house, token)
    operator = await house.admin()
    of_the_key = (await listed(house, operator, subject=made.api_key.key_id)).events
    assert [(event.method, event.outcome) for event in of_the_key] == [
        ("automesh.auth.v1.TokenService/ExchangeApiKey", "OK")
    ]
    of_the_person = (await listed(house, operator, subject=me.subject)).events
    assert [(event.method.rpartition("/")[2], event.outcome) for event in of_the_person] == [
        ("Login", "UNAUTHENTICATED"),
        ("Login", "OK"),
    ]


# ---------------------------------------------------------------- replicas and secrets


async def test_two_replicas_starting_at_once_agree(open_database: OpenDatabase, tmp_path: Path) -> None:
    initialise(Plan(layout=Layout(tmp_path), trust_domain="automesh.local", environment="dev"), datetime.now(UTC))
    database = await open_database(SCHEMA, MIGRATIONS)
    replicas = [make_parts(database, tmp_path) for _ in range(3)]
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(replica.signing_keys.refresh() for replica in replicas))
        made = await asyncio.gather(*(replica.first_admin.ensure() for replica in replicas))
    assert sorted(made) == [False, False, True]
    assert len({replica.signing_keys.active.key_id for replica in replicas}) == 1
    admin = await replicas[0].users.find_by_name("admin")
    assert admin is not None
    password = Layout(tmp_path).admin_password.read_text().strip()
    assert (await replicas[0].hasher.verify(password, admin.password_hash)).matches
    for replica in replicas:
        replica.hasher.close()


async def test_sweeping_forgets_what_is_over_and_nothing_else(house: House) -> None:
    pair = await house.login()
    with refused("UNAUTHENTICATED"):
        await house.login("ann", "wrong")
    await house.parts.sweep()
    assert await house.database.fetchval("SELECT count(*) FROM sign_in_failure", tenant=None) == 1
    await house.database.execute("UPDATE sign_in_failure SET last_at = last_at - interval '2 h'", tenant=None)
    await house.parts.sweep()
    assert await house.database.fetchval("SELECT count(*) FROM sign_in_failure", tenant=None) == 0
    assert (await refresh(house, pair.refresh_token)).access_token


async def dump(database: Database) -> str:
    """Every value of every table, as text; binary ones in hex and as they are."""
    tables = await database.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = $1", database.schema, tenant=ENGINE
    )
    rows = [
        row
        for table in tables
        for row in await database.fetch(f'SELECT * FROM "{table["table_name"]}"', tenant=ENGINE)  # noqa: S608 - ours
    ]
    return "\n".join(
        f"{value.hex()} {value!r}" if isinstance(value, bytes) else str(value) for row in rows for value in row.values()
    )


async def test_no_secret_is_found_in_the_database_or_in_the_logs(house: House) -> None:
    logs = io.StringIO()
    configure_logging("auth", "debug", stream=logs)
    first = await house.login()
    second = await refresh(house, first.refresh_token)
    token = await house.signed_in("dev", "developer")
    keys = await house.keys(token)
    made = await keys.CreateApiKey(
        api_key_service_pb2.CreateApiKeyRequest(api_key=api_key_service_pb2.ApiKey(name="ci"))
    )
    exchange = token_service_pb2.ExchangeApiKeyRequest(api_key=made.secret)
    access = (await (await house.tokens()).ExchangeApiKey(exchange)).tokens.access_token
    for name, password in (("dev", "a-wrong-secret"), ("typed-secret-as-name", PASSWORD)):
        with refused("UNAUTHENTICATED"):
            await house.login(name, password)
    change = user_service_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="another good one 7")
    await (await house.users(token)).ChangePassword(change)
    await house.parts.sessions.logout(second.refresh_token, origin_of_test())
    private = house.parts.signing_keys.active.private_pem.decode().splitlines()[1]
    secrets = [
        *(house.password, PASSWORD, "a-wrong-secret", "another good one 7", "typed-secret-as-name"),
        *(first.refresh_token, second.refresh_token, first.access_token, token, access),
        *(made.secret, made.secret.split("_", 2)[2], private),
    ]
    written = await dump(house.database)
    assert len(written) > 1000
    for secret in secrets:
        assert secret not in written
        assert secret not in logs.getvalue()
        assert secret not in repr(house.mesh.audited)
        assert secret.encode().hex() not in written
    assert re.search(r"\$argon2id\$", written)


def origin_of_test() -> Any:
    from services.auth.domain.actor import Origin

    return Origin(workload="spiffe://automesh.local/ns/dev/sa/gateway")
