"""Signing in by password, refresh token and API key; signing out."""

import asyncio
from datetime import timedelta

import pytest

from automesh.core.ids import new_id
from services.auth.domain import api_keys
from services.auth.domain.actor import Actor, Origin
from services.auth.domain.api_keys import ApiKeys, NewApiKey
from services.auth.domain.audit import AuditEvent, AuditLog
from services.auth.domain.lockout import Lockout, TooManyFailures
from services.auth.domain.refresh import from_text, to_text
from services.auth.domain.roles import permissions_of
from services.auth.domain.sessions import BadCredentials, BadRefreshToken, Sessions
from services.auth.domain.tokens import AccessTokens, Claims, TokenPair
from services.auth.domain.turnstile import Turnstile
from services.auth.domain.user import NewUser, User
from services.auth.fakes.people import FakeApiKeyStore, FakePeople, FakeRefreshStore, FakeUserStore
from services.auth.fakes.things import FakeAuditStore, FakeClock, FakeFailureStore, FakeHasher

PASSWORD = "violet otter crosses"
ORIGIN = Origin(source="host", workload="spiffe://d/ns/e/sa/gateway", request_id="req_1")
LIMIT_S = 20


class FakeSigner:
    """Remembers what it signed; the token is the number of the claims."""

    def __init__(self) -> None:
        self.signed: list[Claims] = []

    def sign(self, claims: Claims) -> str:
        self.signed.append(claims)
        return str(len(self.signed) - 1)


class House:
    """Sessions over fakes."""

    def __init__(self) -> None:
        self.people, self.clock, self.hasher = FakePeople(), FakeClock(), FakeHasher()
        self.users, self.signer = FakeUserStore(self.people), FakeSigner()
        self.audit_store, self.failures = FakeAuditStore(), FakeFailureStore()
        self.lockout = Lockout(self.failures, self.clock)
        keys = FakeApiKeyStore(self.people)
        self.keys = ApiKeys(keys, self.clock, new_id)
        self.sessions = Sessions(
            users=self.users,
            keys=keys,
            refresh_tokens=FakeRefreshStore(self.people),
            access_tokens=AccessTokens(self.signer, self.clock, new_id),
            hasher=self.hasher,
            lockout=self.lockout,
            turnstile=Turnstile(),
            audit=AuditLog(self.audit_store, self.clock, new_id),
            clock=self.clock,
            new_id=new_id,
        )

    async def add(self, name: str, *roles: str, disabled: bool = False) -> User:
        spec = NewUser(username=name, tenant_id="default", roles=frozenset(roles), disabled=disabled)
        hashed = await self.hasher.hash(PASSWORD)
        user = User(user_id=new_id("user"), spec=spec, password_hash=hashed, created_at=self.clock())
        return await self.users.add(user, None)

    async def login(self, name: str = "ann", password: str = PASSWORD) -> TokenPair:
        return await self.sessions.login(name, password, ORIGIN)

    def claims(self, pair: TokenPair) -> Claims:
        return self.signer.signed[int(pair.access_token)]

    @property
    def audited(self) -> list[AuditEvent]:
        return list(self.audit_store.events.values())

    async def disable(self, user: User) -> None:
        def change(found: User, _: int) -> User:
            return found.change(roles=None, disabled=True, other_admins=9)

        await self.users.change(user.user_id, "default", change)


@pytest.fixture
def house() -> House:
    return House()


# ---------------------------------------------------------------- password


async def test_a_good_password_gives_both_tokens(house: House) -> None:
    ann = await house.add("ann", "developer", "viewer")
    pair = await house.login()
    claims = house.claims(pair)
    assert (claims.subject, claims.name, claims.tenant_id) == (ann.user_id, "ann", "default")
    assert claims.roles == ("developer", "viewer")
    assert set(claims.permissions) == permissions_of(["developer"])
    assert claims.expires_at - claims.issued_at == pair.expires_in == timedelta(minutes=5)
    assert from_text(pair.refresh_token) is not None
    assert pair.access_token not in repr(pair) or pair.refresh_token not in repr(pair)


async def test_wrong_password_unknown_name_and_disabled_user_get_the_same_answer(house: House) -> None:
    await house.add("ann", "viewer")
    await house.add("off", "viewer", disabled=True)
    answers = set()
    for name, password in (("ann", "wrong"), ("nobody", PASSWORD), ("off", PASSWORD), ("nul\0", "x"), ("ann", "")):
        with pytest.raises(BadCredentials) as caught:
            await house.login(name, password)
        answers.add((caught.value.message, caught.value.reason, tuple(caught.value.metadata)))
    assert len(answers) == 1


async def test_every_answer_costs_exactly_one_comparison(house: House) -> None:
    await house.add("ann", "viewer")
    await house.add("off", "viewer", disabled=True)
    for name, password in (("ann", "wrong"), ("nobody", PASSWORD), ("off", PASSWORD), ("ann", "x" * 100_000)):
        house.hasher.verified.clear()
        with pytest.raises(BadCredentials):
            await house.login(name, password)
        assert len(house.hasher.verified) == 1


