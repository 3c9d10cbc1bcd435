"""Failures, signing keys, certified keys, the audit log, and a hasher that costs nothing, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from services.auth.domain.audit import AuditEvent, AuditFilter, Position
from services.auth.domain.lockout import Failures
from services.auth.domain.passwords import Verdict
from services.auth.domain.signing_keys import SigningKey
from services.auth.domain.tenant import EVERY_TENANT, Scope


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def forward(self, time: timedelta) -> None:
        """Lets time pass."""
        self.now += time


class FakeHasher:
    """A services.auth.domain.passwords.PasswordHasher; the "hash" tells the password, and counts its version."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.verified: list[str | None] = []

    async def hash(self, password: str) -> str:
        return f"$argon2id$v{self.version}${password[::-1]}"

    async def verify(self, password: str, hashed: str | None) -> Verdict:
        self.verified.append(hashed)
        matches = hashed is not None and hashed.split("$", 3)[3] == password[::-1]
        return Verdict(matches=matches, outdated=matches and f"$v{self.version}$" not in str(hashed))


class FakeFailureStore:
    """A services.auth.domain.lockout.FailureStore."""

    def __init__(self) -> None:
        self.failures: dict[str, Failures] = {}

    async def read(self, keys: Sequence[str]) -> dict[str, Failures]:
        return {key: self.failures[key] for key in keys if key in self.failures}

    async def change(self, key: str, change: Callable[[Failures | None], Failures]) -> None:
        self.failures[key] = change(self.failures.get(key))

    async def forget(self, key: str) -> None:
        self.failures.pop(key, None)

    async def forget_before(self, moment: datetime) -> int:
        over = [key for key, failures in self.failures.items() if failures.last_at < moment]
        for key in over:
            del self.failures[key]
        return len(over)


class FakeSigningKeyStore:
    """A services.auth.domain.signing_keys.SigningKeyStore."""

    def __init__(self) -> None:
        self.keys: list[SigningKey] = []

    async def change(self, change: Callable[[list[SigningKey]], list[SigningKey]]) -> list[SigningKey]:
        self.keys = change(list(self.keys))
        return list(self.keys)


class FakeIssuedKeys:
    """A services.auth.domain.certificates.IssuedKeys."""

    def __init__(self) -> None:
        self.ends: dict[bytes, datetime] = {}

    async def add(self, key_digest: bytes, spiffe_id: str, expires_at: datetime) -> bool:
        return self.ends.setdefault(key_digest, expires_at) is expires_at

    async def forget_before(self, moment: datetime) -> int:
        over = [digest for digest, end in self.ends.items() if end < moment]
        for digest in over:
            del self.ends[digest]
        return len(over)


class FakeAuditStore:
    """A services.auth.domain.audit.AuditStore."""

    def __init__(self) -> None:
        self.events: dict[str, AuditEvent] = {}

    async def add(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            self.events.setdefault(event.event_id, event)

    async def list_newest(
        self, scope: Scope, wanted: AuditFilter, *, limit: int, before: Position | None
    ) -> list[AuditEvent]:
        found = [event for event in self.events.values() if _is_seen(event, scope) and _matches(event, wanted)]
        older = [event for event in found if before is None or _position(event) < before]
        return sorted(older, key=_position, reverse=True)[:limit]


def _is_seen(event: AuditEvent, scope: Scope) -> bool:
    return scope is EVERY_TENANT or (bool(event.tenant_id) and event.tenant_id == scope)


def _matches(event: AuditEvent, wanted: AuditFilter) -> bool:
    return all(
        not asked or asked == there
        for asked, there in (
            (wanted.subject, event.subject),
            (wanted.resource, event.resource),
            (wanted.outcome, event.outcome),
        )
    )


def _position(event: AuditEvent) -> Position:
    return Position(event.time or datetime.min.replace(tzinfo=UTC), event.event_id)
