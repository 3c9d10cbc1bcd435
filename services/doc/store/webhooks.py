"""Webhooks of spaces in SQL, and what waits for them: one at a time, in order. Secrets are sealed to their row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from automesh.core.webhooks import MAX_TRIES, Claimed, Delivery, Outcome, State
from automesh.storage.postgres import ENGINE, Database, Record
from automesh.storage.sealing import SealBroken, Sealer, place
from services.doc.domain.notifications.webhooks import DocWebhook, NewDocWebhook, TooManyDocWebhooks, webhook_not_found

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('doc webhook ' || $1 || ' ' || $2, 0))"
COUNT = "SELECT count(*) FROM doc_webhook WHERE tenant_id = $1 AND space = $2"
ADD = """
INSERT INTO doc_webhook (webhook_id, tenant_id, space, url, kinds, secret, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *, 0 AS waiting
"""
SHOWN = (
    "SELECT w.*, (SELECT count(*) FROM doc_delivery d WHERE d.webhook_id = w.webhook_id) AS waiting FROM doc_webhook w"
)
LIST = f"{SHOWN} WHERE w.tenant_id = $1 AND w.space = $2 ORDER BY w.webhook_id"
GET = f"{SHOWN} WHERE w.tenant_id = $1 AND w.space = $2 AND w.webhook_id = $3"
ENABLE = """
UPDATE doc_webhook SET disabled_reason = '' WHERE tenant_id = $1 AND space = $2 AND webhook_id = $3
"""
AGAIN = "UPDATE doc_delivery SET attempts = 0, next_at = now() WHERE tenant_id = $1 AND webhook_id = $2"
DELETE = "DELETE FROM doc_webhook WHERE tenant_id = $1 AND space = $2 AND webhook_id = $3"
# The first of each webhook: what is behind it waits until it has arrived.
CLAIM = """
WITH due AS (
    SELECT d.delivery_id FROM doc_webhook w CROSS JOIN LATERAL (
        SELECT delivery_id, next_at, claimed_until FROM doc_delivery d
         WHERE d.webhook_id = w.webhook_id ORDER BY sequence LIMIT 1) AS d
     WHERE w.disabled_reason = '' AND d.next_at <= now() AND (d.claimed_until IS NULL OR d.claimed_until <= now())
     ORDER BY d.next_at LIMIT $1)
UPDATE doc_delivery AS d SET attempts = d.attempts + 1, claimed_until = now() + $2::interval
  FROM due, doc_webhook AS w
 WHERE d.delivery_id = due.delivery_id AND w.webhook_id = d.webhook_id
   AND (d.claimed_until IS NULL OR d.claimed_until <= now())
RETURNING d.*, w.url, w.secret
"""
ARRIVED = "DELETE FROM doc_delivery WHERE delivery_id = $1 AND attempts = $2 RETURNING *"
LATER = """
UPDATE doc_delivery SET next_at = now() + $3::interval, claimed_until = NULL
 WHERE delivery_id = $1 AND attempts = $2 RETURNING *
"""
RESULT = """
UPDATE doc_webhook SET last_result = $2, last_at = now(),
       disabled_reason = CASE WHEN $3 = '' THEN disabled_reason ELSE $3 END
 WHERE webhook_id = $1
"""
SWITCH_OFF = "UPDATE doc_webhook SET disabled_reason = $2 WHERE webhook_id = $1"
UNSEALED = "its secret cannot be read; make a new webhook, or bring the key back and enable this one: "


class SqlDocWebhookStore:
    """A services.doc.domain.notifications.webhooks.DocWebhookStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def add(self, hook: DocWebhook, secret: bytes, *, most: int) -> DocWebhook:
        """One at a time for a space."""
        async with self._database.transaction(hook.tenant_id) as tx:
            await tx.execute(LOCK, hook.tenant_id, hook.space)
            if await tx.fetchval(COUNT, hook.tenant_id, hook.space) >= most:
                raise TooManyDocWebhooks(f"the space has {most} webhooks already: remove one first", limit=most)
            sealed = self._sealer.seal(secret, place("doc", hook.tenant_id, "webhook", hook.webhook_id))
            row = await tx.fetchrow(
                ADD, hook.webhook_id, hook.tenant_id, hook.space, hook.content.url, list(hook.content.kinds), sealed,
                hook.created_by,
            )  # fmt: skip
        assert row is not None  # noqa: S101 - INSERT ... RETURNING
        return _hook(row)

    async def list(self, tenant_id: str, space: str) -> Sequence[DocWebhook]:
        """All of them."""
        return [_hook(row) for row in await self._database.fetch(LIST, tenant_id, space, tenant=tenant_id)]

    async def enable(self, tenant_id: str, space: str, webhook_id: str) -> DocWebhook:
        """What waits begins anew."""
        async with self._database.transaction(tenant_id) as tx:
            if await tx.execute(ENABLE, tenant_id, space, webhook_id) != "UPDATE 1":
                raise webhook_not_found(space, webhook_id)
            await tx.execute(AGAIN, tenant_id, webhook_id)
            row = await tx.fetchrow(GET, tenant_id, space, webhook_id)
        assert row is not None  # noqa: S101 - it was there a moment ago
        return _hook(row)

    async def delete(self, tenant_id: str, space: str, webhook_id: str) -> None:
        """Its deliveries go with it."""
        await self._database.execute(DELETE, tenant_id, space, webhook_id, tenant=tenant_id)


class SqlDocDeliveries:
    """An automesh.core.webhooks.DeliveryQueue."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def claim(self, *, limit: int, hold_for: timedelta) -> Sequence[Claimed]:
        """Two replicas may ask at the same time: a row goes to one of them."""
        claimed: list[Claimed] = []
        for row in await self._database.fetch(CLAIM, limit, hold_for, tenant=ENGINE):
            try:
                claimed.append(self._claimed(row))
            except SealBroken as error:  # of this one: the others are carried all the same
                await self._database.execute(SWITCH_OFF, row["webhook_id"], UNSEALED + error.message, tenant=ENGINE)
        return claimed

    async def record(self, claimed: Claimed, outcome: Outcome) -> Delivery | None:
        """What has arrived goes. After the last try the webhook is switched off, and its deliveries stay."""
        failed = outcome.state is not State.DELIVERED
        said = f"failed: {outcome.error}".replace("\0", "") if failed else f"delivered ({outcome.status})"
        off = f"{MAX_TRIES} tries in about a day have failed, the last with: {outcome.error}" if failed else ""
        async with self._database.transaction(claimed.tenant_id) as tx:
            if failed:
                again_in = outcome.again_in or timedelta(0)
                row = await tx.fetchrow(LATER, claimed.delivery_id, claimed.attempt, again_in)
            else:
                row = await tx.fetchrow(ARRIVED, claimed.delivery_id, claimed.attempt)
            if row is None:
                return None
            disabled = off.replace("\0", "") if outcome.state is State.FAILED else ""
            await tx.execute(RESULT, claimed.webhook_id, said, disabled)
        return Delivery(
            delivery_id=claimed.delivery_id,
            webhook_id=claimed.webhook_id,
            event=claimed.event,
            state=outcome.state,
            attempts=claimed.attempt,
            last_status=outcome.status,
            last_error=outcome.error,
            created_at=row["created_at"],
            next_at=row["next_at"] if outcome.state is State.PENDING else None,
        )

    def _claimed(self, row: Record) -> Claimed:
        return Claimed(
            delivery_id=row["delivery_id"],
            tenant_id=row["tenant_id"],
            webhook_id=row["webhook_id"],
            url=row["url"],
            secret=self._sealer.unseal(row["secret"], place("doc", row["tenant_id"], "webhook", row["webhook_id"])),
            event=row["event"],
            body=row["body"],
            attempt=row["attempts"],
        )


def _hook(row: Record) -> DocWebhook:
    return DocWebhook(
        webhook_id=row["webhook_id"],
        tenant_id=row["tenant_id"],
        space=row["space"],
        content=NewDocWebhook(url=row["url"], kinds=tuple(row["kinds"])),
        created_by=row["created_by"],
        created_at=row["created_at"],
        last_result=row["last_result"],
        last_at=row["last_at"],
        disabled_reason=row["disabled_reason"],
        waiting=row["waiting"],
    )
