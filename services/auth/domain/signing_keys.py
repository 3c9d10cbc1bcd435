"""The life of a token-signing key: published as `next`, then `active`, then `retiring` until no token of it lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from automesh.core.clock import Clock
from automesh.core.errors import Unavailable


class KeyState(StrEnum):
    """In the order of a key's life."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One P-256 key."""

    key_id: str
    state: KeyState
    private_pem: bytes = field(repr=False)
    created_at: datetime
    state_since: datetime

    def become(self, state: KeyState, now: datetime) -> SigningKey:
        """The key in its next state."""
        return replace(self, state=state, state_since=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """How long a key signs, how long it is published before that, and kept after it."""

    active_for: timedelta = timedelta(hours=24)
    publish_for: timedelta = timedelta(minutes=10)  # longer than anybody caches the JWKS
    retire_for: timedelta = timedelta(minutes=10)  # longer than a token lives, clocks and slow replicas included


def rotate(
    keys: Sequence[SigningKey], now: datetime, policy: RotationPolicy, make: Callable[[datetime], SigningKey]
) -> list[SigningKey]:
    """The keys as they should be now. `make` gives a fresh key in state `next`."""
    kept = [key for key in keys if not _is_over(key, now, policy)]
    active = _only(kept, KeyState.ACTIVE)
    successor = _only(kept, KeyState.NEXT)
    if active is None:
        first = successor or make(now)
        return [*_without(kept, first), first.become(KeyState.ACTIVE, now)]
    age = now - active.state_since
    if successor is None:
        return [*kept, make(now)] if age >= policy.active_for - policy.publish_for else kept
    if age < policy.active_for or now - successor.state_since < policy.publish_for:
        return kept
    others = [key for key in kept if key not in (active, successor)]
    return [*others, active.become(KeyState.RETIRING, now), successor.become(KeyState.ACTIVE, now)]


class SigningKeyStore(Protocol):
    """Keeps the keys, sealed."""

    async def change(self, change: Callable[[list[SigningKey]], list[SigningKey]]) -> list[SigningKey]:
        """Read all, decide, write all, while nobody else does; returns what is stored now."""
        ...


class SigningKeys:
    """The keys of this process, brought up to date by `refresh`."""

    def __init__(
        self,
        store: SigningKeyStore,
        make: Callable[[datetime], SigningKey],
        clock: Clock,
        *,
        policy: RotationPolicy | None = None,
    ) -> None:
        self._store, self._make, self._clock = store, make, clock
        self._policy = policy or RotationPolicy()
        self._keys: list[SigningKey] = []

    async def refresh(self) -> None:
        """Rotates what is due, and learns what other replicas rotated. Call it more often than `publish_for`."""
        now = self._clock()
        self._keys = await self._store.change(lambda keys: rotate(keys, now, self._policy, self._make))

    @property
    def active(self) -> SigningKey:
        """The key that signs. Raises Unavailable before the first refresh."""
        active = _only(self._keys, KeyState.ACTIVE)
        if active is None:
            raise Unavailable("there is no signing key yet", retry_after=timedelta(seconds=1))
        return active

    @property
    def published(self) -> list[SigningKey]:
        """All keys that a token may be signed with, now or soon; the active one first."""
        return sorted(self._keys, key=lambda key: (key.state is not KeyState.ACTIVE, key.key_id))


def _is_over(key: SigningKey, now: datetime, policy: RotationPolicy) -> bool:
    return key.state is KeyState.RETIRING and now - key.state_since >= policy.retire_for


def _only(keys: Sequence[SigningKey], state: KeyState) -> SigningKey | None:
    return next((key for key in keys if key.state is state), None)


def _without(keys: Sequence[SigningKey], taken: SigningKey) -> list[SigningKey]:
    return [key for key in keys if key.key_id != taken.key_id]
