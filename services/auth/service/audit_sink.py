"""The audit entries that auth itself sees go straight into its own log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from automesh.mesh import audit
from services.auth.domain.audit import AuditEvent, AuditLog


class LocalAuditSink:
    """An automesh.mesh.audit.AuditSink."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def __call__(self, events: Sequence[audit.AuditEvent]) -> None:
        await self._log.record("auth", [_event(event) for event in events])


def _event(event: audit.AuditEvent) -> AuditEvent:
    return AuditEvent(
        event_id=event.event_id,
        time=datetime.fromisoformat(event.time),
        service="auth",
        tenant_id=event.tenant_id,
        subject=event.subject,
        workload=event.workload,
        method=event.method,
        resource=event.resource,
        outcome=event.outcome,
        reason=event.reason,
        request_id=event.request_id,
    )
