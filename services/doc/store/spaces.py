"""Spaces in SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

import asyncpg

from automesh.storage.faults import Contended
from automesh.storage.postgres import Connection, Database
from services.doc.domain.errors import SpaceNotEmpty, SpaceTaken, space_not_found
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import space_changed
from services.doc.domain.spaces.space import MAIN, NewSpace, Space
from services.doc.store import rules, space_rows

TRIES = 5
FOUND = """
($2 OR s.visibility = 'TENANT'
    OR EXISTS (SELECT FROM member m WHERE m.tenant_id = s.tenant_id AND m.space = s.space AND m.username = $3))
"""
DOCUMENTS = """
(SELECT count(*) FROM head h
  WHERE h.tenant_id = s.tenant_id AND h.space = s.space AND h.branch = 'main' AND h.deleted_at IS NULL)
"""
MEMBERS = """
(SELECT coalesce(jsonb_object_agg(m.username, m.role), '{}') FROM member m
  WHERE m.tenant_id = s.tenant_id AND m.space = s.space)
"""
GET = f"""
SELECT s.*, {MEMBERS} AS members, 0 AS document_count FROM space s WHERE s.tenant_id = $1 AND s.space = $2
"""  # noqa: S608 # made of constants
GET_COUNTED = GET.replace("0 AS", f"{DOCUMENTS} AS")
LIST = f"""
SELECT s.*, {DOCUMENTS} AS document_count FROM space s
 WHERE s.tenant_id = $1 AND {FOUND} AND s.space > $4 ORDER BY s.space LIMIT $5
