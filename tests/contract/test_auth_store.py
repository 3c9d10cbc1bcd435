"""What every store of auth does: the one on PostgreSQL, and the fake."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import AlreadyExists
from automesh.core.ids import new_id
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.databases import OpenDatabase
from services.auth.crypto.jwt import new_signing_key
from services.auth.domain import refresh
from services.auth.domain.api_keys import ApiKey, ApiKeyNotFound, ApiKeyStore, NewApiKey, TooManyKeys
from services.auth.domain.audit import AuditEvent, AuditFilter, AuditStore, Position
from services.auth.domain.certificates import IssuedKeys
from services.auth.domain.lockout import Failures, FailureStore
from services.auth.domain.refresh import Outcome, RefreshPolicy, RefreshStore, RefreshToken, Rotation
from services.auth.domain.signing_keys import KeyState, SigningKeyStore
from services.auth.domain.tenant import EVERY_TENANT
from services.auth.domain.user import NewUser, User, UsernameTaken, UserNotFound
from services.auth.domain.user_store import CreationKey, UserStore
from services.auth.fakes.people import FakeApiKeyStore, FakePeople, FakeRefreshStore, FakeUserStore
from services.auth.fakes.things import FakeAuditStore, FakeFailureStore, FakeIssuedKeys, FakeSigningKeyStore
from services.auth.store.api_keys import SqlApiKeyStore
from services.auth.store.audit import SqlAuditStore
from services.auth.store.certified_keys import SqlIssuedKeys
from services.auth.store.failures import SqlFailureStore
from services.auth.store.refresh_tokens import SqlRefreshStore
from services.auth.store.signing_keys import SqlSigningKeyStore
from services.auth.store.users import SqlUserStore

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = RefreshPolicy()
LIMIT_S = 20


@dataclass
class Stores:
    """All stores over one database."""

    users: UserStore
    tokens: RefreshStore
    keys: ApiKeyStore
    failures: FailureStore
    signing: SigningKeyStore
    issued: IssuedKeys
    audit: AuditStore


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
def open_database_or_fake(request: pytest.FixtureRequest) -> OpenDatabase | None:
    """None means the fakes; a database is started for the tests that want one only."""
    return request.getfixturevalue("open_database") if request.param == "postgres" else None


@pytest.fixture
async def stores(open_database_or_fake: OpenDatabase | None) -> Stores:
    if open_database_or_fake is None:
        return fake_stores()
    database = await open_database_or_fake("auth", "services.auth.migrations")
    return Stores(
        SqlUserStore(database),
        SqlRefreshStore(database),
        SqlApiKeyStore(database),
        SqlFailureStore(database),
        SqlSigningKeyStore(database, Sealer(Keyring.generate())),
        SqlIssuedKeys(database),
        SqlAuditStore(database),
    )


def fake_stores() -> Stores:
    people = FakePeople()
    return Stores(
        FakeUserStore(people),
        FakeRefreshStore(people),
        FakeApiKeyStore(people),
        FakeFailureStore(),
        FakeSigningKeyStore(),
        FakeIssuedKeys(),
        FakeAuditStore(),
    )


def a_user(name: str, *, tenant: str = "default", roles: tuple[str, ...] = ("viewer",), disabled: bool = False) -> User:
    spec = NewUser(username=name, tenant_id=tenant, roles=frozenset(roles), disabled=disabled)
    return User(user_id=new_id("user"), spec=spec, password_hash=f"$argon2id$of-{name}", created_at=NOW)


async def added(stores: Stores, name: str, **more: object) -> User:
    return await stores.users.add(a_user(name, **more), None)  # type: ignore[arg-type]


def a_token(user: User, now: datetime = NOW) -> tuple[RefreshToken, bytes]:
    token, text = refresh.new_token(
        family_id=new_id("ses"), user_id=user.user_id, tenant_id=user.spec.tenant_id, now=now, policy=POLICY
    )
    secret = refresh.from_text(text)
    assert secret is not None
    return token, secret


def using(secret: bytes, now: datetime) -> Callable[[RefreshToken], Rotation]:
    return lambda token: refresh.rotate(token, secret, now, POLICY)


def an_event(event_id: str = "", *, tenant: str = "default", time: datetime = NOW, **more: str) -> AuditEvent:
    details = {"service": "auth", "outcome": "OK", "method": "a.B/C", **more}
    return AuditEvent(event_id=event_id or new_id("evt"), time=time, tenant_id=tenant, **details)


# ---------------------------------------------------------------- users


async def test_a_user_comes_back_as_added(stores: Stores) -> None:
    user = await added(stores, "ann", roles=("admin", "viewer"))
    assert await stores.users.get(user.user_id, "default") == user
    assert await stores.users.find(user.user_id) == user
    assert await stores.users.find_by_name("ann") == user


async def test_a_user_of_another_tenant_is_not_found(stores: Stores) -> None:
    user = await added(stores, "ann", tenant="acme")
    with pytest.raises(UserNotFound):
        await stores.users.get(user.user_id, "default")
    with pytest.raises(UserNotFound):
        await stores.users.change(user.user_id, "default", lambda found, _: found)
    with pytest.raises(UserNotFound):
        await stores.users.remove(user.user_id, "default", lambda *_: None)
    assert await stores.users.get(user.user_id, EVERY_TENANT) == user


async def test_nobody_is_found_by_a_name_or_id_that_nobody_has(stores: Stores) -> None:
    assert await stores.users.find(new_id("user")) is None
    assert await stores.users.find_by_name("nobody") is None
    assert await stores.users.find_by_name("nul\0in it") is None


async def test_a_name_is_taken_once_in_the_whole_stack(stores: Stores) -> None:
    await added(stores, "ann")
    with pytest.raises(UsernameTaken):
        await added(stores, "ann", tenant="acme")


async def test_a_creation_repeated_with_the_same_key_returns_the_first(stores: Stores) -> None:
    key = CreationKey(creator="user_1", request_id="r1", digest="d1")
    first = await stores.users.add(a_user("ann"), key)
    assert await stores.users.add(a_user("ann"), key) == first


async def test_a_creation_key_used_for_something_else_is_refused(stores: Stores) -> None:
    key = CreationKey(creator="user_1", request_id="r1", digest="d1")
    await stores.users.add(a_user("ann"), key)
    with pytest.raises(AlreadyExists):
        await stores.users.add(a_user("bob"), replace(key, digest="d2"))
    assert await stores.users.find_by_name("bob") is None


async def test_the_same_request_id_of_another_creator_is_another_key(stores: Stores) -> None:
    await stores.users.add(a_user("ann"), CreationKey(creator="user_1", request_id="r1", digest="d1"))
    bob = a_user("bob")
    assert await stores.users.add(bob, CreationKey(creator="user_2", request_id="r1", digest="d2")) == bob


async def test_users_are_listed_newest_first_in_pages_of_one_tenant(stores: Stores) -> None:
    users = [await added(stores, f"user{number}") for number in range(5)]
    await added(stores, "stranger", tenant="acme")
    newest = sorted(users, key=lambda user: user.user_id, reverse=True)
    assert await stores.users.list_newest("default", limit=3, before=None) == newest[:3]
    assert await stores.users.list_newest("default", limit=3, before=newest[2].user_id) == newest[3:]


async def test_a_change_is_stored_and_learns_how_many_other_admins_work(stores: Stores) -> None:
    ann = await added(stores, "ann", roles=("admin",))
    await added(stores, "bob", roles=("admin",))
    await added(stores, "off", roles=("admin",), disabled=True)
    await added(stores, "far", roles=("admin",), tenant="acme")
    seen = []

    def demote(user: User, other_admins: int) -> User:
        seen.append(other_admins)
        return user.change(roles=frozenset({"viewer"}), disabled=None, other_admins=other_admins)

    changed = await stores.users.change(ann.user_id, "default", demote)
    assert seen == [1]
    assert await stores.users.get(ann.user_id, "default") == changed
    assert changed.spec.roles == {"viewer"}


async def test_a_change_that_raises_changes_nothing(stores: Stores) -> None:
    ann = await added(stores, "ann")

    def refuse(user: User, _: int) -> User:
        raise PermissionError

    with pytest.raises(PermissionError):
        await stores.users.change(ann.user_id, "default", refuse)
    assert await stores.users.get(ann.user_id, "default") == ann


@pytest.mark.parametrize("what", ["disabled", "password"])
async def test_disabling_a_user_and_a_new_password_sign_out_everywhere(stores: Stores, what: str) -> None:
    ann, bob = await added(stores, "ann"), await added(stores, "bob")
    (anns, secret), (bobs, bobs_secret) = a_token(ann), a_token(bob)
    await stores.tokens.add(anns)
    await stores.tokens.add(bobs)

    def change(user: User, _: int) -> User:
        if what == "disabled":
            return replace(user, spec=replace(user.spec, disabled=True))
        return replace(user, password_hash="$argon2id$new")

    await stores.users.change(ann.user_id, "default", change)
    mine = await stores.tokens.rotate(anns.digest, using(secret, NOW))
    others = await stores.tokens.rotate(bobs.digest, using(bobs_secret, NOW))
    assert mine is not None
    assert mine.outcome is Outcome.ENDED
    assert others is not None
    assert others.outcome is Outcome.ROTATED


async def test_new_roles_leave_a_user_signed_in(stores: Stores) -> None:
    ann = await added(stores, "ann")
    token, secret = a_token(ann)
    await stores.tokens.add(token)
    await stores.users.change(
        ann.user_id, "default", lambda user, _: replace(user, spec=replace(user.spec, roles=frozenset({"agent"})))
    )
    rotation = await stores.tokens.rotate(token.digest, using(secret, NOW))
    assert rotation is not None
    assert rotation.outcome is Outcome.ROTATED


async def test_a_hash_is_replaced_only_when_it_is_still_the_old_one(stores: Stores) -> None:
    ann = await added(stores, "ann")
    await stores.users.replace_hash(ann.user_id, "$argon2id$not-this", "$argon2id$new")
    assert await stores.users.find(ann.user_id) == ann
    await stores.users.replace_hash(ann.user_id, ann.password_hash, "$argon2id$new")
    assert await stores.users.find(ann.user_id) == replace(ann, password_hash="$argon2id$new")


async def test_a_removed_user_leaves_no_key_and_no_session(stores: Stores) -> None:
    ann = await added(stores, "ann")
    token, secret = a_token(ann)
    await stores.tokens.add(token)
    key = a_key(ann)
    await stores.keys.add(key, at_most=9)
    await stores.users.remove(ann.user_id, "default", lambda *_: None)
    assert await stores.users.find(ann.user_id) is None
    assert await stores.keys.find(key.key_id) is None
    assert await stores.tokens.rotate(token.digest, using(secret, NOW)) is None


async def test_the_first_user_is_added_once(stores: Stores) -> None:
    announced = []

    async def announce() -> None:
        announced.append(True)

    made = await asyncio.gather(*(stores.users.add_first(a_user("admin"), announce) for _ in range(5)))
    assert sorted(made) == [False] * 4 + [True]
    assert announced == [True]


async def test_a_first_user_whose_password_cannot_be_kept_is_not_added(stores: Stores) -> None:
    async def fail() -> None:
        raise OSError

    with suppress(OSError):
        await stores.users.add_first(a_user("admin"), fail)
    assert await stores.users.find_by_name("admin") is None


# ---------------------------------------------------------------- refresh tokens


async def test_an_unknown_refresh_token_is_none(stores: Stores) -> None:
    assert await stores.tokens.rotate(b"?" * 32, using(b"?" * 32, NOW)) is None
    assert await stores.tokens.revoke(b"?" * 32, NOW) is None


async def test_a_rotated_token_and_its_successor_are_stored(stores: Stores) -> None:
    token, secret = a_token(await added(stores, "ann"))
    await stores.tokens.add(token)
    first = await stores.tokens.rotate(token.digest, using(secret, NOW))
    assert first is not None
    assert first.outcome is Outcome.ROTATED
    again = await stores.tokens.rotate(token.digest, using(secret, NOW + timedelta(seconds=9)))
    assert again is not None
    assert again.outcome is Outcome.REPEATED
    assert again.successor_secret == first.successor_secret
    next_ = await stores.tokens.rotate(refresh.digest_of(first.successor_secret), using(first.successor_secret, NOW))
    assert next_ is not None
    assert next_.outcome is Outcome.ROTATED


async def test_a_reused_token_ends_its_whole_family(stores: Stores) -> None:
    token, secret = a_token(await added(stores, "ann"))
    await stores.tokens.add(token)
    first = await stores.tokens.rotate(token.digest, using(secret, NOW))
    assert first is not None
    reused = await stores.tokens.rotate(token.digest, using(secret, NOW + timedelta(seconds=11)))
    assert reused is not None
    assert reused.outcome is Outcome.REUSED
    thief = await stores.tokens.rotate(refresh.digest_of(first.successor_secret), using(first.successor_secret, NOW))
    assert thief is not None
    assert thief.outcome is Outcome.ENDED


async def test_twenty_rotations_at_once_give_one_successor(stores: Stores) -> None:
    token, secret = a_token(await added(stores, "ann"))
    await stores.tokens.add(token)
    async with asyncio.timeout(LIMIT_S):
        rotations = await asyncio.gather(*(stores.tokens.rotate(token.digest, using(secret, NOW)) for _ in range(20)))
    outcomes = [rotation.outcome for rotation in rotations if rotation]
    assert sorted(outcome.name for outcome in outcomes) == ["REPEATED"] * 19 + ["ROTATED"]
    assert len({rotation.successor_secret for rotation in rotations if rotation}) == 1


async def test_revoking_any_token_ends_the_family(stores: Stores) -> None:
    token, secret = a_token(await added(stores, "ann"))
    await stores.tokens.add(token)
    assert await stores.tokens.revoke(token.digest, NOW) is not None
    rotation = await stores.tokens.rotate(token.digest, using(secret, NOW))
    assert rotation is not None
    assert rotation.outcome is Outcome.ENDED


async def test_sessions_that_are_over_are_forgotten(stores: Stores) -> None:
    ann = await added(stores, "ann")
    (old, _), (young, secret) = a_token(ann, NOW - timedelta(days=31)), a_token(ann)
    await stores.tokens.add(old)
    await stores.tokens.add(young)
    assert await stores.tokens.forget_before(NOW) == 1
    assert await stores.tokens.revoke(old.digest, NOW) is None
    assert await stores.tokens.rotate(young.digest, using(secret, NOW)) is not None


# ---------------------------------------------------------------- API keys


def a_key(owner: User, **more: object) -> ApiKey:
    spec = NewApiKey(name="ci", permissions=frozenset({"task.read"}), expires_at=NOW + HOUR)
    key = ApiKey(
        key_id=new_id("key"),
        spec=spec,
        tenant_id=owner.spec.tenant_id,
        owner_id=owner.user_id,
        digest=b"d" * 32,
        created_at=NOW,
    )
    return replace(key, **more)  # type: ignore[arg-type]


async def test_a_key_comes_back_as_added(stores: Stores) -> None:
    key = a_key(await added(stores, "ann"))
    await stores.keys.add(key, at_most=9)
    assert await stores.keys.find(key.key_id) == key
    assert await stores.keys.find(new_id("key")) is None


async def test_keys_are_listed_newest_first_in_pages_of_one_owner(stores: Stores) -> None:
    ann, bob = await added(stores, "ann"), await added(stores, "bob")
    keys = [a_key(ann) for _ in range(4)]
    for key in (*keys, a_key(bob)):
        await stores.keys.add(key, at_most=9)
    newest = sorted(keys, key=lambda key: key.key_id, reverse=True)
    assert await stores.keys.list_newest(ann.user_id, "default", limit=2, before=None) == newest[:2]
    assert await stores.keys.list_newest(ann.user_id, "default", limit=9, before=newest[1].key_id) == newest[2:]
    assert await stores.keys.list_newest(ann.user_id, "acme", limit=9, before=None) == []


async def test_only_the_owner_removes_a_key(stores: Stores) -> None:
    ann, bob = await added(stores, "ann"), await added(stores, "bob")
    key = a_key(ann)
    await stores.keys.add(key, at_most=9)
    with pytest.raises(ApiKeyNotFound):
        await stores.keys.remove(key.key_id, bob.user_id, "default")
    with pytest.raises(ApiKeyNotFound):
        await stores.keys.remove(key.key_id, ann.user_id, "acme")
    await stores.keys.remove(key.key_id, ann.user_id, "default")
    with pytest.raises(ApiKeyNotFound):
        await stores.keys.remove(key.key_id, ann.user_id, "default")


async def test_nobody_has_more_keys_than_allowed_not_even_at_once(stores: Stores) -> None:
    ann = await added(stores, "ann")
    results = await asyncio.gather(*(stores.keys.add(a_key(ann), at_most=3) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(result, TooManyKeys) for result in results) == 3
    assert len(await stores.keys.list_newest(ann.user_id, "default", limit=9, before=None)) == 3


async def test_a_key_of_nobody_cannot_be_added(stores: Stores) -> None:
    with pytest.raises(UserNotFound):
        await stores.keys.add(a_key(a_user("ghost")), at_most=9)


async def test_a_use_is_remembered_to_the_minute(stores: Stores) -> None:
    key = a_key(await added(stores, "ann"))
    await stores.keys.add(key, at_most=9)
    await stores.keys.mark_used(key.key_id, NOW)
    found = await stores.keys.find(key.key_id)
    assert found is not None
    assert found.last_used_at == datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


# ---------------------------------------------------------------- failures, signing keys, certified keys


async def test_failures_are_counted_one_at_a_time(stores: Stores) -> None:
    def one_more(failures: Failures | None) -> Failures:
        return Failures(failures.count + 1 if failures else 1, NOW)

    await asyncio.gather(*(stores.failures.change("account:a", one_more) for _ in range(10)))
    assert await stores.failures.read(["account:a", "account:b"]) == {"account:a": Failures(10, NOW)}


async def test_forgotten_failures_are_gone(stores: Stores) -> None:
    for key, when in (("a", NOW), ("b", NOW - HOUR), ("c", NOW)):
        await stores.failures.change(key, lambda _, when=when: Failures(1, when))  # type: ignore[misc]
    await stores.failures.forget("a")
    assert await stores.failures.forget_before(NOW) == 1
    assert set(await stores.failures.read(["a", "b", "c"])) == {"c"}


async def test_signing_keys_are_kept_moved_and_removed(stores: Stores) -> None:
    one, two = new_signing_key(NOW).become(KeyState.ACTIVE, NOW), new_signing_key(NOW)
    await stores.signing.change(lambda _: [one, two])
    moved = [one.become(KeyState.RETIRING, NOW + HOUR), two.become(KeyState.ACTIVE, NOW + HOUR)]

    def rotate(keys: list[object]) -> list[object]:
        assert sorted(keys, key=repr) == sorted([one, two], key=repr)
        return list(moved)

    await stores.signing.change(rotate)  # type: ignore[arg-type]
    left = await stores.signing.change(lambda keys: [key for key in keys if key.state is KeyState.ACTIVE])
    assert left == [moved[1]]
    assert await stores.signing.change(list) == [moved[1]]


async def test_a_key_is_certified_once(stores: Stores) -> None:
    answers = [await stores.issued.add(b"k" * 32, "spiffe://x/ns/y/sa/z", NOW + HOUR * (1 + n)) for n in range(2)]
    assert answers == [True, False]
    assert await stores.issued.forget_before(NOW + 2 * HOUR) == 1
    assert await stores.issued.add(b"k" * 32, "spiffe://x/ns/y/sa/z", NOW)


# ---------------------------------------------------------------- audit


async def test_an_entry_is_stored_once_and_never_changed(stores: Stores) -> None:
    event = an_event("evt_1", subject="user_1", resource="task_1", reason="R", request_id="req_1", workload="w")
    await stores.audit.add([event])
    await stores.audit.add([replace(event, outcome="FORGED"), an_event("evt_2", time=NOW - HOUR)])
    await stores.audit.add([])
    listed = await stores.audit.list_newest("default", AuditFilter(), limit=9, before=None)
    assert [each.event_id for each in listed] == ["evt_1", "evt_2"]
    assert listed[0] == event


async def test_a_tenant_sees_its_own_entries_and_operators_see_all(stores: Stores) -> None:
    await stores.audit.add([an_event("evt_a"), an_event("evt_b", tenant="acme"), an_event("evt_c", tenant="")])
    seen = {}
    for scope in ("default", "acme", "", EVERY_TENANT):
        listed = await stores.audit.list_newest(scope, AuditFilter(), limit=9, before=None)
        seen[scope] = {event.event_id for event in listed}
    assert seen == {"default": {"evt_a"}, "acme": {"evt_b"}, "": set(), EVERY_TENANT: {"evt_a", "evt_b", "evt_c"}}


async def test_entries_are_paged_by_time_and_id(stores: Stores) -> None:
    times = [NOW, NOW, NOW - HOUR, NOW - 2 * HOUR, NOW - 2 * HOUR]
    await stores.audit.add([an_event(f"evt_{number}", time=time) for number, time in enumerate(times)])
    seen: list[str] = []
    before: Position | None = None
    while page := await stores.audit.list_newest("default", AuditFilter(), limit=2, before=before):
        seen += [event.event_id for event in page]
        last = page[-1]
        assert last.time is not None
        before = Position(last.time, last.event_id)
    assert seen == ["evt_1", "evt_0", "evt_2", "evt_4", "evt_3"]


@pytest.mark.parametrize(("name", "value"), [("subject", "user_1"), ("resource", "task_1"), ("outcome", "NOT_FOUND")])
async def test_entries_are_filtered(stores: Stores, name: str, value: str) -> None:
    await stores.audit.add([an_event("evt_1"), an_event("evt_2", **{name: value})])
    listed = await stores.audit.list_newest("default", AuditFilter(**{name: value}), limit=9, before=None)
    assert [event.event_id for event in listed] == ["evt_2"]
