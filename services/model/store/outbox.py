"""Writes what webhooks are to be told, in the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Callable

from automesh.core.webhooks import MAX_PENDING, TOO_MANY_WAIT, State
from automesh.storage.postgres import Connection
from services.model.domain.webhooks.events import Event
from services.model.domain.webhooks.webhook import MAX_WEBHOOKS

WANTED = """
SELECT webhook_id, now() AS now,
       (SELECT count(*) FROM (SELECT 1 FROM delivery AS d WHERE d.webhook_id = w.webhook_id AND d.state = 'PENDING'
                               LIMIT $3) AS first) AS waiting
  FROM webhook AS w
 WHERE tenant_id = $1 AND (events = '{}' OR $2 = ANY (events)) ORDER BY webhook_id LIMIT $4
   FOR KEY SHARE OF w -- none of them is deleted before its delivery is there
"""
INSERT = """
INSERT INTO delivery (delivery_id, tenant_id, webhook_id, event, body, state, next_at, last_error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


async def announce(
    tx: Connection, tenant_id: str, event: Event, *, make_id: Callable[[str], str], max_pending: int = MAX_PENDING
) -> None:
    """A delivery for each webhook of the tenant that wants the event; those of one that is stuck fail at once."""
    for hook in await tx.fetch(WANTED, tenant_id, event.kind, max_pending, MAX_WEBHOOKS):
        stuck = hook["waiting"] >= max_pending
        await tx.execute(
            INSERT,
            make_id("delivery"),
            tenant_id,
            hook["webhook_id"],
            event.kind,
            event.body(hook["now"]),
            State.FAILED if stuck else State.PENDING,
            None if stuck else hook["now"],
            TOO_MANY_WAIT if stuck else "",
        )
