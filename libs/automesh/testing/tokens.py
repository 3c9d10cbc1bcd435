"""Access tokens for tests, good and bad."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from automesh.mesh.tokens import ALGORITHM, AUDIENCE, TOKEN_TYPE

ISSUER = "spiffe://automesh.local/ns/dev/sa/auth"
LIFETIME_S = 300


class TokenMint:
    """Makes tokens like auth does, with a key of its own."""

    def __init__(self, *, issuer: str = ISSUER, key_id: str = "test-key") -> None:
        self.key = ECKey.generate_key("P-256", {"kid": key_id})
        self.issuer, self.key_id = issuer, key_id

    def mint(
        self,
        permissions: Iterable[str] = (),
        *,
        subject: str = "user_test",
        tenant_id: str = "default",
        name: str = "test",
        roles: Sequence[str] = (),
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token that holds `permissions`. `header` and `claims` replace what a good token has; None leaves out."""
        now = time.time()
        body = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "name": name,
            "preferred_username": name,
            "tid": tenant_id,
            "roles": list(roles),
            "scope": " ".join(permissions),
            "iat": int(now),
            "exp": int(now) + LIFETIME_S,
            **claims,
        }
        head = {"alg": ALGORITHM, "kid": self.key_id, "typ": TOKEN_TYPE, **(header or {})}
        kept = {key: value for key, value in body.items() if value is not None}
        return jwt.encode({key: value for key, value in head.items() if value is not None}, kept, self.key)

    async def keys(self) -> Sequence[Mapping[str, str]]:
        """The public key. A `JwksSource`."""
        return [{key: str(value) for key, value in self.key.as_dict(private=False).items()}]
