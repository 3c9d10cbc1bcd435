"""The side of the database's search index that follows the documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import orjson

from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Sealer, place
from services.doc.domain.search.page import IndexedPage
from services.doc.domain.search.ports import Update
from services.doc.store.search_words import Hash, SearchWords, vector

FOLLOWER = "search"
LOCK = 4_119_000_009
BUILT_FOR_S = 120
PLACE = "search-section"

POSITION = "SELECT sequence FROM follower WHERE name = $1"
BEGIN = """
INSERT INTO follower (name, sequence) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence
"""
MOVE = "UPDATE follower SET sequence = $3 WHERE name = $1 AND sequence = $2"
BUILD = "INSERT INTO search_build (tenant_id) SELECT unnest($1::text[]) ON CONFLICT (tenant_id) DO NOTHING"
UNBUILT = "SELECT tenant_id FROM search_build WHERE until < now() ORDER BY tenant_id"
TAKE = """
UPDATE search_build SET until = now() + make_interval(secs => $2)
 WHERE tenant_id = $1 AND until < now() RETURNING tenant_id
"""
HOLD = "UPDATE search_build SET until = now() + make_interval(secs => $2) WHERE tenant_id = $1"
LEAVE = "UPDATE search_build SET until = '-infinity' WHERE tenant_id = $1"
BUILT = "DELETE FROM search_build WHERE tenant_id = $1"
# Whoever deletes a space takes the space first, then its documents: in another order both would wait for each other.
SPACE_STAYS = "SELECT FROM space WHERE tenant_id = $1 AND space = $2 FOR KEY SHARE"
# Builders and followers that write the same page go one after the other.
STAYS = """
SELECT FROM head
 WHERE document_id = $1 AND branch = 'main' AND revision_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
"""
FORGET = "DELETE FROM search_page WHERE document_id = ANY($1)"
FORGET_GONE = """
DELETE FROM search_page s WHERE document_id = ANY($1)
   AND NOT EXISTS (SELECT FROM head h
                    WHERE h.document_id = s.document_id AND h.branch = 'main' AND h.deleted_at IS NULL)
"""
NEW_PAGE = "INSERT INTO search_page (document_id, tenant_id, revision_id) VALUES ($1, $2, $3)"
NEW_PAGE_WORDS = "INSERT INTO search_page_words (document_id, exact, words) VALUES ($1, $2, $3::text::tsvector)"
NEW_SECTIONS = """
INSERT INTO search_section (document_id, ordinal, tenant_id, shown)
SELECT $1, t.ordinal - 1, $2, t.shown FROM unnest($3::bytea[]) WITH ORDINALITY AS t(shown, ordinal)
"""
NEW_SECTION_WORDS = """
INSERT INTO search_section_words (document_id, ordinal, exact, words)
SELECT $1, t.ordinal - 1, t.exact, t.words::tsvector
  FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS t(exact, words, ordinal)
"""


class FollowingPostgres:
    """A services.doc.domain.search.ports.FollowingIndex."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer
        self._words = SearchWords(database, sealer)

    async def position(self) -> int | None:
        """See FollowingIndex."""
        at = await self._database.fetchval(POSITION, FOLLOWER, tenant=ENGINE)
        return None if at is None else int(at)

    async def begin(self, sequence: int, tenants: Sequence[str]) -> None:
        """See FollowingIndex."""
        async with self._database.transaction(ENGINE) as tx:
            await tx.execute(BUILD, list(tenants))
            await tx.execute(BEGIN, FOLLOWER, sequence)

    async def apply(self, updates: Sequence[Update], *, since: int, sequence: int) -> bool:
        """By one replica at a time. The lock is a transaction that writes nothing: nobody's changes wait for it."""
        async with self._database.transaction(ENGINE) as turn:
            if not await turn.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return False
            if await self.position() != since:
                return False
            for update in updates:
                if update.gone:
                    await self._database.execute(FORGET_GONE, list(update.gone), tenant=update.tenant_id)
                for page in update.pages:
                    await self._write(update.tenant_id, page)
            return await self._database.execute(MOVE, FOLLOWER, since, sequence, tenant=ENGINE) == "UPDATE 1"

    async def numbers(self, tenant_id: str, space: str) -> frozenset[int]:
        """Documents take what is here with them when they go."""
        return frozenset()

    async def unbuilt(self) -> Sequence[str]:
        """See FollowingIndex."""
        return [row["tenant_id"] for row in await self._database.fetch(UNBUILT, tenant=ENGINE)]

    @asynccontextmanager
    async def build(self, tenant_id: str, sequence: int) -> AsyncGenerator[_Building | None]:
        """In place: a document is written only as long as its head is what was read."""
        taken = await self._database.fetchval(TAKE, tenant_id, BUILT_FOR_S, tenant=tenant_id)
        if taken is None:
            yield None
            return
        try:
            yield _Building(self, tenant_id)
        except BaseException:
            await self._database.execute(LEAVE, tenant_id, tenant=tenant_id)
            raise
        await self._database.execute(BUILT, tenant_id, tenant=tenant_id)

    async def hold(self, tenant_id: str) -> None:
        """The builder is still at it."""
        await self._database.execute(HOLD, tenant_id, BUILT_FOR_S, tenant=tenant_id)

    async def write_all(self, tenant_id: str, pages: Sequence[IndexedPage]) -> None:
        """One by one: a transaction for each, so that nobody waits for long."""
        for page in pages:
            await self._write(tenant_id, page)

    async def _write(self, tenant_id: str, page: IndexedPage) -> None:
        hashed = await self._words.hashing(tenant_id)
        whole, sections, shown = await asyncio.to_thread(self._prepared, tenant_id, page, hashed)
        exacts = [signed(section.exact) for section in page.sections]
        async with self._database.transaction(tenant_id) as tx:
            if await tx.fetchrow(SPACE_STAYS, tenant_id, page.space) is None:
                return
            if await tx.fetchrow(STAYS, page.document_id, page.revision_id) is None:
                return  # it has changed meanwhile, and that is told by another change
            await tx.execute(FORGET, [page.document_id])
            await tx.execute(NEW_PAGE, page.document_id, tenant_id, page.revision_id)
            await tx.execute(NEW_PAGE_WORDS, page.document_id, signed(page.exact), whole)
            await tx.execute(NEW_SECTIONS, page.document_id, tenant_id, shown)
            await tx.execute(NEW_SECTION_WORDS, page.document_id, exacts, sections)
            await self._words.add(tx, tenant_id, page.space, page.surface.split())

    def _prepared(self, tenant_id: str, page: IndexedPage, hashed: Hash) -> tuple[str, list[str], list[bytes]]:
        where = place("doc", tenant_id, PLACE, page.document_id)
        shown = [orjson.dumps([each.heading, each.anchor, each.text]) for each in page.sections]
        sections = [vector(section.bag, hashed) for section in page.sections]
        return vector(page.bag, hashed), sections, [self._sealer.seal(each, where) for each in shown]


class _Building:
    """A services.doc.domain.search.ports.Sink."""

    def __init__(self, index: FollowingPostgres, tenant_id: str) -> None:
        self._index, self._tenant_id = index, tenant_id

    async def add(self, pages: Sequence[IndexedPage]) -> None:
        await self._index.hold(self._tenant_id)
        await self._index.write_all(self._tenant_id, pages)

    async def catch_up(self, update: Update, sequence: int) -> None:
        """Nothing to do: changes are applied while it is being built."""


def signed(number: int) -> int:
    """64 bits as PostgreSQL has them."""
    return number - (1 << 64) if number >= 1 << 63 else number
