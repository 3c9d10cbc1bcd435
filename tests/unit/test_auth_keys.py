"""API keys as people make them, and the rotation of the keys that sign tokens."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import PermissionDenied, Unavailable, ValidationError
from automesh.core.ids import new_id
from automesh.mesh.tokens import TokenVerifier
from services.auth.crypto.jwt import JwtSigner, new_signing_key, public_jwk
from services.auth.domain import api_keys
from services.auth.domain.actor import Actor
from services.auth.domain.api_keys import ApiKeyNotFound, ApiKeys, NewApiKey
from services.auth.domain.roles import permissions_of
from services.auth.domain.signing_keys import KeyState, RotationPolicy, SigningKey, SigningKeys, rotate
from services.auth.domain.tokens import AccessTokens
from services.auth.domain.user import NewUser, User
from services.auth.fakes.people import FakeApiKeyStore, FakePeople, FakeUserStore
from services.auth.fakes.things import FakeClock, FakeSigningKeyStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
POLICY = RotationPolicy()


# ---------------------------------------------------------------- API keys


class House:
    """API keys over fakes, with one developer."""

    def __init__(self) -> None:
        self.people, self.clock = FakePeople(), FakeClock()
        self.keys = ApiKeys(FakeApiKeyStore(self.people), self.clock, new_id)

    async def developer(self, name: str = "ann") -> Actor:
        spec = NewUser(username=name, tenant_id="default", roles=frozenset({"developer"}))
        user = User(user_id=new_id("user"), spec=spec, password_hash="x", created_at=NOW)
        await FakeUserStore(self.people).add(user, None)
        return Actor(subject=user.user_id, tenant_id="default", permissions=user.permissions)


@pytest.fixture
def house() -> House:
    return House()


async def test_a_key_is_shown_once_and_kept_as_a_digest(house: House) -> None:
    ann = await house.developer()
    key, text = await house.keys.create(ann, NewApiKey(name="ci"))
    assert text.startswith("am_")
    assert api_keys.key_id_in(text) == key.key_id
    assert key.digest == api_keys.digest_of(text)
    assert text.split("_", 2)[2] not in repr(house.people.keys)
    other, other_text = await house.keys.create(ann, NewApiKey(name="ci"))
    assert other.key_id != key.key_id
    assert other_text != text


async def test_a_key_cannot_hold_what_its_maker_does_not_hold(house: House) -> None:
    ann = await house.developer()
    with pytest.raises(PermissionDenied, match=r"user\.write"):
        await house.keys.create(ann, NewApiKey(name="ci", permissions=frozenset({"task.read", "user.write"})))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 65},
        {"name": "nul\0"},
        {"name": "ci", "permissions": frozenset({"task.fly"})},
    ],
)
def test_a_key_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NewApiKey(**wrong)  # type: ignore[arg-type]


async def test_a_key_that_is_over_before_it_begins_is_refused(house: House) -> None:
    ann = await house.developer()
    with pytest.raises(ValidationError, match="in the past"):
        await house.keys.create(ann, NewApiKey(name="ci", expires_at=house.clock()))


async def test_keys_make_and_see_no_keys(house: House) -> None:
    program = Actor(subject=new_id("key"), tenant_id="default", permissions=permissions_of(["admin"]))
    with pytest.raises(PermissionDenied):
        await house.keys.create(program, NewApiKey(name="ci"))
    with pytest.raises(PermissionDenied):
        await house.keys.list_newest(program, limit=9, before=None)
    with pytest.raises(PermissionDenied):
        await house.keys.revoke(program, new_id("key"))


async def test_a_revoked_key_and_somebody_elses_are_not_found(house: House) -> None:
    ann, bob = await house.developer(), await house.developer("bob")
    key, _ = await house.keys.create(ann, NewApiKey(name="ci"))
    for actor, key_id in ((bob, key.key_id), (ann, "nul\0"), (ann, new_id("key"))):
        with pytest.raises(ApiKeyNotFound):
            await house.keys.revoke(actor, key_id)
    assert await house.keys.list_newest(bob, limit=9, before=None) == []
    await house.keys.revoke(ann, key.key_id)
    assert await house.keys.list_newest(ann, limit=9, before=None) == []


# ---------------------------------------------------------------- signing keys


def states(keys: list[SigningKey]) -> list[str]:
    return sorted(key.state for key in keys)


def test_the_first_key_signs_at_once() -> None:
    assert states(rotate([], NOW, POLICY, new_signing_key)) == ["active"]


def test_a_successor_is_published_before_it_signs_and_the_old_key_stays_until_its_tokens_are_over() -> None:
    keys = rotate([], NOW, POLICY, new_signing_key)
    first = keys[0].key_id
    assert rotate(keys, NOW + 23 * HOUR, POLICY, new_signing_key) == keys
    keys = rotate(keys, NOW + 24 * HOUR - 10 * MINUTE, POLICY, new_signing_key)
    assert states(keys) == ["active", "next"]
    assert rotate(keys, NOW + 24 * HOUR - MINUTE, POLICY, new_signing_key) == keys
    keys = rotate(keys, NOW + 24 * HOUR, POLICY, new_signing_key)
    assert {key.key_id: key.state for key in keys}[first] is KeyState.RETIRING
    assert states(keys) == ["active", "retiring"]
    assert rotate(keys, NOW + 24 * HOUR + 9 * MINUTE, POLICY, new_signing_key) == keys
    assert states(rotate(keys, NOW + 24 * HOUR + 10 * MINUTE, POLICY, new_signing_key)) == ["active"]


def test_a_late_successor_is_still_published_for_its_time() -> None:
    keys = rotate(rotate([], NOW, POLICY, new_signing_key), NOW + 48 * HOUR, POLICY, new_signing_key)
    assert states(keys) == ["active", "next"]
    assert rotate(keys, NOW + 48 * HOUR + 9 * MINUTE, POLICY, new_signing_key) == keys
    assert states(rotate(keys, NOW + 48 * HOUR + 10 * MINUTE, POLICY, new_signing_key)) == ["active", "retiring"]


@given(st.lists(st.integers(min_value=0, max_value=40 * 60), max_size=30))
def test_whatever_the_pauses_one_key_signs_and_signed_tokens_stay_verifiable(pauses: list[int]) -> None:
    keys, now = rotate([], NOW, POLICY, new_signing_key), NOW
    published_at = {keys[0].key_id: NOW}
    for pause in pauses:
        before, now = keys, now + pause * MINUTE
        keys = rotate(before, now, POLICY, new_signing_key)
        active = [key for key in keys if key.state is KeyState.ACTIVE]
        assert len(active) == 1
        for key in keys:
            published_at.setdefault(key.key_id, now)
        if active[0] not in before and len(published_at) > 1:
            assert now - published_at[active[0].key_id] >= POLICY.publish_for
        was_active = next(key for key in before if key.state is KeyState.ACTIVE)
        assert was_active.key_id in {key.key_id for key in keys}


async def test_two_replicas_sign_with_the_same_key() -> None:
    store, clock = FakeSigningKeyStore(), FakeClock()
    one, two = (SigningKeys(store, new_signing_key, clock) for _ in range(2))
    await one.refresh()
    await two.refresh()
    assert one.active == two.active
    clock.forward(24 * HOUR)
    await one.refresh()
    clock.forward(10 * MINUTE)
    await two.refresh()
    assert two.published[0] == two.active != one.active
    assert one.active.key_id in {key.key_id for key in two.published}


async def test_nothing_is_signed_before_there_is_a_key() -> None:
    keys = SigningKeys(FakeSigningKeyStore(), new_signing_key, FakeClock())
    with pytest.raises(Unavailable):
        _ = keys.active


async def test_tokens_pass_the_verifier_of_the_mesh_through_every_rotation() -> None:
    clock = FakeClock()
    keys = SigningKeys(FakeSigningKeyStore(), new_signing_key, clock)
    await keys.refresh()
    issuer = "spiffe://automesh.local/ns/dev/sa/auth"
    tokens = AccessTokens(JwtSigner(keys, issuer=issuer), clock, new_id)

    async def jwks() -> list[dict[str, str]]:
        return [public_jwk(key) for key in keys.published]

    verifier = TokenVerifier(issuer, jwks, now=lambda: clock().timestamp())
    signed_by = set()
    for _ in range(40):
        who = {"subject": "user_1", "name": "Ann", "username": "ann", "tenant_id": "acme"}
        token = tokens.issue(**who, roles=["b", "a"], permissions={"y", "x"})
        signed_by.add(keys.active.key_id)
        await keys.refresh()
        claims = await verifier.verify(token)
        assert (claims.subject, claims.name, claims.username, claims.tenant_id) == tuple(who.values())
        assert (claims.roles, claims.permissions) == (("a", "b"), {"x", "y"})
        clock.forward(2 * HOUR)
    assert len(signed_by) == 3


def test_a_published_key_is_public() -> None:
    jwk = public_jwk(new_signing_key(NOW))
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "sig", "ES256")


def test_a_private_key_does_not_show_when_printed() -> None:
    key = new_signing_key(NOW)
    assert key.private_pem.decode().splitlines()[1] not in repr(key)
