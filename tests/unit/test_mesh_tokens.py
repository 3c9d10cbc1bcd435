"""The verifier of access tokens: what it takes, and everything that it must refuse (RFC 8725)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from joserfc.jwk import ECKey

from automesh.core.errors import Unauthenticated, Unavailable
from automesh.mesh.tokens import MAX_TOKEN_BYTES, REFETCH_S, TokenVerifier
from automesh.testing.tokens import ISSUER, TokenMint


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Keys:
    """A JwksSource that counts how often it is asked, and can be away."""

    def __init__(self, *mints: TokenMint) -> None:
        self.mints, self.asked, self.away = list(mints), 0, False

    async def __call__(self) -> Sequence[Mapping[str, str]]:
        self.asked += 1
        if self.away:
            raise Unavailable("auth is away")
        return [key for mint in self.mints for key in await mint.keys()]


@pytest.fixture
def mint() -> TokenMint:
    return TokenMint()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(mint: TokenMint) -> Keys:
    return Keys(mint)


@pytest.fixture
def verifier(keys: Keys, clock: Clock) -> TokenVerifier:
    return TokenVerifier(ISSUER, keys, now=clock)


async def test_a_good_token_says_who_calls(verifier: TokenVerifier, mint: TokenMint) -> None:
    token = mint.mint(["task.read", "mesh.read"], subject="user_9", tenant_id="acme", name="ann", roles=["viewer"])
    claims = await verifier.verify(token)
    assert (claims.subject, claims.tenant_id, claims.name, claims.roles) == ("user_9", "acme", "ann", ("viewer",))
    assert claims.permissions == {"task.read", "mesh.read"}


def encoded(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def body(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "automesh", "sub": "user_1", "tid": "default", "scope": "task.read", "roles": []}
    return {**claims, "iat": now, "exp": now + 300, **more}


def unsigned(alg: str) -> str:
    return f"{encoded({'alg': alg, 'typ': 'at+jwt', 'kid': 'test-key'})}.{encoded(body())}."


def hmac_with_the_public_key(mint: TokenMint) -> str:
    """The classic confusion: the public key, which everybody has, used as the secret of an HMAC."""
    head = encoded({"alg": "HS256", "typ": "at+jwt", "kid": "test-key"})
    signed = f"{head}.{encoded(body())}"
    secret = mint.key.as_pem(private=False)
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def altered(mint: TokenMint, **claims: Any) -> str:
    head, _, signature = mint.mint().split(".")
    return f"{head}.{encoded(body(**claims))}.{signature}"


def with_signature(mint: TokenMint, signature: bytes) -> str:
    head, payload, _ = mint.mint().split(".")
    return f"{head}.{payload}.{encoded(signature)}"


def of_another_algorithm(mint: TokenMint) -> str:
    from joserfc import jwt

    key = ECKey.generate_key("P-384", {"kid": "test-key"})
    return jwt.encode({"alg": "ES384", "kid": "test-key", "typ": "at+jwt"}, body(), key, algorithms=["ES384"])


def forged(mint: TokenMint) -> str:
    """By another key that claims to be ours."""
    return TokenMint(key_id=mint.key_id).mint(["tenant.any"])


def with_its_own_key(mint: TokenMint) -> str:
    """The header brings the key that it wants to be verified with."""
    other = TokenMint(key_id=mint.key_id)
    return other.mint(header={"jwk": other.key.as_dict(private=False)})


NOW = int(time.time())
BAD: dict[str, Callable[[TokenMint], str]] = {
    "nothing": lambda _: "",
    "a word": lambda _: "garbage",
    "dots": lambda _: "..",
    "two parts": lambda mint: mint.mint().rpartition(".")[0],
    "four parts": lambda mint: f"{mint.mint()}.x",
    "not ascii": lambda _: "é.é.é",
    "a header that is no object": lambda mint: f"{encoded([1])}.{encoded(body())}.{encoded(b'x' * 64)}",
    "alg none": lambda _: unsigned("none"),
    "alg None": lambda _: unsigned("None"),
    "no alg": lambda mint: f"{encoded({'typ': 'at+jwt', 'kid': 'test-key'})}.{encoded(body())}.{encoded(b'x' * 64)}",
    "hmac with the public key": hmac_with_the_public_key,
    "another algorithm": of_another_algorithm,
    "forged": forged,
    "own key in the header": with_its_own_key,
    "altered": lambda mint: altered(mint, sub="user_admin"),
    "an empty signature": lambda mint: with_signature(mint, b""),
    "a signature of zeros": lambda mint: with_signature(mint, bytes(64)),
    "a short signature": lambda mint: with_signature(mint, b"x" * 63),
    "an unknown key": lambda mint: mint.mint(header={"kid": "another-key"}),
    "no key id": lambda mint: mint.mint(header={"kid": None}),
    "an id token": lambda mint: mint.mint(header={"typ": "JWT"}),
    "no type": lambda mint: mint.mint(header={"typ": None}),
    "expired": lambda mint: mint.mint(exp=NOW - 60),
    "expired long ago": lambda mint: mint.mint(exp=1),
    "no end": lambda mint: mint.mint(exp=None),
    "no beginning": lambda mint: mint.mint(iat=None),
    "an end that is a text": lambda mint: mint.mint(exp=str(NOW + 300)),
    "an end that is true": lambda mint: mint.mint(exp=True),
    "made in the future": lambda mint: mint.mint(iat=NOW + 3600),
    "not yet valid": lambda mint: mint.mint(nbf=NOW + 3600),
    "not before a text": lambda mint: mint.mint(nbf="soon"),
    "another audience": lambda mint: mint.mint(aud="another"),
    "no audience": lambda mint: mint.mint(aud=None),
    "a list of audiences": lambda mint: mint.mint(aud=["automesh", "another"]),
    "another issuer": lambda mint: mint.mint(iss="spiffe://automesh.local/ns/prod/sa/auth"),
    "no issuer": lambda mint: mint.mint(iss=None),
    "no subject": lambda mint: mint.mint(subject=""),
    "a subject that is a number": lambda mint: mint.mint(sub=7),
    "no tenant": lambda mint: mint.mint(tenant_id=""),
    "longer than any token": lambda mint: mint.mint(name="x" * MAX_TOKEN_BYTES),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_token_that_is_no_good_is_refused(verifier: TokenVerifier, mint: TokenMint, what: str) -> None:
    token = BAD[what](mint)
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token)
    assert not token or token not in str(caught.value)
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


@pytest.mark.parametrize("name", ["crit", "b64"])
async def test_headers_that_change_the_meaning_are_refused(verifier: TokenVerifier, mint: TokenMint, name: str) -> None:
    head, payload, signature = mint.mint().split(".")
    header = {**json.loads(base64.urlsafe_b64decode(head + "==")), name: ["exp"] if name == "crit" else False}
    with pytest.raises(Unauthenticated):
        await verifier.verify(f"{encoded(header)}.{payload}.{signature}")


async def test_a_verified_token_still_ends_in_time(verifier: TokenVerifier, mint: TokenMint, clock: Clock) -> None:
    token = mint.mint(exp=int(clock.now) + 30)
    await verifier.verify(token)
    clock.now += 29
    await verifier.verify(token)
    clock.now += 10
    with pytest.raises(Unauthenticated, match="expired"):
        await verifier.verify(token)


async def test_a_clock_that_is_a_little_off_is_forgiven(verifier: TokenVerifier, mint: TokenMint, clock: Clock) -> None:
    await verifier.verify(mint.mint(iat=int(clock.now) + 4))
    await verifier.verify(mint.mint(exp=int(clock.now) - 3))


async def test_keys_are_asked_for_once(verifier: TokenVerifier, mint: TokenMint, keys: Keys) -> None:
    for number in range(5):
        await verifier.verify(mint.mint(subject=f"user_{number}"))
    assert keys.asked == 1


async def test_a_rotated_key_is_fetched_when_its_first_token_comes(
    verifier: TokenVerifier, mint: TokenMint, keys: Keys, clock: Clock
) -> None:
    await verifier.verify(mint.mint())
    fresh = TokenMint(key_id="fresh")
    keys.mints.append(fresh)
    clock.now += REFETCH_S
    assert (await verifier.verify(fresh.mint(subject="user_2"))).subject == "user_2"
    await verifier.verify(mint.mint(subject="user_3"))
    assert keys.asked == 2


async def test_a_withdrawn_key_is_forgotten_with_the_next_fetch(
    verifier: TokenVerifier, mint: TokenMint, keys: Keys, clock: Clock
) -> None:
    await verifier.verify(mint.mint())
    fresh = TokenMint(key_id="fresh")
    keys.mints = [fresh]
    clock.now += REFETCH_S
    await verifier.verify(fresh.mint())
    with pytest.raises(Unauthenticated, match="no longer"):
        await verifier.verify(mint.mint(subject="user_2"))


async def test_made_up_key_ids_do_not_become_a_flood_of_fetches(
    verifier: TokenVerifier, mint: TokenMint, keys: Keys
) -> None:
    await verifier.verify(mint.mint())
    for number in range(50):
        with pytest.raises(Unauthenticated):
            await verifier.verify(mint.mint(header={"kid": f"made-up-{number}"}))
    assert keys.asked == 1


async def test_known_keys_go_on_verifying_while_auth_is_away(
    verifier: TokenVerifier, mint: TokenMint, keys: Keys, clock: Clock
) -> None:
    await verifier.verify(mint.mint())
    keys.away = True
    clock.now += 60
    await verifier.verify(mint.mint(subject="user_2", exp=int(clock.now) + 60))
    with pytest.raises(Unauthenticated):
        await verifier.verify(mint.mint(header={"kid": "unknown"}))


async def test_without_any_key_nobody_is_called_a_liar(verifier: TokenVerifier, mint: TokenMint, keys: Keys) -> None:
    keys.away = True
    with pytest.raises(Unavailable):
        await verifier.verify(mint.mint())
    keys.away = False
    await verifier.verify(mint.mint())
