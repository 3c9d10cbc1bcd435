"""Sites in SQL. What readers see is `site.current`; who changes it holds the row, and leaves a line in site_switch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from automesh.storage.postgres import Connection, Database, Record
from services.doc.domain.errors import request_reused, space_not_found
from services.doc.domain.notifications import occasions
from services.doc.domain.publishing.errors import (
    NothingToRollBack,
    ReleaseNotReady,
    SiteChanged,
    TooManyBuilds,
    release_not_found,
)
from services.doc.domain.publishing.site import NewRelease, Release, Site, SiteChoices, SiteSwitch
from services.doc.store import notices
from services.doc.store import site_rows as rows
from services.doc.store.site_rows import RELEASE

MAX_PAUSED = 1100
MAX_WAITING = 20
"""Releases of a tenant that people have asked for and that are not built yet; those of merges come beside them."""

GET = "SELECT * FROM site WHERE tenant_id = $1 AND space = $2"
TOUCH = "INSERT INTO site (tenant_id, space, edition) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING"
CHOOSE = """
INSERT INTO site AS s (tenant_id, space, title, theme, accent, auto_publish, keep, public)
VALUES ($1, $2, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, space) DO UPDATE
   SET title = $4, theme = $5, accent = $6, auto_publish = $7, keep = $8, public = $9, edition = s.edition + 1,
       updated_at = now(), paused = CASE WHEN $7 THEN s.paused ELSE '' END,
       changed_at = CASE WHEN $7 THEN s.changed_at END, last_change_at = CASE WHEN $7 THEN s.last_change_at END
 WHERE s.edition = $3 RETURNING *
"""
ADD = """
INSERT INTO release (release_id, tenant_id, space, branch, preview, automatic, created_by, message, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nullif($9, ''))
ON CONFLICT (tenant_id, request_id) WHERE request_id IS NOT NULL DO NOTHING
"""
REQUESTED = f"{RELEASE} WHERE r.tenant_id = $1 AND r.request_id = $2"
GET_RELEASE = f"{RELEASE} WHERE r.tenant_id = $1 AND r.space = $2 AND r.release_id = $3"
LIST = f"""{RELEASE}
 WHERE r.tenant_id = $1 AND r.space = $2 AND ($3 = '' OR r.branch = $3)
   AND ($4::timestamptz IS NULL OR (r.created_at, r.release_id) < ($4, $5))
 ORDER BY r.created_at DESC, r.release_id DESC LIMIT $6
"""
SWITCHES = """
SELECT * FROM site_switch WHERE tenant_id = $1 AND space = $2 AND ($3::bigint IS NULL OR number < $3)
 ORDER BY number DESC LIMIT $4
"""
WAITING = "SELECT count(*) FROM release WHERE tenant_id = $1 AND state = 'BUILDING'"
TARGET = f"{GET_RELEASE} FOR KEY SHARE OF r"  # a clean-up must not take it away meanwhile
# Readers were led away from a release that is followed by an older one: it is not what to go back to.
BEFORE = """{RELEASE}
 WHERE r.tenant_id = $1 AND r.space = $2 AND r.state = 'READY' AND NOT r.preview AND r.published_at IS NOT NULL
   AND s.current IS DISTINCT FROM r.release_id
   AND ($3::text IS NULL OR r.created_at < (SELECT created_at FROM release WHERE release_id = $3))
   AND NOT coalesce((
        SELECT w.rollback AND t.created_at < r.created_at
          FROM site_switch w LEFT JOIN release t ON t.release_id = w.release_id
         WHERE w.tenant_id = $1 AND w.space = $2 AND w.previous = r.release_id ORDER BY w.number DESC LIMIT 1), false)
 ORDER BY r.created_at DESC, r.release_id DESC LIMIT 1 FOR KEY SHARE OF r
""".replace("{RELEASE}", RELEASE)
SET_CURRENT = "UPDATE site SET current = $3 WHERE tenant_id = $1 AND space = $2"
SET_PUBLISHED = "UPDATE release SET published_at = clock_timestamp() WHERE release_id = $1"
LOG = """
INSERT INTO site_switch (tenant_id, space, release_id, previous, actor, reason, rollback)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
PAUSE = "UPDATE site SET paused = $3 WHERE tenant_id = $1 AND space = $2 AND auto_publish"
RESUME = """
UPDATE site SET paused = '' WHERE tenant_id = $1 AND space = $2 RETURNING *
"""


