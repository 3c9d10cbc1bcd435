"""Drafts in SQL, sealed for their place: a tenant, a person, an id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import zstandard

from automesh.storage.postgres import ENGINE, Database, Record, row_count
from automesh.storage.sealing import Sealer, place
from services.doc.domain.drafts.draft import Draft, NewDraft
from services.doc.domain.drafts.errors import TooManyDrafts, draft_changed, draft_not_found
from services.doc.domain.errors import space_not_found

_MAX_BODY = 64 * 1024 * 1024  # a damaged frame must not ask for more
LEVEL = 3
COLUMNS = """
draft_id, space, branch, path, base, version, updated_at,
(SELECT CASE WHEN d.base = '' THEN h.revision_id IS NOT NULL ELSE h.revision_id IS DISTINCT FROM d.base END
   FROM (SELECT 1) one LEFT JOIN head h
     ON h.tenant_id = d.tenant_id AND h.space = d.space AND h.branch = d.branch AND h.document_id = d.draft_id
) AS behind
"""
"""With `behind`: whether the head is another than the draft was begun on. A document of another space is none."""

FOUND = f"SELECT {COLUMNS}, body FROM draft d WHERE tenant_id = $1 AND username = $2"  # noqa: S608 # made of constants
ADD = f"""
INSERT INTO draft AS d (tenant_id, username, draft_id, space, branch, path, base, body, size, version)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 1
 WHERE (SELECT count(*) FROM draft WHERE tenant_id = $1 AND username = $2) < $10
ON CONFLICT (tenant_id, username, draft_id) DO NOTHING RETURNING {COLUMNS}
"""  # noqa: S608 # made of constants
REPLACE = f"""
UPDATE draft d SET space = $4, branch = $5, path = $6, base = $7, body = $8, size = $9, version = version + 1,
                   updated_at = now()
 WHERE tenant_id = $1 AND username = $2 AND draft_id = $3 AND version = $10 RETURNING {COLUMNS}
"""  # noqa: S608 # made of constants
GET = f"{FOUND} AND draft_id = $3"
LIST = f"""{FOUND.replace(", body", "")} AND space = ANY($3)
   AND ($4::timestamptz IS NULL OR (updated_at, draft_id) < ($4, $5)) ORDER BY updated_at DESC, draft_id DESC LIMIT $6
"""
DELETE = "DELETE FROM draft WHERE tenant_id = $1 AND username = $2 AND draft_id = $3"
EXPIRE = """
DELETE FROM draft WHERE (tenant_id, username, draft_id) IN (
    SELECT tenant_id, username, draft_id FROM draft WHERE updated_at < now() - $1::interval
     ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


class SqlDraftStore:
    """A services.doc.domain.drafts.ports.DraftStore. A save is one statement, committed before it is answered."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def save(self, tenant_id: str, user: str, draft: NewDraft, *, most: int) -> Draft:
        """Its fence is the version in the WHERE."""
        body = await asyncio.to_thread(self._sealed, tenant_id, user, draft)
        values = (draft.draft_id, draft.space, draft.branch, draft.path, draft.base, body, len(draft.content.encode()))
        statement, last = (REPLACE, draft.version) if draft.version else (ADD, most)
        try:
            row = await self._database.fetchrow(statement, tenant_id, user, *values, last, tenant=tenant_id)
        except asyncpg.ForeignKeyViolationError as error:
            raise space_not_found(draft.space) from error
        if row is None:
            return await self._saved_before(tenant_id, user, draft, most)
        return _draft(row, draft.content)

    async def get(self, tenant_id: str, user: str, draft_id: str) -> Draft:
        """One row, unsealed."""
        row = await self._database.fetchrow(GET, tenant_id, user, draft_id, tenant=tenant_id)
        if row is None:
            raise draft_not_found(draft_id)
        return _draft(row, await asyncio.to_thread(self._unsealed, tenant_id, user, draft_id, row["body"]))

    async def list(
        self, tenant_id: str, user: str, spaces: Sequence[str], *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Draft]:
        """Keyset by the time of the last save."""
        moment, draft_id = before or (None, "")
        found = await self._database.fetch(LIST, tenant_id, user, spaces, moment, draft_id, limit, tenant=tenant_id)
        return [_draft(row, "") for row in found]

    async def delete(self, tenant_id: str, user: str, draft_id: str) -> None:
        """One row at most."""
        await self._database.execute(DELETE, tenant_id, user, draft_id, tenant=tenant_id)

    async def expire(self, keep_for: timedelta, limit: int) -> int:
        """Of all tenants."""
        done = await self._database.execute(EXPIRE, keep_for, limit, tenant=ENGINE)
        return row_count(done)

    async def _saved_before(self, tenant_id: str, user: str, draft: NewDraft, most: int) -> Draft:
        """The very same save whose answer was lost; anything else is refused."""
        row = await self._database.fetchrow(GET, tenant_id, user, draft.draft_id, tenant=tenant_id)
        if row is None:
            if not draft.version:
                raise TooManyDrafts(f"you keep {most} drafts, as many as one may: throw some away", most=most)
            raise draft_changed(draft.draft_id, 0)
        kept = _draft(row, await asyncio.to_thread(self._unsealed, tenant_id, user, draft.draft_id, row["body"]))
        if kept.version != draft.version + 1 or _told(kept) != _told(draft):
            raise draft_changed(draft.draft_id, kept.version)
        return kept

    def _sealed(self, tenant_id: str, user: str, draft: NewDraft) -> bytes:
        packed = zstandard.ZstdCompressor(level=LEVEL).compress(draft.content.encode())
        return self._sealer.seal(packed, place("doc", tenant_id, "draft", user, draft.draft_id))

    def _unsealed(self, tenant_id: str, user: str, draft_id: str, body: bytes) -> str:
        packed = self._sealer.unseal(body, place("doc", tenant_id, "draft", user, draft_id))
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MAX_BODY).decode()


def _told(draft: NewDraft) -> tuple[str, ...]:
    return (draft.space, draft.branch, draft.path, draft.base, draft.content)


def _draft(row: Record, content: str) -> Draft:
    return Draft(
        draft_id=row["draft_id"],
        space=row["space"],
        branch=row["branch"],
        path=row["path"],
        content=content,
        base=row["base"],
        version=row["version"],
        updated_at=row["updated_at"],
        behind=row["behind"],
    )
