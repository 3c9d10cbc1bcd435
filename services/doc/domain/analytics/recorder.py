"""Counting what comes in great numbers without making anybody wait."""

from __future__ import annotations

import hmac
import re
from datetime import date

from automesh.core.clock import Clock
from services.doc.domain.analytics.events import PageSeen, SearchDone, Waiting, plain_query
from services.doc.domain.analytics.ports import SearchStore, ViewStore, Visit
from services.doc.domain.search.ports import Searched

MAX_WAITING = 10_000
"""Events of one kind in memory; at the next write, a second later at most, they are gone from it."""
WRITTEN_AT_ONCE = 1_000
SEARCH_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Recorder:
    """Published pages and searches, in a bounded buffer between two writes."""

    def __init__(self, views: ViewStore, searches: SearchStore, *, clock: Clock) -> None:
        self._views, self._searches, self._clock = views, searches, clock
        self._pages: Waiting[PageSeen] = Waiting(MAX_WAITING)
        self._done: Waiting[SearchDone] = Waiting(MAX_WAITING)
        self._salt: tuple[date, bytes] | None = None

    @property
    def lost(self) -> int:
        """Events that there was no room for."""
        return self._pages.lost + self._done.lost

    def seen(self, tenant_id: str, space: str, path: str, visitor: str, *, robot: bool) -> None:
        """A page of a published site was sent. Takes no time and never fails."""
        self._pages.add(PageSeen(tenant_id=tenant_id, space=space, path=path, visitor=visitor, robot=robot))

    def searched(self, search: Searched) -> None:
        """See services.doc.domain.search.ports.SearchLog. Who searched is forgotten here."""
        query = plain_query(search.query)
        if query and SEARCH_ID.fullmatch(search.search_id):
            self._done.add(
                SearchDone(
                    tenant_id=search.tenant_id,
                    search_id=search.search_id,
                    space=search.space,
                    query=query,
                    results=search.results,
                    time=self._clock(),
                )
            )

    async def visitor(self, day: date, who: str) -> bytes:
        """16 bytes that are the same for somebody all day, and that tell nothing once the day is over."""
        if self._salt is None or self._salt[0] != day:
            self._salt = (day, await self._views.salt(day))
        return hmac.digest(self._salt[1], who.encode("utf-8", "surrogatepass"), "sha256")[:16]

    async def write(self) -> int:
        """Writes what waits; how many events. When the database is away they wait on."""
        return await self._write_searches() + await self._write_pages()

    async def _write_searches(self) -> int:
        batch = self._done.take(WRITTEN_AT_ONCE)
        if batch:
            try:
                await self._searches.searched(batch)
            except BaseException:
                self._done.put_back(batch)
                raise
        return len(batch)

    async def _write_pages(self) -> int:
        batch, day = self._pages.take(WRITTEN_AT_ONCE), self._clock().date()
        if batch:
            try:
                await self._views.visited([await self._visit(page, day) for page in batch], day)
            except BaseException:
                self._pages.put_back(batch)
                raise
        return len(batch)

    async def _visit(self, page: PageSeen, day: date) -> Visit:
        return Visit(
            tenant_id=page.tenant_id,
            space=page.space,
            path=page.path,
            visitor=await self.visitor(day, f"visitor:{page.visitor}"),
            robot=page.robot,
        )
