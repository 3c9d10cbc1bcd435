"""Deliveries in SQL. `attempts` in the WHERE of every later write fences what a slow replica says too late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from automesh.core.ids import new_id
from automesh.core.webhooks import MAX_PENDING, MAX_TRIES, Claimed, Delivery, Outcome
from automesh.storage.postgres import ENGINE, Database, Record
from automesh.storage.sealing import Sealer
from services.model.domain.registry.errors import webhook_not_found
from services.model.domain.webhooks.events import Event
from services.model.store.outbox import announce
from services.model.store.webhooks import delivery, unsealed

HOOK = "SELECT webhook_id, url, secret, now() AS now FROM webhook WHERE tenant_id = $1 AND webhook_id = $2"
BEGIN = """
INSERT INTO delivery (delivery_id, tenant_id, webhook_id, event, body, attempts, claimed_until)
VALUES ($1, $2, $3, $4, $5, 1, now() + $6::interval)
"""
# The last try of a process that is gone.
ABANDONED = """
UPDATE delivery SET state = 'FAILED', next_at = NULL, claimed_until = NULL, last_error = 'nobody knows how it ended'
 WHERE state = 'PENDING' AND attempts >= $1 AND claimed_until <= now()
"""
# One of each webhook: an endpoint that is dead, or slow, holds up nobody else, and no endpoint is run over.
CLAIM = """
WITH due AS (
    SELECT delivery_id FROM (
        SELECT DISTINCT ON (webhook_id) delivery_id, next_at FROM delivery AS d
         WHERE state = 'PENDING' AND next_at <= now() AND attempts < $1
           AND NOT EXISTS (SELECT 1 FROM delivery AS held WHERE held.webhook_id = d.webhook_id
                              AND held.state = 'PENDING' AND held.claimed_until > now())
         ORDER BY webhook_id, next_at, delivery_id) AS first
     ORDER BY next_at, delivery_id LIMIT $2)
UPDATE delivery AS d SET attempts = d.attempts + 1, claimed_until = now() + $3::interval
  FROM due, webhook AS w
 WHERE d.delivery_id = due.delivery_id AND w.webhook_id = d.webhook_id
   AND d.state = 'PENDING' AND (d.claimed_until IS NULL OR d.claimed_until <= now())
RETURNING d.*, w.url, w.secret
"""
RECORD = """
UPDATE delivery SET state = $3, last_status = $4, last_error = $5, next_at = now() + $6::interval, claimed_until = NULL
 WHERE delivery_id = $1 AND attempts = $2 AND state = 'PENDING' RETURNING *
"""
FORGET = """
DELETE FROM delivery WHERE delivery_id IN (
    SELECT delivery_id FROM delivery WHERE state <> 'PENDING' AND created_at < now() - $1::interval LIMIT $2)
"""


class SqlDeliveryStore:
    """A services.model.domain.webhook_ports.DeliveryStore."""

    def __init__(self, database: Database, sealer: Sealer, *, max_pending: int = MAX_PENDING) -> None:
        self._database = database
        self._sealer = sealer
        self._max_pending = max_pending

    async def announce(self, tenant_id: str, event: Event) -> None:
        """A transaction of its own; whoever has one calls services.model.store.outbox.announce in it."""
        async with self._database.transaction(tenant_id) as tx:
            await announce(tx, tenant_id, event, make_id=new_id, max_pending=self._max_pending)

    async def begin(self, tenant_id: str, webhook_id: str, event: Event, *, hold_for: timedelta) -> Claimed:
        """Held from the first moment: no loop takes it meanwhile."""
        async with self._database.transaction(tenant_id) as tx:
            hook = await tx.fetchrow(HOOK, tenant_id, webhook_id)
            if hook is None:
                raise webhook_not_found(webhook_id)
            made = new_id("delivery")
            body = event.body(hook["now"])
            await tx.execute(BEGIN, made, tenant_id, webhook_id, event.kind, body, hold_for)
        return Claimed(
            delivery_id=made,
            tenant_id=tenant_id,
            webhook_id=webhook_id,
            url=hook["url"],
            secret=unsealed(self._sealer, hook),
            event=event.kind,
            body=body,
            attempt=1,
        )

    async def claim(self, *, limit: int, hold_for: timedelta) -> Sequence[Claimed]:
        """Two replicas may ask at the same time: a row goes to one of them."""
        await self._database.execute(ABANDONED, MAX_TRIES, tenant=ENGINE)
        found = await self._database.fetch(CLAIM, MAX_TRIES, limit, hold_for, tenant=ENGINE)
        return [self._claimed(row) for row in found]

    async def record(self, claimed: Claimed, outcome: Outcome) -> Delivery | None:
        """Only for the attempt that it was."""
        row = await self._database.fetchrow(
            RECORD,
            claimed.delivery_id,
            claimed.attempt,
            outcome.state,
            outcome.status,
            outcome.error.replace("\0", ""),
            outcome.again_in,
            tenant=claimed.tenant_id,
        )
        return None if row is None else delivery(row)

    async def forget(self, older_than: timedelta, *, limit: int) -> int:
        """Of all tenants."""
        return int((await self._database.execute(FORGET, older_than, limit, tenant=ENGINE)).split()[-1])

    def _claimed(self, row: Record) -> Claimed:
        return Claimed(
            delivery_id=row["delivery_id"],
            tenant_id=row["tenant_id"],
            webhook_id=row["webhook_id"],
            url=row["url"],
            secret=unsealed(self._sealer, row),
            event=row["event"],
            body=row["body"],
            attempt=row["attempts"],
        )
