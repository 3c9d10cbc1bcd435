"""Documents, found for people: what they typed, answered from what they may read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from services.doc.domain.changes.change import Changes
from services.doc.domain.search.answer import Answer, Result
from services.doc.domain.search.answers import Answers, Asked
from services.doc.domain.search.errors import IndexNotReady
from services.doc.domain.search.plan import Filters, IndexStatus
from services.doc.domain.search.planner import Corpus, Planner
from services.doc.domain.search.ports import Searched, SearchIndex, SearchLog
from services.doc.domain.search.question import SearchRequest, parse
from services.doc.domain.search.snippet import snippet
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory


class DocumentSearch:
    """Searches with the index; while that is not ready, with the one that stands by."""

    def __init__(
        self,
        index: SearchIndex,
        standby: SearchIndex | None,
        directory: SpaceDirectory,
        changes: Changes,
        *,
        planner: Planner,
        answers: Answers,
        log: Callable[[], SearchLog],
        make_id: Callable[[str], str],
    ) -> None:
        self._index, self._standby, self._directory, self._changes = index, standby, directory, changes
        self._planner, self._answers, self._log, self._make_id = planner, answers, log, make_id

    async def search(self, person: Person, request: SearchRequest) -> Answer:
        """Raises ValidationError, SpaceNotFound, IndexNotReady."""
        question = parse(request.query)
        spaces = tuple(await self._directory.visible(person, request.space))
        answer = Answer()
        if spaces and question.words:
            filters = Filters(
                spaces=spaces, tag=request.tag, author=request.author, since=request.since, before=request.before
            )
            answer = await self._answered(person.tenant_id, request, filters)
        answer = replace(answer, search_id=self._make_id("search"))
        if request.offset == 0:
            self._log().searched(
                Searched(
                    search_id=answer.search_id,
                    tenant_id=person.tenant_id,
                    space=request.space,
                    person=person.user,
                    query=" ".join(request.query.lower().split()),
                    results=len(answer.results),
                )
            )
        return answer

    async def status(self, person: Person) -> tuple[IndexStatus, int]:
        """How far the index has come with the documents that somebody finds, and the last change that there is."""
        spaces = await self._directory.visible(person)
        return await self._index.status(person.tenant_id, spaces), await self._changes.latest()

    async def _answered(self, tenant_id: str, request: SearchRequest, filters: Filters) -> Answer:
        try:
            return await self._asked(self._index, tenant_id, request, filters)
        except IndexNotReady:
            if self._standby is None:
                raise
            return await self._asked(self._standby, tenant_id, request, filters)

    async def _asked(self, index: SearchIndex, tenant_id: str, request: SearchRequest, filters: Filters) -> Answer:
        edition = index.edition(tenant_id)
        if edition is None:
            answer, _ = await self._found(index, tenant_id, request, filters)
            return answer
        asked = Asked(index, edition, tenant_id, filters, request)
        known = await self._answers.recall(asked)
        if known is not None:
            return known
        answer, settled = await self._found(index, tenant_id, request, filters)
        if settled:
            self._answers.keep(asked, answer)
        return answer

    async def _found(
        self, index: SearchIndex, tenant_id: str, request: SearchRequest, filters: Filters
    ) -> tuple[Answer, bool]:
        """The answer, and whether it will be the same until the index changes."""
        corpus = Corpus(index, tenant_id, filters.spaces)
        plan, corrections, settled = await self._planner.plan(corpus, parse(request.query), filters)
        hits = await index.search(tenant_id, plan, offset=request.offset, limit=request.limit + 1)
        terms = frozenset(plan.terms) | {token for phrase in plan.phrases for token in phrase}
        results = [Result(hit, snippet(hit.text, terms)) for hit in hits[: request.limit]]
        kept = [Result(replace(each.hit, text=""), each.snippet) for each in results]
        return Answer(kept, len(hits) > request.limit, corrections), settled
