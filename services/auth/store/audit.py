"""The audit log in SQL. The table refuses UPDATE, DELETE and TRUNCATE."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.storage.postgres import ENGINE, Database, Record
from services.auth.domain.audit import AuditEvent, AuditFilter, Position
from services.auth.domain.tenant import Scope
from services.auth.store.scopes import tenant_of

_ADD = """
INSERT INTO audit_event (event_id, tenant_id, occurred_at, service, subject, workload, method, resource,
                         outcome, reason, request_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::text[], $11::text[])
ON CONFLICT (event_id) DO NOTHING
"""
_LIST = "SELECT * FROM audit_event WHERE {} ORDER BY occurred_at DESC, event_id DESC LIMIT $1"


class SqlAuditStore:
    """A services.auth.domain.audit.AuditStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, events: Sequence[AuditEvent]) -> None:
        rows = [_row(event) for event in events]
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            await self._database.execute(_ADD, *columns, tenant=ENGINE)

    async def list_newest(
        self, scope: Scope, wanted: AuditFilter, *, limit: int, before: Position | None
    ) -> list[AuditEvent]:
        tenant = tenant_of(scope)
        conditions, arguments = _conditions(tenant, wanted, before)
        rows = await self._database.fetch(_LIST.format(conditions), limit, *arguments, tenant=tenant)
        return [_event(row) for row in rows]


def _conditions(tenant: str, wanted: AuditFilter, before: Position | None) -> tuple[str, list[object]]:
    """Only those that are asked for, so that each filter finds its index. Texts are parameters, never SQL."""
    parts: list[str] = ["true"]
    arguments: list[object] = []
    columns = {"subject": wanted.subject, "resource": wanted.resource, "outcome": wanted.outcome}
    if tenant is not ENGINE:
        columns["tenant_id"] = tenant
    for column, value in columns.items():
        if value or column == "tenant_id":
            arguments.append(value)
            parts.append(f"{column} = ${len(arguments) + 1}")
    if before is not None:
        arguments += [before.time, before.event_id]
        parts.append(f"(occurred_at, event_id) < (${len(arguments)}, ${len(arguments) + 1})")
    return " AND ".join(parts), arguments


def _row(event: AuditEvent) -> tuple[object, ...]:
    return (
        event.event_id,
        event.tenant_id or None,
        event.time,
        event.service,
        event.subject,
        event.workload,
        event.method,
        event.resource,
        event.outcome,
        event.reason,
        event.request_id,
    )


def _event(row: Record) -> AuditEvent:
    return AuditEvent(
        event_id=row["event_id"],
        time=row["occurred_at"],
        service=row["service"],
        tenant_id=row["tenant_id"] or "",
        subject=row["subject"],
        workload=row["workload"],
        method=row["method"],
        resource=row["resource"],
        outcome=row["outcome"],
        reason=row["reason"],
        request_id=row["request_id"],
    )
