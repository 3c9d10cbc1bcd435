"""API keys: `am_<id>_<secret>`, of which only a digest is kept, and never worth more than their owner."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from automesh.core.clock import Clock
from automesh.core.errors import Exhausted, NotFound, ValidationError
from automesh.core.ids import is_id
from services.auth.domain.actor import KEY_PREFIX, Actor
from services.auth.domain.roles import checked_permissions, require_no_more_than
from services.auth.domain.user import User

MAX_NAME = 64
MAX_KEYS = 200
USED_STEP = timedelta(minutes=1)
"""`last_used_at` is this exact, so that a busy key does not write a row with each use."""
_SHAPE = re.compile(r"am_([0-9a-z]{23})_([A-Za-z0-9_-]{43})")


class ApiKeyNotFound(NotFound):
    """No such key, or somebody else's."""

    reason = "API_KEY_NOT_FOUND"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """What a caller asks for; checked here."""

    name: str
    permissions: frozenset[str] = frozenset()  # empty: all that the owner has at the time of use
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > MAX_NAME or not self.name.isprintable():
            raise ValidationError(f"a key has a name of 1 to {MAX_NAME} printable characters", field="api_key.name")
        checked_permissions(self.permissions, field="api_key.permissions")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as stored."""

    key_id: str
    spec: NewApiKey
    tenant_id: str
    owner_id: str
    digest: bytes = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None = None

    def opens_with(self, digest: bytes, now: datetime) -> bool:
        """Whether the secret is right and the key still works."""
        right = hmac.compare_digest(digest, self.digest)
        return right and (self.spec.expires_at is None or now < self.spec.expires_at)

    def permissions_with(self, owner: User) -> frozenset[str]:
        """What the key may do now: never more than its owner may do now."""
        return owner.permissions & self.spec.permissions if self.spec.permissions else owner.permissions

    def is_due_for_use_mark(self, now: datetime) -> bool:
        """Whether `last_used_at` is old enough to be written again."""
        return self.last_used_at is None or now - self.last_used_at >= USED_STEP


class ApiKeyStore(Protocol):
    """Keeps keys."""

    async def add(self, key: ApiKey, *, at_most: int) -> None:
        """Adds the key. Raises TooManyKeys when the owner has `at_most` already."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """Whatever the tenant: for exchanging, where no tenant is known yet."""
        ...

    async def list_newest(self, owner_id: str, tenant_id: str, *, limit: int, before: str | None) -> list[ApiKey]:
        """At most `limit` keys of the owner, newest first, older than the id `before`."""
        ...

    async def remove(self, key_id: str, owner_id: str, tenant_id: str) -> None:
        """Raises ApiKeyNotFound unless the key is the owner's."""
        ...

    async def mark_used(self, key_id: str, now: datetime) -> None:
        """Remembers the use."""
        ...


class TooManyKeys(Exhausted):
    """The owner has as many keys as one may have."""

    reason = "TOO_MANY_API_KEYS"


class ApiKeys:
    """The use cases of a person about their own keys."""

    def __init__(self, store: ApiKeyStore, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._store, self._clock, self._new_id = store, clock, new_id

    async def create(self, actor: Actor, spec: NewApiKey) -> tuple[ApiKey, str]:
        """The stored key and the secret text, which cannot be had again."""
        actor.require_person("make API keys")
        require_no_more_than(actor.permissions, spec.permissions, what="making a key with these permissions")
        now = self._clock()
        if spec.expires_at is not None and spec.expires_at <= now:
            raise ValidationError("expire_time is in the past", field="api_key.expire_time")
        key_id = self._new_id(KEY_PREFIX)
        text = f"am_{key_id.removeprefix(f'{KEY_PREFIX}_')}_{_random_text()}"
        key = ApiKey(
            key_id=key_id,
            spec=spec,
            tenant_id=actor.tenant_id,
            owner_id=actor.subject,
            digest=digest_of(text),
            created_at=now,
        )
        await self._store.add(key, at_most=MAX_KEYS)
        return key, text

    async def list_newest(self, actor: Actor, *, limit: int, before: str | None) -> list[ApiKey]:
        """The caller's own keys."""
        actor.require_person("list API keys")
        return await self._store.list_newest(actor.subject, actor.tenant_id, limit=limit, before=before)

    async def revoke(self, actor: Actor, key_id: str) -> None:
        """Ends one of the caller's own keys."""
        actor.require_person("revoke API keys")
        if not is_id(key_id, KEY_PREFIX):  # names no key; storage need not be asked (and cannot hold every text)
            raise ApiKeyNotFound(f"you have no API key {key_id!r}", keyId=key_id)
        await self._store.remove(key_id, actor.subject, actor.tenant_id)


def key_id_in(text: str) -> str | None:
    """The id of the key in its text; None for what cannot be a key."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    key_id = f"{KEY_PREFIX}_{match[1]}"
    return key_id if is_id(key_id, KEY_PREFIX) else None


def digest_of(text: str) -> bytes:
    """What the database keeps. No salt: 256 random bits cannot be guessed."""
    return hashlib.sha256(text.encode()).digest()


def _random_text() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
