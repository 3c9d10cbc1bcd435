"""Refresh tokens: used once, replaced by a successor; using one again later betrays a theft and ends its family.

A successor is HMAC(old token, salt): the salt alone, which is what the database holds, gives nothing away, and yet a
client whose answer was lost gets the very same successor when it asks again within the grace time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

SECRET_BYTES = 32
SALT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """How long a token waits to be used, how long a family lives, how long a used token is answered again."""

    idle: timedelta = timedelta(days=7)
    total: timedelta = timedelta(days=30)
    grace: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All tokens that came of one sign-in."""

    family_id: str
    user_id: str
    tenant_id: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """One token, known by its digest only."""

    digest: bytes
    family: Family
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    salt: bytes | None = field(default=None, repr=False)


class Outcome(Enum):
    """What became of a try to rotate."""

    ROTATED = auto()  # there is a successor now
    REPEATED = auto()  # within the grace: the same successor again
    REUSED = auto()  # too late: somebody else may have it
    ENDED = auto()  # expired or revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The decision about one token: what to store."""

    outcome: Outcome
    token: RefreshToken
    successor: RefreshToken | None = None
    successor_secret: bytes = field(default=b"", repr=False)


class RefreshStore(Protocol):
    """Keeps families and tokens."""

    async def add(self, token: RefreshToken) -> None:
        """Stores a new family with its first token."""
        ...

    async def rotate(self, digest: bytes, decide: Callable[[RefreshToken], Rotation]) -> Rotation | None:
        """Read, decide, write, one at a time per family; REUSED revokes the family. None: no such token."""
        ...

    async def revoke(self, digest: bytes, now: datetime) -> RefreshToken | None:
        """Revokes the family of a token; returns the token when there is one."""
        ...

    async def forget_before(self, moment: datetime) -> int:
        """Drops families that expired before the moment; returns how many."""
        ...


def new_token(
    *, family_id: str, user_id: str, tenant_id: str, now: datetime, policy: RefreshPolicy
) -> tuple[RefreshToken, str]:
    """The first token of a new family, and its text for the client."""
    secret = secrets.token_bytes(SECRET_BYTES)
    family = Family(
        family_id=family_id, user_id=user_id, tenant_id=tenant_id, created_at=now, expires_at=now + policy.total
    )
    return _token(secret, family, now, policy), to_text(secret)


def rotate(token: RefreshToken, secret: bytes, now: datetime, policy: RefreshPolicy) -> Rotation:
    """Decides about a token whose secret the client showed."""
    if token.family.revoked_at is not None or now >= token.expires_at:
        return Rotation(outcome=Outcome.ENDED, token=token)
    if token.used_at is None:
        return _rotated(token, secret, now, policy)
    if token.salt is None or now - token.used_at > policy.grace:
        revoked = replace(token, family=replace(token.family, revoked_at=now))
        return Rotation(outcome=Outcome.REUSED, token=revoked)
    return Rotation(outcome=Outcome.REPEATED, token=token, successor_secret=_derive(secret, token.salt))


def to_text(secret: bytes) -> str:
    """The token as clients see it."""
    return base64.urlsafe_b64encode(secret).decode().rstrip("=")


def from_text(text: str) -> bytes | None:
    """The secret in a token; None for what cannot be one."""
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) == SECRET_BYTES and to_text(secret) == text else None


def digest_of(secret: bytes) -> bytes:
    """What the database keeps. No salt: 256 random bits cannot be guessed."""
    return hashlib.sha256(secret).digest()


def _rotated(token: RefreshToken, secret: bytes, now: datetime, policy: RefreshPolicy) -> Rotation:
    salt = secrets.token_bytes(SALT_BYTES)
    successor_secret = _derive(secret, salt)
    return Rotation(
        outcome=Outcome.ROTATED,
        token=replace(token, used_at=now, salt=salt),
        successor=_token(successor_secret, token.family, now, policy),
        successor_secret=successor_secret,
    )


def _token(secret: bytes, family: Family, now: datetime, policy: RefreshPolicy) -> RefreshToken:
    expires_at = min(now + policy.idle, family.expires_at)
    return RefreshToken(digest=digest_of(secret), family=family, created_at=now, expires_at=expires_at)


def _derive(secret: bytes, salt: bytes) -> bytes:
    return hmac.digest(secret, b"automesh refresh successor" + salt, "sha256")
