"""Writes feeds and deliveries to webhooks, in the transaction of what they tell of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from automesh.core.ids import new_id
from automesh.core.webhooks import MAX_PENDING, TOO_MANY_WAIT
from automesh.storage.postgres import Connection, Database
from services.doc.domain.notifications.notice import MAX_TEXT, Notice, NoticeKind

FINDS = """
(s.visibility = 'TENANT'
    OR EXISTS (SELECT FROM member m WHERE m.tenant_id = s.tenant_id AND m.space = s.space AND m.username = p.username))
"""
FOLLOWERS = """
SELECT f.username FROM follow f
 WHERE f.tenant_id = $1 AND f.space = $2 AND f.document_id IN ('', $3) AND NOT f.stopped
   AND NOT EXISTS (SELECT FROM follow n WHERE n.tenant_id = $1 AND n.space = $2 AND n.document_id = $3 AND $3 <> ''
                      AND n.username = f.username AND n.stopped)
"""
TELL = f"""
INSERT INTO notification (tenant_id, username, kind, space, document_id, review_id, comment_id, actor, text)
SELECT $1, p.username, $7, $2, $3, $8, $9, $10, $11
  FROM (SELECT unnest($4::text[]) AS username UNION ({FOLLOWERS} AND $5)) AS p
  JOIN space s ON s.tenant_id = $1 AND s.space = $2
 WHERE p.username <> ALL ($6::text[]) AND p.username <> '' AND {FINDS}
"""  # noqa: S608 - constants only
# Somebody who has not looked yet is told once of any number of changes of a document; a new line takes the old one's
# place, so that it is the latest again.
CHANGED = f"""
WITH people AS (
    SELECT p.username FROM ({FOLLOWERS} AND f.created_at <= $8) AS p JOIN space s ON s.tenant_id = $1 AND s.space = $2
     WHERE p.username <> ALL ($4::text[]) AND {FINDS}
), earlier AS (
    DELETE FROM notification n USING people
     WHERE n.tenant_id = $1 AND n.username = people.username AND n.document_id = $3 AND n.space = $2
       AND n.kind = 'document_changed' AND NOT n.seen
    RETURNING n.username, n.times
)
INSERT INTO notification (tenant_id, username, kind, space, document_id, actor, text, times)
SELECT $1, people.username, 'document_changed', $2, $3, $5, $6,
       $7 + coalesce((SELECT max(times) FROM earlier WHERE earlier.username = people.username), 0)
  FROM people
"""  # noqa: S608 - constants only
FOLLOW = f"""
INSERT INTO follow (tenant_id, username, space, document_id, created_at)
SELECT $1, p.username, $2, $3, coalesce($5, now()) FROM (SELECT unnest($4::text[]) AS username) AS p
  JOIN space s ON s.tenant_id = $1 AND s.space = $2 WHERE p.username <> '' AND {FINDS}
   FOR KEY SHARE OF s
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only; a space that is deleted at this moment is not there, instead of missed by its key
WANTED = """
SELECT webhook_id, now() AS now, (SELECT count(*) FROM doc_delivery d WHERE d.webhook_id = w.webhook_id) AS waiting
  FROM doc_webhook w
 WHERE tenant_id = $1 AND space = $2 AND disabled_reason = '' AND (kinds = '{}' OR $3 = ANY (kinds))
 ORDER BY webhook_id FOR NO KEY UPDATE OF w -- its deliveries are numbered in the order in which they become visible
"""
DELIVER = """
INSERT INTO doc_delivery (delivery_id, tenant_id, webhook_id, event, body) VALUES ($1, $2, $3, $4, $5)
"""
DISABLE = "UPDATE doc_webhook SET disabled_reason = $2 WHERE webhook_id = $1"


async def tell(tx: Connection, notice: Notice, *, make_id: Callable[[str], str] = new_id) -> None:
    """A line in the feed of each whom it concerns, and a delivery to each webhook of the space that wants it."""
    await tx.execute(
        TELL, notice.tenant_id, notice.space, notice.document_id, list(notice.to), notice.followers,
        [notice.actor, *notice.without], notice.kind.value, notice.review_id, notice.comment_id, notice.actor,
        notice.text[:MAX_TEXT],
    )  # fmt: skip
    await deliver(tx, notice, make_id=make_id)


async def tell_changed(tx: Connection, notice: Notice, times: int, last: datetime) -> None:
    """The same for changes of a document, without deliveries; `without` are all who made them.

    Who has begun to follow after the `last` of them is not told: it was there when they came.
    """
    await tx.execute(
        CHANGED, notice.tenant_id, notice.space, notice.document_id, [notice.actor, *notice.without], notice.actor,
        notice.text[:MAX_TEXT], times, last,
    )  # fmt: skip


async def follow(
    tx: Connection,
    tenant_id: str,
    space: str,
    document_id: str,
    people: Sequence[str],
    *,
    since: datetime | None = None,
) -> None:
    """From now on, or since a while ago, unless they said that they do not want to."""
    await tx.execute(FOLLOW, tenant_id, space, document_id, list(people), since)


async def deliver(tx: Connection, notice: Notice, *, make_id: Callable[[str], str]) -> None:
    """One that has too much waiting already is switched off instead: what waits stays."""
    if notice.kind is NoticeKind.MENTION:
        return
    for hook in await tx.fetch(WANTED, notice.tenant_id, notice.space, notice.kind.value):
        if hook["waiting"] >= MAX_PENDING:
            await tx.execute(DISABLE, hook["webhook_id"], TOO_MANY_WAIT)
            continue
        body = notice.body(hook["now"])
        await tx.execute(DELIVER, make_id("msg"), notice.tenant_id, hook["webhook_id"], notice.kind.value, body)


class SqlNoticeBoard:
    """A services.doc.domain.notifications.notice.NoticeBoard."""

    def __init__(self, database: Database, *, make_id: Callable[[str], str]) -> None:
        self._database, self._make_id = database, make_id

    async def post(self, notices: Sequence[Notice]) -> None:
        """All of one tenant, in one transaction."""
        if not notices:
            return
        async with self._database.transaction(notices[0].tenant_id) as tx:
            for notice in notices:
                await tell(tx, notice, make_id=self._make_id)
