"""Auto-publish in SQL: changes mark sites, and marks become releases, so that nothing is lost with a process."""

from __future__ import annotations

from collections.abc import Callable

from automesh.storage.postgres import ENGINE, Database
from services.doc.domain.publishing.site import NewRelease
from services.doc.domain.spaces.space import MAIN
from services.doc.store.changes import LATEST, OLDEST, SETTLED
from services.doc.store.sites import add_in

FOLLOWER = "sites"
AT_ONCE, ASKED_AT_ONCE = 1000, 20
MESSAGE = "main has changed"

POSITION = "SELECT sequence FROM follower WHERE name = $1"
BEGIN = "INSERT INTO follower (name, sequence) SELECT $1, ({LATEST}) ON CONFLICT DO NOTHING".replace("{LATEST}", LATEST)
MOVE = "UPDATE follower SET sequence = $2 WHERE name = $1"
SEEN = """
SELECT sequence, tenant_id, space FROM change WHERE sequence > $1 AND {SETTLED} ORDER BY sequence LIMIT $2
""".replace("{SETTLED}", SETTLED)
MARK = """
UPDATE site s SET changed_at = coalesce(s.changed_at, now()), last_change_at = now()
  FROM unnest($1::text[], $2::text[]) AS c (tenant_id, space)
 WHERE s.tenant_id = c.tenant_id AND s.space = c.space AND s.auto_publish
"""
MARK_ALL = "UPDATE site SET changed_at = coalesce(changed_at, now()), last_change_at = now() WHERE auto_publish"
DUE = """
SELECT s.tenant_id, s.space, coalesce((
           SELECT h.updated_by FROM head h WHERE h.tenant_id = s.tenant_id AND h.space = s.space AND h.branch = $1
            ORDER BY h.updated_at DESC LIMIT 1), 'automesh') AS who
  FROM site s
 WHERE s.changed_at IS NOT NULL AND s.auto_publish AND s.paused = ''
   AND (s.last_change_at <= now() - make_interval(secs => $2) OR s.changed_at <= now() - make_interval(secs => $3))
   AND NOT EXISTS (SELECT FROM release r WHERE r.tenant_id = s.tenant_id AND r.space = s.space AND r.automatic
                      AND r.state = 'BUILDING' AND r.attempt = 0)
 ORDER BY s.changed_at LIMIT $4 FOR UPDATE OF s SKIP LOCKED
"""
UNMARK = "UPDATE site SET changed_at = NULL, last_change_at = NULL WHERE tenant_id = $1 AND space = $2"


class SqlAutoPublishing:
    """A services.doc.domain.publishing.ports.AutoPublishing."""

    def __init__(self, database: Database, make_id: Callable[[str], str]) -> None:
        self._database, self._make_id = database, make_id

    async def follow(self) -> int:
        """At most 1,000 changes; the position moves with the marks."""
        position = await self._database.fetchval(POSITION, FOLLOWER, tenant=ENGINE)
        if position is None:
            await self._database.execute(BEGIN, FOLLOWER, tenant=ENGINE)
            return 0
        if not await self._database.fetch(SEEN, position, 1, tenant=ENGINE):
            return 0
        async with self._database.transaction(ENGINE) as tx:
            position = await tx.fetchval(f"{POSITION} FOR UPDATE", FOLLOWER)
            if position + 1 < await tx.fetchval(OLDEST):  # away for longer than changes are kept
                await tx.execute(MARK_ALL)
            seen = await tx.fetch(SEEN, position, AT_ONCE)
            if seen:
                spaces = sorted({(row["tenant_id"], row["space"]) for row in seen})
                await tx.execute(MARK, [each[0] for each in spaces], [each[1] for each in spaces])
                await tx.execute(MOVE, FOLLOWER, seen[-1]["sequence"])
        return len(seen)

    async def ask(self, *, quiet_s: float, longest_s: float) -> int:
        """A mark goes in the transaction that makes its release."""
        async with self._database.transaction(ENGINE) as tx:
            due = await tx.fetch(DUE, MAIN, quiet_s, longest_s, ASKED_AT_ONCE)
            for row in due:
                release = NewRelease(
                    release_id=self._make_id("rel"),
                    tenant_id=row["tenant_id"],
                    space=row["space"],
                    branch=MAIN,
                    automatic=True,
                    created_by=row["who"],
                    message=MESSAGE,
                )
                await add_in(tx, release)
                await tx.execute(UNMARK, row["tenant_id"], row["space"])
        return len(due)
