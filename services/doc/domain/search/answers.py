"""Answers that were given before: first those of this replica, then, where the cache is shared, those of all.

Nothing is ever called back: an answer is kept under all that it was made of. In this process that is the edition of the
index; among replicas it is what the index has in it, since no two count their editions alike.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from services.doc.domain.caching.ports import Cache, key_of
from services.doc.domain.search.answer import VERSION, Answer, packed, unpacked
from services.doc.domain.search.errors import IndexNotReady
from services.doc.domain.search.plan import Filters
from services.doc.domain.search.ports import SearchIndex
from services.doc.domain.search.question import SearchRequest

KIND = "answer"
TTL_S = 3_600.0
REMEMBERED = 512
"""Answers that are kept in memory."""
MAX_CONTENTS = 256
"""Tenants of whose index it is known what is in it."""
MAX_WAITING = 64
"""Answers that are still to be shared; while Redis is slower than the searchers, the next ones are not."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, to whom, and by whom: `filters` has the spaces that the asker finds."""

    index: SearchIndex
    edition: object
    tenant_id: str
    filters: Filters
    request: SearchRequest

    @property
    def stands(self) -> bool:
        """The index is as it was when it was asked."""
        return self.index.edition(self.tenant_id) == self.edition


class Answers:
    """Two shelves. A cache that other replicas do not see is none."""

    def __init__(self, cache: Cache) -> None:
        self._shared = cache if cache.shared else None
        self._own: OrderedDict[Asked, Answer] = OrderedDict()
        self._contents: OrderedDict[tuple[SearchIndex, str], tuple[object, str]] = OrderedDict()
        self._waiting: asyncio.Queue[tuple[Asked, Answer]] = asyncio.Queue(MAX_WAITING)

    async def recall(self, asked: Asked) -> Answer | None:
        """None: find it."""
        if asked in self._own:
            self._own.move_to_end(asked)
            return self._own[asked]
        contents = self._known_contents(asked)
        if self._shared is None or contents is None:
            return None
        value = await self._shared.get(_key(asked, contents))
        answer = unpacked(value) if value is not None else None
        if answer is not None:
            self._remember(asked, answer)
        return answer

    def keep(self, asked: Asked, answer: Answer) -> None:
        """Returns at once: whoever asked is waiting. One that the index has moved on from is not kept."""
        if not asked.stands:
            return
        self._remember(asked, answer)
        if self._shared is not None:
            with suppress(asyncio.QueueFull):
                self._waiting.put_nowait((asked, answer))

    async def share(self) -> None:
        """Gives the next one to the other replicas; waits for it. A loop."""
        asked, answer = await self._waiting.get()
        contents = self._known_contents(asked) or await self._learned_contents(asked)
        if self._shared is not None and contents is not None:
            await self._shared.set(_key(asked, contents), packed(answer), ttl_s=TTL_S)

    def _remember(self, asked: Asked, answer: Answer) -> None:
        self._own[asked] = answer
        if len(self._own) > REMEMBERED:
            self._own.popitem(last=False)

    def _known_contents(self, asked: Asked) -> str | None:
        edition, contents = self._contents.get((asked.index, asked.tenant_id), (None, None))
        return contents if edition == asked.edition else None

    async def _learned_contents(self, asked: Asked) -> str | None:
        """Reads the index, which takes its time: the searches that come before it is done do without the others."""
        if not asked.stands:
            return None
        try:
            contents = await asked.index.contents(asked.tenant_id)
        except IndexNotReady:
            return None
        if contents is None or not asked.stands:
            return None
        self._contents[asked.index, asked.tenant_id] = asked.edition, contents
        if len(self._contents) > MAX_CONTENTS:
            self._contents.popitem(last=False)
        return contents


def _key(asked: Asked, contents: str) -> str:
    request = asked.request
    moments = (moment.isoformat() if moment else "" for moment in (request.since, request.before))
    page = (str(request.offset), str(request.limit))
    return key_of(
        KIND,
        *(VERSION, asked.tenant_id, asked.index.engine, contents),
        *(request.query, request.space, request.tag, request.author, *moments, *page),
        *asked.filters.spaces,
    )