class SqlSiteStore:
    """A services.doc.domain.publishing.ports.SiteStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def site(self, tenant_id: str, space: str) -> Site:
        """One row, or what there is without one."""
        row = await self._database.fetchrow(GET, tenant_id, space, tenant=tenant_id)
        return rows.site(row) if row else Site(tenant_id=tenant_id, space=space, choices=SiteChoices())

    async def choose(self, tenant_id: str, space: str, choices: SiteChoices, edition: int) -> Site:
        """One statement."""
        try:
            async with self._database.transaction(tenant_id) as tx:
                await tx.execute(TOUCH, tenant_id, space)
                row = await tx.fetchrow(
                    CHOOSE, tenant_id, space, edition, choices.title, choices.theme, choices.accent,
                    choices.auto_publish, choices.keep, choices.public,
                )  # fmt: skip
        except asyncpg.ForeignKeyViolationError as error:
            raise space_not_found(space) from error
        if row is None:
            raise SiteChanged(f"the site of {space} has changed since you read it: read it again", space=space)
        return rows.site(row)

    async def add(self, release: NewRelease) -> Release:
        """One row; the count may be some too many when several are asked for at once."""
        try:
            async with self._database.transaction(release.tenant_id) as tx:
                made = rows.release(await add_in(tx, release))
                if made.release_id != release.release_id:
                    _check_same(made, release)
                elif await tx.fetchval(WAITING, release.tenant_id) > MAX_WAITING:
                    raise TooManyBuilds(
                        f"{MAX_WAITING} releases wait to be built already: come again when some are done",
                        limit=MAX_WAITING,
                    )
        except asyncpg.ForeignKeyViolationError as error:
            raise space_not_found(release.space) from error
        return made

    async def release(self, tenant_id: str, space: str, release_id: str) -> Release:
        """One row."""
        row = await self._database.fetchrow(GET_RELEASE, tenant_id, space, release_id, tenant=tenant_id)
        if row is None:
            raise release_not_found(release_id)
        return rows.release(row)

    async def releases(
        self, tenant_id: str, space: str, branch: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Release]:
        """Keyset by time and id."""
        created_at, release_id = before or (None, "")
        found = await self._database.fetch(
            LIST, tenant_id, space, branch, created_at, release_id, limit, tenant=tenant_id
        )
        return [rows.release(row) for row in found]

    async def switches(self, tenant_id: str, space: str, *, limit: int, before: int | None) -> Sequence[SiteSwitch]:
        """Keyset by number."""
        found = await self._database.fetch(SWITCHES, tenant_id, space, before, limit, tenant=tenant_id)
        return [rows.switch(row) for row in found]

    async def roll_back(self, tenant_id: str, space: str, release_id: str, *, actor: str, reason: str) -> Release:
        """The site's row is held from the look to the switch."""
        async with self._database.transaction(tenant_id) as tx:
            site = await tx.fetchrow(f"{GET} FOR UPDATE", tenant_id, space)
            current = site["current"] if site else None
            target = await _target(tx, tenant_id, space, release_id, current)
            await switch_in(tx, target, current, actor=actor, reason=reason, rollback=True)
            await tx.execute(PAUSE, tenant_id, space, f"rolled back by {actor}: {reason}"[:MAX_PAUSED])
            row = await tx.fetchrow(GET_RELEASE, tenant_id, space, target.release_id)
        assert row is not None  # noqa: S101 - it was switched to a moment ago
        return rows.release(row)

    async def take_down(self, tenant_id: str, space: str, *, actor: str, reason: str) -> Site:
        """A site that is down already stays as it is."""
        async with self._database.transaction(tenant_id) as tx:
            site = await tx.fetchrow(f"{GET} FOR UPDATE", tenant_id, space)
            if site is not None and site["current"]:
                await tx.execute(SET_CURRENT, tenant_id, space, None)
                await tx.execute(LOG, tenant_id, space, "", site["current"], actor, reason, False)
                await tx.execute(PAUSE, tenant_id, space, f"taken down by {actor}: {reason}"[:MAX_PAUSED])
        return await self.site(tenant_id, space)

    async def resume(self, tenant_id: str, space: str) -> Site:
        """One row."""
        row = await self._database.fetchrow(RESUME, tenant_id, space, tenant=tenant_id)
        return rows.site(row) if row else await self.site(tenant_id, space)


async def add_in(tx: Connection, release: NewRelease) -> Record:
    """A release within a transaction; the site comes to be with its first."""
    await tx.execute(TOUCH, release.tenant_id, release.space)
    await tx.execute(
        ADD, release.release_id, release.tenant_id, release.space, release.branch, release.preview,
        release.automatic, release.created_by, release.message, release.request_id,
    )  # fmt: skip
    query, key = (
        (REQUESTED, release.request_id)
        if release.request_id
        else (f"{RELEASE} WHERE r.tenant_id = $1 AND r.release_id = $2", release.release_id)
    )
    row = await tx.fetchrow(query, release.tenant_id, key)
    assert row is not None  # noqa: S101 - one of the two is there
    return row


async def switch_in(
    tx: Connection, release: Release, current: str | None, *, actor: str, reason: str, rollback: bool = False
) -> None:
    """What readers see from the end of the transaction on."""
    where = (release.tenant_id, release.space)
    await tx.execute(SET_CURRENT, *where, release.release_id)
    await tx.execute(SET_PUBLISHED, release.release_id)
    await tx.execute(LOG, *where, release.release_id, current or "", actor, reason, rollback)
    await notices.tell(tx, occasions.published(release, actor, rollback=rollback))


async def _target(tx: Connection, tenant_id: str, space: str, release_id: str, current: str | None) -> Release:
    if not release_id:
        row = await tx.fetchrow(BEFORE, tenant_id, space, current)
        if row is None:
            raise NothingToRollBack(
                f"the site of {space} has no earlier release that is kept and was not rolled back itself: name one",
                space=space,
            )
        return rows.release(row)
    row = await tx.fetchrow(TARGET, tenant_id, space, release_id)
    if row is None:
        raise release_not_found(release_id)
    found = rows.release(row)
    if row["state"] != "READY" or found.preview:
        what = "a preview" if found.preview else str(found.state).lower()
        raise ReleaseNotReady(f"the release {release_id} is {what}: choose one that is ready", releaseId=release_id)
    return found


def _check_same(made: Release, asked: NewRelease) -> None:
    """Nobody learns of another's release by guessing its request_id."""
    same = ("space", "branch", "preview", "created_by", "message")
    if any(getattr(made, name) != getattr(asked, name) for name in same):
        raise request_reused(asked.request_id)
