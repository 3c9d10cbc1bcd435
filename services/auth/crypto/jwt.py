"""Access tokens as ES256 JWTs (RFC 9068), and the public keys to verify them with (RFC 7517)."""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from automesh.core.ids import new_id
from services.auth.domain.signing_keys import KeyState, SigningKey, SigningKeys
from services.auth.domain.tokens import AUDIENCE, Claims

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"


class JwtSigner:
    """A services.auth.domain.tokens.TokenSigner."""

    def __init__(self, keys: SigningKeys, *, issuer: str) -> None:
        self._keys, self._issuer = keys, issuer
        self._loaded: tuple[str, ECKey] | None = None

    def sign(self, claims: Claims) -> str:
        key = self._keys.active
        header = {"alg": ALGORITHM, "kid": key.key_id, "typ": TOKEN_TYPE}
        return jwt.encode(header, self._payload(claims), self._private(key), algorithms=[ALGORITHM])

    def _payload(self, claims: Claims) -> dict[str, object]:
        return {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": claims.subject,
            "name": claims.name,
            "preferred_username": claims.username,
            "tid": claims.tenant_id,
            "roles": list(claims.roles),
            "scope": " ".join(claims.permissions),
            "iat": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
            "jti": claims.token_id,
        }

    def _private(self, key: SigningKey) -> ECKey:
        if self._loaded is None or self._loaded[0] != key.key_id:
            self._loaded = key.key_id, ECKey.import_key(key.private_pem)
        return self._loaded[1]


def new_signing_key(now: datetime) -> SigningKey:
    """A fresh P-256 key, to be published before it signs."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey(key_id=new_id("sig"), state=KeyState.NEXT, private_pem=pem, created_at=now, state_since=now)


def public_jwk(key: SigningKey) -> dict[str, str]:
    """The public half: kty, crv, x, y, kid, use, alg."""
    public = ECKey.import_key(key.private_pem).as_dict(private=False)
    coordinates = {name: str(public[name]) for name in ("kty", "crv", "x", "y")}
    return {**coordinates, "kid": key.key_id, "use": "sig", "alg": ALGORITHM}