async def test_an_old_hash_is_renewed_when_its_password_comes_by(house: House) -> None:
    ann = await house.add("ann", "viewer")
    house.hasher.version = 2
    await house.login()
    assert house.people.users[ann.user_id].password_hash.startswith("$argon2id$v2$")
    await house.login()


async def test_guessing_is_slowed_down_and_the_right_password_waits_too(house: House) -> None:
    await house.add("ann", "viewer")
    for _ in range(5):
        with pytest.raises(BadCredentials):
            await house.login(password="wrong")
    with pytest.raises(TooManyFailures) as caught:
        await house.login()
    assert caught.value.retry_after is not None
    house.clock.forward(caught.value.retry_after)
    await house.login()
    assert not any(key.startswith("account:") for key in house.failures.failures)


async def test_parallel_guesses_do_not_overtake_the_count(house: House) -> None:
    await house.add("ann", "viewer")
    async with asyncio.timeout(LIMIT_S):
        results = await asyncio.gather(*(house.login(password=f"guess {n}") for n in range(20)), return_exceptions=True)
    assert sum(isinstance(result, BadCredentials) for result in results) == 5
    assert sum(isinstance(result, TooManyFailures) for result in results) == 15


async def test_a_name_that_nobody_has_is_not_written_into_the_audit_log(house: House) -> None:
    with pytest.raises(BadCredentials):
        await house.login(name="hunter2secret")
    [event] = house.audited
    assert (event.subject, event.resource, event.outcome) == ("", "", "UNAUTHENTICATED")
    assert "hunter2secret" not in repr(event)


async def test_sign_ins_are_audited_with_the_person(house: House) -> None:
    ann = await house.add("ann", "viewer")
    with pytest.raises(BadCredentials):
        await house.login(password="wrong")
    await house.login()
    bad, good = house.audited
    assert (bad.subject, bad.outcome, bad.reason) == (ann.user_id, "UNAUTHENTICATED", "BAD_CREDENTIALS")
    assert (good.subject, good.outcome, good.method) == (ann.user_id, "OK", "automesh.auth.v1.TokenService/Login")
    assert (good.workload, good.request_id, good.tenant_id) == (ORIGIN.workload, "req_1", "default")


# ---------------------------------------------------------------- refresh


async def test_a_refresh_token_gives_a_new_pair_once(house: House) -> None:
    await house.add("ann", "viewer")
    first = await house.login()
    second = await house.sessions.refresh(first.refresh_token, ORIGIN)
    assert second.refresh_token != first.refresh_token
    assert house.claims(second).name == "ann"
    third = await house.sessions.refresh(second.refresh_token, ORIGIN)
    assert third.refresh_token not in (first.refresh_token, second.refresh_token)


async def test_within_ten_seconds_the_same_token_gets_the_same_successor(house: House) -> None:
    await house.add("ann", "viewer")
    first = await house.login()
    second = await house.sessions.refresh(first.refresh_token, ORIGIN)
    house.clock.forward(timedelta(seconds=10))
    assert (await house.sessions.refresh(first.refresh_token, ORIGIN)).refresh_token == second.refresh_token


async def test_a_token_used_again_later_ends_the_family(house: House) -> None:
    await house.add("ann", "viewer")
    first = await house.login()
    second = await house.sessions.refresh(first.refresh_token, ORIGIN)
    other = await house.login()
    house.clock.forward(timedelta(seconds=11))
    with pytest.raises(BadRefreshToken):
        await house.sessions.refresh(first.refresh_token, ORIGIN)
    assert house.audited[-1].reason == "REFRESH_TOKEN_REUSED"
    with pytest.raises(BadRefreshToken):
        await house.sessions.refresh(second.refresh_token, ORIGIN)
    await house.sessions.refresh(other.refresh_token, ORIGIN)


async def test_a_token_ends_after_a_week_of_disuse_and_a_family_after_thirty_days(house: House) -> None:
    await house.add("ann", "viewer")
    idle = await house.login()
    house.clock.forward(timedelta(days=7))
    with pytest.raises(BadRefreshToken):
        await house.sessions.refresh(idle.refresh_token, ORIGIN)
    pair = await house.login()
    for _ in range(5):
        house.clock.forward(timedelta(days=5))
        pair = await house.sessions.refresh(pair.refresh_token, ORIGIN)
    house.clock.forward(timedelta(days=5))
    with pytest.raises(BadRefreshToken):
        await house.sessions.refresh(pair.refresh_token, ORIGIN)


async def test_new_roles_count_from_the_next_refresh(house: House) -> None:
    ann = await house.add("ann", "viewer")
    pair = await house.login()
    roles = frozenset({"agent"})
    await house.users.change(
        ann.user_id, "default", lambda user, _: user.change(roles=roles, disabled=None, other_admins=0)
    )
    assert house.claims(await house.sessions.refresh(pair.refresh_token, ORIGIN)).roles == ("agent",)


