"""Releases to be built, in SQL. `attempt` is in the WHERE of all that a builder writes."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.storage.postgres import ENGINE, Connection, Database, Record, row_count
from services.doc.domain.notifications import occasions
from services.doc.domain.publishing.errors import ReleaseLost
from services.doc.domain.publishing.ports import Built, Progress
from services.doc.domain.publishing.site import Release
from services.doc.store import notices
from services.doc.store import site_rows as rows
from services.doc.store.sites import switch_in

MAX_ATTEMPTS = 3
KEEP_FAILED, KEEP_PREVIEWS = 20, 3
"""Of a space, and of a branch that is still there."""
AT_ONCE = 50

CLAIM = """
UPDATE release SET attempt = attempt + 1, leased_until = now() + make_interval(secs => $1)
 WHERE release_id = (
    SELECT r.release_id FROM release r
     WHERE r.state = 'BUILDING' AND (r.leased_until IS NULL OR r.leased_until < now())
       AND (r.preview OR NOT EXISTS (
            SELECT FROM release o WHERE o.tenant_id = r.tenant_id AND o.space = r.space AND o.state = 'BUILDING'
               AND NOT o.preview AND (o.created_at, o.release_id) < (r.created_at, r.release_id)))
     ORDER BY r.created_at, r.release_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *, false AS is_current
"""
MINE = "WHERE release_id = $1 AND attempt = $2 AND state = 'BUILDING'"
RENEW = """
UPDATE release SET leased_until = now() + make_interval(secs => $3), step = $4, fraction = $5
 {MINE} RETURNING release_id
""".replace("{MINE}", MINE)
LET_GO = "UPDATE release SET leased_until = NULL, attempt = attempt - 1, step = '', fraction = 0 {MINE}".replace(
    "{MINE}", MINE
)
FAIL = """
UPDATE release SET state = 'FAILED', failure = $3, checks = $4, leased_until = NULL, ended_at = now() {MINE}
RETURNING release_id
""".replace("{MINE}", MINE)
READY = """
UPDATE release SET state = 'READY', digest = $3, pages = $4, files = $5, size = $6, checks = $7, step = '',
                   fraction = 1, leased_until = NULL, ended_at = now() {MINE} RETURNING release_id
""".replace("{MINE}", MINE)
FILES = """
INSERT INTO release_file (tenant_id, release_id, path, sha256, content_type, attachment, location, document)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[], $6::bool[], $7::text[], $8::text[])
"""
SITE = "SELECT * FROM site WHERE tenant_id = $1 AND space = $2 FOR UPDATE"
TURNED_BACK = """
SELECT EXISTS (SELECT FROM site_switch WHERE tenant_id = $1 AND space = $2 AND (rollback OR release_id = '')
                  AND switched_at > $3)
"""
NOTE = "UPDATE release SET checks = array_append(checks, $2) WHERE release_id = $1"
FORGET = """
DELETE FROM release WHERE release_id IN (
    SELECT release_id FROM (
        SELECT r.release_id, s.current,
               CASE WHEN r.state = 'FAILED' THEN $1 WHEN NOT r.preview THEN s.keep
                    WHEN b.branch IS NULL THEN 0 ELSE $2 END AS most,
               row_number() OVER (
                   PARTITION BY r.tenant_id, r.space, r.state, r.preview, CASE WHEN r.preview THEN r.branch END
                   ORDER BY coalesce(r.published_at, r.created_at) DESC, r.release_id DESC) AS place
          FROM release r JOIN site s USING (tenant_id, space) LEFT JOIN branch b USING (tenant_id, space, branch)
         WHERE r.state <> 'BUILDING') kept
     WHERE current IS DISTINCT FROM release_id AND place > most
     LIMIT $3)
   AND NOT EXISTS (SELECT FROM site s WHERE s.current = release.release_id)
"""


class SqlReleaseQueue:
    """A services.doc.domain.publishing.ports.ReleaseQueue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, lease_s: float) -> Release | None:
        """One that has died with its builders too often fails here."""
        while True:
            row = await self._database.fetchrow(CLAIM, lease_s, tenant=ENGINE)
            if row is None:
                return None
            release = rows.release(row)
            if release.attempt <= MAX_ATTEMPTS:
                return release
            await self.fail(release, f"the build was cut off {MAX_ATTEMPTS} times: publish again")

    async def renew(self, release: Release, progress: Progress, lease_s: float) -> None:
        """One row."""
        row = await self._database.fetchrow(
            RENEW, release.release_id, release.attempt, lease_s, progress.step, progress.fraction, tenant=ENGINE
        )
        _check(row, release)

    async def let_go(self, release: Release) -> None:
        """One row; the attempt does not count."""
        await self._database.execute(LET_GO, release.release_id, release.attempt, tenant=ENGINE)

    async def fail(self, release: Release, why: str, checks: Sequence[str] = ()) -> None:
        """One row; whoever asked for it is told."""
        async with self._database.transaction(ENGINE) as tx:
            _check(await tx.fetchrow(FAIL, release.release_id, release.attempt, why, list(checks)), release)
            if not release.preview:
                await notices.tell(tx, occasions.publish_failed(release))

    async def finish(self, release: Release, built: Built) -> bool:
        """One transaction."""
        size = sum(file.size for file in built.files)
        async with self._database.transaction(release.tenant_id) as tx:
            # the site first, as everybody does who changes what readers see
            site = await tx.fetchrow(SITE, release.tenant_id, release.space)
            row = await tx.fetchrow(
                READY, release.release_id, release.attempt, built.digest, built.pages, len(built.files), size,
                list(built.checks),
            )  # fmt: skip
            _check(row, release)
            await _keep_files(tx, release, built)
            if release.preview or site is None:
                return False
            why_not = await _why_not(tx, release, site)
            if why_not:
                await tx.execute(NOTE, release.release_id, why_not)
                return False
            await switch_in(tx, release, site["current"], actor=release.created_by, reason=release.message)
        return True

    async def clean_up(self) -> int:
        """At most 50."""
        done = await self._database.execute(FORGET, KEEP_FAILED, KEEP_PREVIEWS, AT_ONCE, tenant=ENGINE)
        return row_count(done)


async def _why_not(tx: Connection, release: Release, site: Record) -> str:
    if release.automatic and site["paused"]:
        return f"not switched to: auto-publish is paused ({site['paused']})"
    if await tx.fetchval(TURNED_BACK, release.tenant_id, release.space, release.created_at):
        return "not switched to: the site was rolled back or taken down while this was being built"
    return ""


async def _keep_files(tx: Connection, release: Release, built: Built) -> None:
    files = built.files
    await tx.execute(
        FILES, release.tenant_id, release.release_id, [each.path for each in files], [each.sha256 for each in files],
        [each.content_type for each in files], [each.attachment for each in files],
        [each.location for each in files], [each.document for each in files],
    )  # fmt: skip


def _check(row: Record | None, release: Release) -> None:
    if row is None:
        raise ReleaseLost(f"another process builds {release.release_id}, or it is gone", releaseId=release.release_id)