"""  # noqa: S608 # made of constants
VISIBLE = f"SELECT s.space FROM space s WHERE s.tenant_id = $1 AND {FOUND} ORDER BY s.space"  # noqa: S608 # made of constants
ADD = """
INSERT INTO space (tenant_id, space, title, description, visibility, rules, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
ADD_MAIN = "INSERT INTO branch (tenant_id, space, branch, created_by) VALUES ($1, $2, $3, $4)"
REPLACE = """
UPDATE space SET title = $4, description = $5, visibility = $6, rules = $7, edition = edition + 1, updated_at = now()
 WHERE tenant_id = $1 AND space = $2 AND edition = $3
"""
FORGET_MEMBERS = "DELETE FROM member WHERE tenant_id = $1 AND space = $2"
SET_MEMBERS = """
INSERT INTO member (tenant_id, space, username, role) SELECT $1, $2, * FROM unnest($3::text[], $4::text[])
"""
TELL = "INSERT INTO change (tenant_id, space) VALUES ($1, $2)"
USED = """
SELECT EXISTS (SELECT FROM document WHERE tenant_id = $1 AND space = $2)
    OR EXISTS (SELECT FROM attachment WHERE tenant_id = $1 AND space = $2)
"""
DELETE_DOCUMENTS = "DELETE FROM document WHERE tenant_id = $1 AND space = $2"
DELETE = "DELETE FROM space WHERE tenant_id = $1 AND space = $2"
# What goes by the name of the space alone: whoever is given that name next must not find it. A backup, and a restore
# that still runs, may be all that is left of the space.
FORGET = (
    "DELETE FROM search_event WHERE tenant_id = $1 AND space = $2",
    "DELETE FROM query_day WHERE tenant_id = $1 AND space = $2",
    "DELETE FROM query_month WHERE tenant_id = $1 AND space = $2",
    "DELETE FROM space_day WHERE tenant_id = $1 AND space = $2",
    """DELETE FROM job WHERE tenant_id = $1 AND space = $2
          AND kind <> 'BACKUP' AND (kind <> 'RESTORE' OR ended_at IS NOT NULL)""",
)


class SqlSpaceStore:
    """A services.doc.domain.spaces.ports.SpaceStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant_id: str, space: NewSpace, created_by: str) -> Space:
        """The space, its members, its main branch."""
        try:
            async with self._database.transaction(tenant_id) as tx:
                await tx.execute(
                    ADD, tenant_id, space.space, space.title or space.space, space.description, space.visibility,
                    json.dumps(rules.to_json(space.rules)), created_by,
                )  # fmt: skip
                await tx.execute(ADD_MAIN, tenant_id, space.space, MAIN, created_by)
                await _set_members(tx, tenant_id, space)
        except asyncpg.UniqueViolationError as error:
            raise SpaceTaken(f"there is a space {space.space!r} already", space=space.space) from error
        return await self.get(tenant_id, space.space)

    async def get(self, tenant_id: str, space: str) -> Space:
        """One row; documents are not counted."""
        return await self._get(GET, tenant_id, space)

    async def counted(self, tenant_id: str, space: str) -> Space:
        """One row, with its documents counted."""
        return await self._get(GET_COUNTED, tenant_id, space)

    async def list(self, person: Person, *, limit: int, after: str) -> Sequence[Space]:
        """Keyset by name; without members."""
        found = await self._database.fetch(
            LIST, person.tenant_id, person.admin, person.user, after, limit, tenant=person.tenant_id
        )
        return [space_rows.space(row, {}) for row in found]

    async def visible(self, person: Person) -> Sequence[str]:
        """Names only."""
        found = await self._database.fetch(
            VISIBLE, person.tenant_id, person.admin, person.user, tenant=person.tenant_id
        )
        return [row["space"] for row in found]

    async def replace(self, tenant_id: str, space: NewSpace, edition: int) -> Space:
        """One transaction; those who follow changes are told."""
        async with self._database.transaction(tenant_id) as tx:
            done = await tx.execute(
                REPLACE, tenant_id, space.space, edition, space.title or space.space, space.description,
                space.visibility, json.dumps(rules.to_json(space.rules)),
            )  # fmt: skip
            if done != "UPDATE 1":
                raise space_changed(space.space)
            await tx.execute(FORGET_MEMBERS, tenant_id, space.space)
            await _set_members(tx, tenant_id, space)
            await tx.execute(TELL, tenant_id, space.space)
        return await self.get(tenant_id, space.space)

    async def delete(self, tenant_id: str, space: str, *, force: bool) -> None:
        """Again when a write meets it half way, each holding what the other wants: the database ends one of them."""
        for _ in range(TRIES - 1):
            with suppress(Contended):
                await self._delete(tenant_id, space, force=force)
                return
        await self._delete(tenant_id, space, force=force)

    async def _delete(self, tenant_id: str, space: str, *, force: bool) -> None:
        """Documents first; all that hangs on them and on the space goes with them, and what goes by its name."""
        async with self._database.transaction(tenant_id) as tx:
            if (
                await tx.fetchrow("SELECT FROM space WHERE tenant_id = $1 AND space = $2 FOR UPDATE", tenant_id, space)
                is None
            ):
                raise space_not_found(space)
            if not force and await tx.fetchval(USED, tenant_id, space):
                raise SpaceNotEmpty(
                    f"the space {space} has documents (perhaps in its trash) or files: force it, with a reason, and "
                    "they are gone for good",
                    space=space,
                )
            await tx.execute(DELETE_DOCUMENTS, tenant_id, space)
            await tx.execute(DELETE, tenant_id, space)
            for forget in FORGET:
                await tx.execute(forget, tenant_id, space)
            await tx.execute(TELL, tenant_id, space)

    async def _get(self, query: str, tenant_id: str, space: str) -> Space:
        row = await self._database.fetchrow(query, tenant_id, space, tenant=tenant_id)
        if row is None:
            raise space_not_found(space)
        return space_rows.space(row, json.loads(row["members"]))


async def _set_members(tx: Connection, tenant_id: str, space: NewSpace) -> None:
    if space.members:
        await tx.execute(SET_MEMBERS, tenant_id, space.space, list(space.members), list(space.members.values()))
