"""The audit log: entries that are only ever added, and who may read which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Protocol

from automesh.core.clock import Clock
from automesh.core.errors import PermissionDenied, ValidationError
from services.auth.domain.actor import Actor, Origin
from services.auth.domain.tenant import Scope

MAX_EVENTS = 1000
MAX_TEXT = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One entry. Empty fields mean: nobody signed in, or nothing to say."""

    event_id: str
    time: datetime | None  # None: the moment it is recorded
    service: str
    tenant_id: str = ""
    subject: str = ""
    workload: str = ""
    method: str = ""
    resource: str = ""
    outcome: str
    reason: str = ""
    request_id: str = ""

    def fitted(self, now: datetime) -> AuditEvent:
        """The entry as it is stored: texts cut to 512 characters, since an entry that is refused would be lost."""
        texts = {
            each.name: getattr(self, each.name).replace("\0", "\ufffd")[:MAX_TEXT]
            for each in fields(self)
            if each.name != "time"
        }
        return replace(self, time=self.time or now, **texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries to list; empty fields match all."""

    subject: str = ""
    resource: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an entry stands in the log."""

    time: datetime
    event_id: str


class AuditStore(Protocol):
    """Adds and lists entries; knows no way to change one."""

    async def add(self, events: Sequence[AuditEvent]) -> None:
        """Adds the entries whose event_id is not there yet."""
        ...

    async def list_newest(
        self, scope: Scope, wanted: AuditFilter, *, limit: int, before: Position | None
    ) -> list[AuditEvent]:
        """At most `limit` matching entries, newest first, older than `before`."""
        ...


class AuditLog:
    """Takes entries from services, and shows a tenant its own."""

    def __init__(self, store: AuditStore, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._store, self._clock, self._new_id = store, clock, new_id

    async def record(self, service: str, events: Sequence[AuditEvent]) -> None:
        """Adds what `service` saw; it cannot speak for another. Entries known already stay as they are."""
        if not service:
            raise PermissionDenied("only services of the mesh may add audit entries")
        if len(events) > MAX_EVENTS:
            raise ValidationError(
                f"{len(events)} events are more than {MAX_EVENTS}: send them in parts", field="events"
            )
        if not all(event.event_id for event in events):
            raise ValidationError("every event needs an event_id", field="events.event_id")
        now = self._clock()
        await self._store.add([replace(event, service=service).fitted(now) for event in events])

    async def note(
        self,
        method: str,
        outcome: str,
        origin: Origin,
        *,
        subject: str = "",
        tenant_id: str = "",
        resource: str = "",
        reason: str = "",
    ) -> None:
        """Adds an entry of auth itself: what only auth knows, such as who it was that signed in."""
        event = AuditEvent(
            event_id=self._new_id("evt"),
            time=self._clock(),
            service="auth",
            tenant_id=tenant_id,
            subject=subject,
            workload=origin.workload,
            method=method,
            resource=resource,
            outcome=outcome,
            reason=reason,
            request_id=origin.request_id,
        )
        await self.record("auth", [event])

    async def list_newest(
        self, actor: Actor, wanted: AuditFilter, *, limit: int, before: Position | None
    ) -> list[AuditEvent]:
        """The entries of the caller's tenant; of all tenants, and of nobody's, for operators."""
        return await self._store.list_newest(actor.scope, wanted, limit=limit, before=before)
