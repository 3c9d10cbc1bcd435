"""Access tokens: ES256 JWTs, verified offline against the keys that auth publishes. RFC 7519, RFC 9068, RFC 8725."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from automesh.core.errors import AutomationError, Unauthenticated, Unavailable

log = structlog.get_logger()

ALGORITHM = "ES256"
AUDIENCE = "automesh"
TOKEN_TYPE = "at+jwt"
"""RFC 9068 section 2.1."""
LEEWAY_S = 5.0
CACHE_SIZE = 10_000
CACHE_S = 60.0
REFETCH_S = 5.0
KEYS_FRESH_S = 300.0
"""A key that auth no longer publishes is trusted for so much longer at most."""
MAX_TOKEN_BYTES = 8_192

JwksSource = Callable[[], Awaitable[Sequence[Mapping[str, str]]]]
"""Returns the public keys (RFC 7517 members) that may have signed living tokens."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    subject: str
    name: str
    username: str
    """Of the person (OpenID Connect's preferred_username); an API key's owner."""
    tenant_id: str
    roles: tuple[str, ...]
    permissions: frozenset[str]
    expires_at: float


class TokenVerifier:
    """Verifies tokens; remembers verified ones for at most a minute, because a signature costs 0.2 ms."""

    def __init__(self, issuer: str, keys: JwksSource, *, now: Callable[[], float] = time.time) -> None:
        self._issuer, self._source, self._now = issuer, keys, now
        self._keys: dict[str, ECKey] = {}
        self._fetched_at = float("-inf")
        self._verified: OrderedDict[bytes, tuple[Claims, float]] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """The claims. Raises Unauthenticated, or Unavailable while auth cannot be reached and no key is known."""
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        digest, now = hashlib.sha256(token.encode()).digest(), self._now()
        known = self._verified.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        claims = self._claims(token, await self._key(token))
        self._verified[digest] = claims, min(claims.expires_at, now + CACHE_S)
        while len(self._verified) > CACHE_SIZE:
            self._verified.popitem(last=False)
        return claims

    async def _key(self, token: str) -> ECKey:
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError, UnicodeError) as error:
            raise Unauthenticated("the token is not a JWT") from error
        if header.get("alg") != ALGORITHM or header.get("typ") != TOKEN_TYPE or "crit" in header or "b64" in header:
            raise Unauthenticated(f"the token is not an access token signed with {ALGORITHM}")
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise Unauthenticated("the token names no key")
        if key_id not in self._keys or self._now() - self._fetched_at >= KEYS_FRESH_S:
            await self._fetch()
        key = self._keys.get(key_id)
        if key is None:
            raise Unauthenticated("the token is signed by a key that is not, or no longer, valid: sign in again")
        return key

    async def _fetch(self) -> None:
        if self._keys and self._now() - self._fetched_at < REFETCH_S:
            return  # a flood of tokens with made-up key ids must not become a flood of calls to auth
        try:
            keys = await self._source()
        except AutomationError as error:
            if not self._keys:
                raise Unavailable("auth cannot be reached, so no token can be verified: try again") from error
            log.warning("keys not refreshed", error=str(error))
            return
        self._keys = {key["kid"]: ECKey.import_key(_jwk(key)) for key in keys}
        self._fetched_at = self._now()

    def _claims(self, token: str, key: ECKey) -> Claims:
        try:
            claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError) as error:
            raise Unauthenticated("the token's signature is not valid") from error
        now = self._now()
        if not all(map(_is_time, (claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)))):
            raise Unauthenticated("the token does not say when it was made and when it ends")
        if claims["exp"] + LEEWAY_S <= now:
            raise Unauthenticated("the token has expired: sign in again, or use the refresh token")
        if claims["iat"] - LEEWAY_S > now or claims.get("nbf", 0) - LEEWAY_S > now:
            raise Unauthenticated("the token is not valid yet")
        if claims.get("iss") != self._issuer or claims.get("aud") != AUDIENCE:
            raise Unauthenticated("the token was not made for this mesh")
        return _read(claims)


def _read(claims: Mapping[str, Any]) -> Claims:
    subject, tenant, roles = claims.get("sub"), claims.get("tid"), claims.get("roles", [])
    if not (isinstance(subject, str) and subject and isinstance(tenant, str) and tenant and isinstance(roles, list)):
        raise Unauthenticated("the token does not say who it is for")
    return Claims(
        subject=subject,
        name=str(claims.get("name", "")),
        username=str(claims.get("preferred_username", "")),
        tenant_id=tenant,
        roles=tuple(map(str, roles)),
        permissions=frozenset(str(claims.get("scope", "")).split()),
        expires_at=float(claims["exp"]),
    )


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _jwk(key: Mapping[str, str]) -> dict[str, str | list[str]]:
    return {name: key[name] for name in ("kty", "crv", "x", "y", "kid") if name in key}
