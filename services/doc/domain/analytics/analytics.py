"""What people ask of analytics, and what they tell by reading."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from automesh.core.clock import Clock
from automesh.core.errors import ValidationError
from services.doc.domain.analytics.errors import anonymous
from services.doc.domain.analytics.figures import Asked, Figures, Reader
from services.doc.domain.analytics.ports import FiguresQuery, FiguresStore, SearchStore, ViewStore, Visit
from services.doc.domain.analytics.recorder import SEARCH_ID, Recorder
from services.doc.domain.documents.document import Head
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MAIN, MemberRole, Space, Visibility

MAX_RANK = 10_000
COSTLY_S, REMEMBERED_S, REMEMBERED = 0.25, 30.0, 64
"""Figures that took longer than the first are shown again for the second; at most so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What is counted, and where."""

    views: ViewStore
    searches: SearchStore
    figures: FiguresStore
    documents: DocumentStore


class Analytics:
    """Views, clicks, figures, readers: for those who find the space."""

    def __init__(
        self,
        stores: Stores,
        recorder: Recorder,
        reader: DocumentReader,
        directory: SpaceDirectory,
        *,
        clock: Clock,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores, self._recorder, self._reader, self._directory = stores, recorder, reader, directory
        self._clock, self._stopwatch = clock, stopwatch
        self._costly: OrderedDict[tuple[object, ...], tuple[float, Figures]] = OrderedDict()

    async def record_view(self, person: Person, document_id: str, confirmed: str) -> None:
        """Counts a person once a day; in a space that stores no person, a hash of the day.

        Raises DocumentNotFound, RevisionNotFound, AnonymousAnalytics for a confirmation there.
        """
        head = await self._reader.head(person, document_id, MAIN)
        space = await self._directory.find(person, head.space)
        day = self._clock().date()
        if not space.rules.anonymous_analytics:
            if confirmed:
                await self._stores.documents.revision(person.tenant_id, document_id, confirmed)
            await self._stores.views.read(
                person.tenant_id, head.space, document_id, person.user, day, confirmed=confirmed
            )
            return
        if confirmed:
            raise anonymous(head.space)
        visitor = await self._recorder.visitor(day, f"person:{person.tenant_id}:{person.user}")
        visit = Visit(tenant_id=person.tenant_id, space=head.space, document_id=document_id, visitor=visitor)
        await self._stores.views.visited([visit], day)

    async def record_click(self, person: Person, search_id: str, document_id: str, rank: int) -> None:
        """Raises DocumentNotFound for what nobody could have been shown."""
        if not SEARCH_ID.fullmatch(search_id):
            raise ValidationError("search_id is the one that a search has answered with", field="search_id")
        if not 1 <= rank <= MAX_RANK:
            raise ValidationError(f"rank {rank} is not between 1 and {MAX_RANK}", field="rank")
        await self._reader.head(person, document_id, MAIN)
        await self._stores.searches.clicked(person.tenant_id, search_id, document_id, rank, self._clock())

    async def figures(self, person: Person, space: str, asked: Asked) -> Figures:
        """Of the last days. Those that cost much may be some seconds old."""
        query = self._query(person, await self._directory.find(person, space), asked)
        key = (query.tenant_id, query.space, query.since, query.limit, query.everywhere, query.review_after)
        until, kept = self._costly.get(key, (0.0, None))
        began = self._stopwatch()
        if kept is not None and began < until:
            return kept
        figures = await self._stores.figures.figures(query)
        self._remember(key, figures, began)
        return figures

    async def readers(
        self, person: Person, document_id: str, *, limit: int, before: tuple[date, str] | None
    ) -> tuple[Head, Sequence[Reader]]:
        """Who has read a document, for those who may write there. Raises DocumentNotFound, AnonymousAnalytics."""
        head = await self._reader.head(person, document_id, MAIN, MemberRole.WRITER)
        space = await self._directory.find(person, head.space)
        if space.rules.anonymous_analytics:
            raise anonymous(head.space)
        return head, await self._stores.views.readers(person.tenant_id, document_id, limit=limit, before=before)

    def _query(self, person: Person, space: Space, asked: Asked) -> FiguresQuery:
        now = self._clock()
        return FiguresQuery(
            tenant_id=person.tenant_id,
            space=space.space,
            since=now.date() - timedelta(days=asked.span - 1),
            today=now.date(),
            now=now,
            review_after=space.rules.review_after,
            limit=asked.limit,
            everywhere=space.visibility is Visibility.TENANT,
        )

    def _remember(self, key: tuple[object, ...], figures: Figures, began: float) -> None:
        now = self._stopwatch()
        self._costly.pop(key, None)
        if now - began > COSTLY_S:
            self._costly[key] = (now + REMEMBERED_S, figures)
            while len(self._costly) > REMEMBERED:
                self._costly.popitem(last=False)
