"""Webhooks in SQL; their secrets are sealed to their row."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core.webhooks import Delivery, State
from automesh.storage.postgres import Connection, Database, Record
from automesh.storage.sealing import Sealer, place
from services.model.domain.registry.errors import WebhookRequestReused, too_many_webhooks, webhook_not_found
from services.model.domain.webhooks.ports import WebhookDraft
from services.model.domain.webhooks.webhook import NewWebhook, Webhook

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('webhook ' || $1, 0))"  # else two calls pass the limit together
SEEN = "SELECT * FROM webhook WHERE tenant_id = $1 AND request_id = $2"
COUNT = "SELECT count(*) FROM webhook WHERE tenant_id = $1"
INSERT = """
INSERT INTO webhook (webhook_id, tenant_id, url, events, description, secret, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
"""
LIST = """
SELECT * FROM webhook WHERE tenant_id = $1 AND ($2::text IS NULL OR webhook_id < $2) ORDER BY webhook_id DESC LIMIT $3
"""
EXISTS = "SELECT 1 FROM webhook WHERE tenant_id = $1 AND webhook_id = $2"
DELETE = "DELETE FROM webhook WHERE tenant_id = $1 AND webhook_id = $2 RETURNING webhook_id"
DELIVERIES = """
SELECT * FROM delivery
 WHERE tenant_id = $1 AND webhook_id = $2 AND ($3::text IS NULL OR delivery_id < $3)
 ORDER BY delivery_id DESC LIMIT $4
"""


class SqlWebhookStore:
    """A services.model.domain.webhook_ports.WebhookStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def create(self, draft: WebhookDraft, *, limit: int) -> tuple[Webhook, bytes]:
        """One at a time for a tenant."""
        async with self._database.transaction(draft.tenant_id) as tx:
            await tx.execute(LOCK, draft.tenant_id)
            if draft.request_id and (row := await tx.fetchrow(SEEN, draft.tenant_id, draft.request_id)) is not None:
                return _same(row, draft), unsealed(self._sealer, row)
            if await tx.fetchval(COUNT, draft.tenant_id) >= limit:
                raise too_many_webhooks(limit)
            return await self._inserted(tx, draft), draft.secret

    async def list(self, tenant_id: str, *, limit: int, before: str | None) -> Sequence[Webhook]:
        """Keyset by id, which sorts by time."""
        return [_webhook(row) for row in await self._database.fetch(LIST, tenant_id, before, limit, tenant=tenant_id)]

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """Its deliveries go with it."""
        if await self._database.fetchval(DELETE, tenant_id, webhook_id, tenant=tenant_id) is None:
            raise webhook_not_found(webhook_id)

    async def deliveries(
        self, tenant_id: str, webhook_id: str, *, limit: int, before: str | None
    ) -> Sequence[Delivery]:
        """Keyset by id, which sorts by time."""
        found = await self._database.fetch(DELIVERIES, tenant_id, webhook_id, before, limit, tenant=tenant_id)
        if not found and await self._database.fetchval(EXISTS, tenant_id, webhook_id, tenant=tenant_id) is None:
            raise webhook_not_found(webhook_id)
        return [delivery(row) for row in found]

    async def _inserted(self, tx: Connection, draft: WebhookDraft) -> Webhook:
        content = draft.content
        row = await tx.fetchrow(
            INSERT,
            draft.webhook_id,
            draft.tenant_id,
            content.url,
            list(content.events),
            content.description,
            self._sealer.seal(draft.secret, place("webhook", draft.webhook_id)),
            draft.request_id,
        )
        assert row is not None  # noqa: S101 # INSERT ... RETURNING
        return _webhook(row)


def unsealed(sealer: Sealer, row: Record) -> bytes:
    """The secret of a row with `secret` and `webhook_id`."""
    return sealer.unseal(row["secret"], place("webhook", row["webhook_id"]))


def delivery(row: Record) -> Delivery:
    """The delivery of a whole row."""
    return Delivery(
        delivery_id=row["delivery_id"],
        webhook_id=row["webhook_id"],
        event=row["event"],
        state=State(row["state"]),
        attempts=row["attempts"],
        last_status=row["last_status"],
        last_error=row["last_error"],
        created_at=row["created_at"],
        next_at=row["next_at"],
    )


def _webhook(row: Record) -> Webhook:
    return Webhook(
        webhook_id=row["webhook_id"],
        tenant_id=row["tenant_id"],
        content=NewWebhook(url=row["url"], events=tuple(row["events"]), description=row["description"]),
        created_at=row["created_at"],
    )


def _same(row: Record, draft: WebhookDraft) -> Webhook:
    found = _webhook(row)
    if found.content != draft.content:
        raise WebhookRequestReused(
            f"request_id {draft.request_id!r} was used for another webhook: use a new one", requestId=draft.request_id
        )
    return found