async def test_a_disabled_or_removed_user_cannot_refresh(house: House) -> None:
    ann, bob = await house.add("ann", "viewer"), await house.add("bob", "viewer")
    anns, bobs = await house.login("ann"), await house.login("bob")
    await house.disable(ann)
    await house.users.remove(bob.user_id, "default", lambda *_: None)
    for pair in (anns, bobs):
        with pytest.raises(BadRefreshToken):
            await house.sessions.refresh(pair.refresh_token, ORIGIN)


@pytest.mark.parametrize(
    "text", ["", "x", "not base64 at all!", "A" * 43, to_text(b"x" * 32), "A" * 1_000_000, "é" * 43]
)
async def test_what_is_no_refresh_token_is_refused(house: House, text: str) -> None:
    with pytest.raises(BadRefreshToken):
        await house.sessions.refresh(text, ORIGIN)


def test_a_token_has_one_spelling_only() -> None:
    text = to_text(bytes(range(32)))
    assert from_text(text) == bytes(range(32))
    assert from_text(f"{text}=") is None
    assert from_text(f"{text[:-1]}9") is None  # the same 32 bytes with other padding bits


async def test_logout_ends_the_family_and_says_nothing_about_strangers(house: House) -> None:
    await house.add("ann", "viewer")
    first = await house.login()
    second = await house.sessions.refresh(first.refresh_token, ORIGIN)
    await house.sessions.logout(first.refresh_token, ORIGIN)
    with pytest.raises(BadRefreshToken):
        await house.sessions.refresh(second.refresh_token, ORIGIN)
    for text in ("", "rubbish", to_text(b"x" * 32), first.refresh_token):
        await house.sessions.logout(text, ORIGIN)


# ---------------------------------------------------------------- API keys


async def make_key(house: House, owner: User, spec: NewApiKey) -> str:
    actor = Actor(subject=owner.user_id, tenant_id="default", permissions=owner.permissions)
    return (await house.keys.create(actor, spec))[1]


async def test_a_key_is_exchanged_for_an_access_token_alone(house: House) -> None:
    ann = await house.add("ann", "developer")
    pair = await house.sessions.exchange(await make_key(house, ann, NewApiKey(name="ci")), ORIGIN)
    claims = house.claims(pair)
    assert pair.refresh_token == ""
    assert claims.subject.startswith("key_")
    assert (claims.name, claims.roles) == ("ci", ("developer",))
    assert set(claims.permissions) == ann.permissions
    assert house.audited[-1].subject == claims.subject
    assert house.audited[-1].resource == ann.user_id


async def test_a_key_never_holds_more_than_its_owner_holds_now(house: House) -> None:
    ann = await house.add("ann", "developer")
    spec = NewApiKey(name="ci", permissions=frozenset({"task.create", "task.read"}))
    text = await make_key(house, ann, spec)
    assert set(house.claims(await house.sessions.exchange(text, ORIGIN)).permissions) == spec.permissions
    roles = frozenset({"viewer"})
    await house.users.change(
        ann.user_id, "default", lambda user, _: user.change(roles=roles, disabled=None, other_admins=0)
    )
    claims = house.claims(await house.sessions.exchange(text, ORIGIN))
    assert claims.permissions == ("task.read",)
    assert claims.roles == ()  # a narrowed key does not carry the name of a role it does not fill


async def test_an_expired_key_a_wrong_secret_and_a_disabled_owner_are_refused_alike(house: House) -> None:
    ann = await house.add("ann", "developer")
    spec = NewApiKey(name="short", expires_at=house.clock() + timedelta(hours=1))
    expired, good = await make_key(house, ann, spec), await make_key(house, ann, NewApiKey(name="ci"))
    house.clock.forward(timedelta(hours=1))
    wrong = good[:-43] + "A" * 43
    answers = set()
    for text in (expired, wrong, "am_", "", "am_" + "0" * 23 + "_" + "A" * 43, "x" * 100_000, "am_é"):
        with pytest.raises(BadCredentials) as caught:
            await house.sessions.exchange(text, ORIGIN)
        answers.add(caught.value.message)
    await house.disable(ann)
    with pytest.raises(BadCredentials) as caught:
        await house.sessions.exchange(good, ORIGIN)
    assert len({*answers, caught.value.message}) == 1


async def test_a_source_that_guesses_keys_is_slowed_down(house: House) -> None:
    for _ in range(30):
        with pytest.raises(BadCredentials):
            await house.sessions.exchange("am_nonsense", ORIGIN)
    with pytest.raises(TooManyFailures):
        await house.sessions.exchange("am_nonsense", ORIGIN)


async def test_the_last_use_is_written_once_a_minute(house: House) -> None:
    ann = await house.add("ann", "developer")
    text = await make_key(house, ann, NewApiKey(name="ci"))
    key_id = api_keys.key_id_in(text)
    assert key_id is not None
    await house.sessions.exchange(text, ORIGIN)
    first = house.people.keys[key_id].last_used_at
    house.clock.forward(timedelta(seconds=59))
    await house.sessions.exchange(text, ORIGIN)
    assert house.people.keys[key_id].last_used_at == first
    house.clock.forward(timedelta(seconds=1))
    await house.sessions.exchange(text, ORIGIN)
    assert house.people.keys[key_id].last_used_at == house.clock()
