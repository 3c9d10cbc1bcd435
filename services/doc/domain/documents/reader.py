"""Documents as people read them: now, earlier, side by side, line by line."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from services.doc.domain.documents.blame import Origin, Step, blame
from services.doc.domain.documents.document import Document, DocumentQuery, Head, Revision
from services.doc.domain.documents.graph import Graph
from services.doc.domain.documents.history import HISTORY_STEPS, HistoryHit, HistoryQuery, occurrences
from services.doc.domain.documents.merging import MergeOutcome, Merger
from services.doc.domain.documents.pace import Lane
from services.doc.domain.documents.path import file_path
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.errors import SpaceNotFound, document_not_found, revision_not_found
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MAIN, MemberRole

BLAME_STEPS, BLAME_BYTES = 500, 32 * 1024 * 1024
"""Revisions that a blame looks at, the newest, and how much they may be together: all of them are in memory once."""
_AT_ONCE = 20
"""Revisions that a search in history reads together."""


class DocumentReader:
    """Everything that changes nothing."""

    def __init__(self, documents: DocumentStore, directory: SpaceDirectory, lane: Lane) -> None:
        self._documents, self._directory, self._lane = documents, directory, lane
        self._merger = Merger(documents)

    async def head(self, person: Person, document_id: str, branch: str, least: MemberRole = MemberRole.READER) -> Head:
        """Where a document stands, for somebody who may do that much in its space. Raises DocumentNotFound."""
        head = await self._documents.head(person.tenant_id, document_id, branch)
        await self._allowed(person, head, least)
        return head

    async def document(self, person: Person, document_id: str, branch: str, revision_id: str = "") -> Document:
        """At its head, or with the content, path and title of one of its revisions."""
        if not revision_id:
            document = await self._documents.document(person.tenant_id, document_id, branch)
            await self._allowed(person, document.head, MemberRole.READER)
            return document
        head = await self.head(person, document_id, branch)
        revision = await self._documents.revision(person.tenant_id, document_id, revision_id)
        return Document(_at(head, revision), await self._documents.content(person.tenant_id, revision.sha256))

    async def look_up(self, person: Person, space: str, branch: str, path: str) -> Document:
        """At a path, or at one that the document once had."""
        await self._directory.find(person, space)
        head = await self._documents.at_path(person.tenant_id, space, branch, file_path(path))
        return Document(head, await self._documents.content(person.tenant_id, head.sha256))

    async def list(self, person: Person, query: DocumentQuery) -> Sequence[Head]:
        """A page by space and path, of the spaces that the query names: the person finds them."""
        return await self._documents.list(person.tenant_id, query)

    async def trash(
        self, person: Person, space: str, branch: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Head]:
        """A page, what was deleted last first."""
        await self._directory.find(person, space)
        return await self._documents.trash(person.tenant_id, space, branch, limit=limit, before=before)

    async def revisions(
        self, person: Person, document_id: str, branch: str, *, author: str, limit: int, after: str
    ) -> Sequence[Revision]:
        """A page of what led to the head, the newest first; `after` is the last revision of the page before."""
        head = await self.head(person, document_id, branch)
        graph = await self._documents.graph(person.tenant_id, document_id)
        ids = [node.revision_id for node in graph.history(head.revision_id)]
        start = ids.index(after) + 1 if after in ids else 0
        found: list[Revision] = []
        while start < len(ids) and len(found) < limit:
            page = await self._documents.revisions(person.tenant_id, ids[start : start + limit])
            found += [each for each in page if author in {"", each.author, *each.co_authors}]
            start += limit
        return found[:limit]

    async def pair(
        self, person: Person, document_id: str, branch: str, old: str, new: str
    ) -> tuple[str, str, str, str]:
        """Ids and contents of two revisions: of the head of the branch, and of its first parent, unless they are named.

        The id of the earlier is empty when the later is the first.
        """
        head = await self.head(person, document_id, branch)
        later = await self._documents.revision(person.tenant_id, document_id, new or head.revision_id)
        earlier_id = old or (later.parents[0] if later.parents else "")
        if not earlier_id:
            return "", later.revision_id, "", await self._documents.content(person.tenant_id, later.sha256)
        earlier = await self._documents.revision(person.tenant_id, document_id, earlier_id)
        bodies = await self._documents.contents(person.tenant_id, [earlier.sha256, later.sha256])
        return earlier.revision_id, later.revision_id, bodies[earlier.sha256], bodies[later.sha256]

    async def merge(
        self, person: Person, document_id: str, branch: str, *, content: str | None, ours: str, theirs: str
    ) -> MergeOutcome:
        """Two revisions, or a text made from the revision `ours`, brought together; nothing is written."""
        head = await self.head(person, document_id, branch)
        their_id = theirs or head.revision_id
        await self._documents.revision(person.tenant_id, document_id, their_id)
        if content is None:
            return await self._merger.between(person.tenant_id, document_id, ours, their_id)
        if ours:
            await self._documents.revision(person.tenant_id, document_id, ours)
        return await self._merger.onto(person.tenant_id, document_id, expected=ours, content=content, head=their_id)

    async def blame(
        self, person: Person, document_id: str, branch: str, revision_id: str
    ) -> tuple[Sequence[Origin], Sequence[Revision], bool]:
        """Who wrote each line; the revisions that are named; whether the history was longer than what was looked at."""
        head = await self.head(person, document_id, branch)
        graph = await self._documents.graph(person.tenant_id, document_id)
        at = revision_id or head.revision_id
        if at not in graph:
            raise revision_not_found(at)
        nodes, truncated = _newest(graph, at, BLAME_STEPS)
        found = await self._documents.revisions(person.tenant_id, nodes)
        revisions = _within(found, BLAME_BYTES)
        size = sum(each.size for each in revisions)
        origins = await self._lane.turn(size, self._origins, person.tenant_id, revisions)
        named = {origin.revision_id for origin in origins}
        return (
            origins,
            [each for each in revisions if each.revision_id in named],
            truncated or len(revisions) < len(found),
        )

    async def search_history(self, person: Person, query: HistoryQuery) -> tuple[Sequence[HistoryHit], str]:
        """Revisions that brought a text in or took it out, the newest first; where to go on, empty at the end."""
        space = query.space
        if query.document_id:
            space = (await self.head(person, query.document_id, MAIN)).space
        await self._directory.find(person, space)
        page = await self._documents.history(
            person.tenant_id, space, document_id=query.document_id, since=query.since, after=query.after,
            limit=HISTORY_STEPS,
        )  # fmt: skip
        hits: list[HistoryHit] = []
        for start in range(0, len(page), _AT_ONCE):
            hits += await self._hits(person.tenant_id, page[start : start + _AT_ONCE], query)
            if len(hits) >= query.limit:
                last = hits[query.limit - 1].revision
                more = last != page[-1] or len(page) == HISTORY_STEPS
                return hits[: query.limit], last.revision_id if more else ""
        return hits, page[-1].revision_id if len(page) == HISTORY_STEPS else ""

    async def _origins(self, tenant_id: str, revisions: Sequence[Revision]) -> Sequence[Origin]:
        bodies = await self._documents.contents(tenant_id, [each.sha256 for each in revisions])
        steps = [Step(each.revision_id, each.parents, bodies[each.sha256]) for each in reversed(revisions)]
        return await asyncio.to_thread(blame, steps)

    async def _hits(self, tenant_id: str, part: Sequence[Revision], query: HistoryQuery) -> Sequence[HistoryHit]:
        first = [parent for revision in part for parent in revision.parents[:1]]
        parents = {each.revision_id: each for each in await self._documents.revisions(tenant_id, first)}
        hashes = {each.sha256 for each in (*part, *parents.values())}
        bodies = await self._documents.contents(tenant_id, sorted(hashes))

        def looked() -> Sequence[HistoryHit]:
            hits = (occurrences(each, _before(each, parents, bodies), bodies[each.sha256], query) for each in part)
            return [hit for hit in hits if hit is not None]

        return await asyncio.to_thread(looked)

    async def _allowed(self, person: Person, head: Head, least: MemberRole) -> None:
        """A document of a space that somebody does not find is not there."""
        try:
            await self._directory.find(person, head.space, least)
        except SpaceNotFound as error:
            raise document_not_found(head.document_id, head.branch) from error


def _within(revisions: Sequence[Revision], most_bytes: int) -> Sequence[Revision]:
    """The first ones, as many as that holds; one at least."""
    sizes = list(accumulate(each.size for each in revisions))
    return revisions[: max(1, bisect_right(sizes, most_bytes))]


def _before(revision: Revision, parents: Mapping[str, Revision], bodies: Mapping[str, str]) -> str:
    """What stood there before it; nothing before the first."""
    parent = parents.get(revision.parents[0]) if revision.parents else None
    return bodies[parent.sha256] if parent else ""


def _newest(graph: Graph, revision_id: str, limit: int) -> tuple[Sequence[str], bool]:
    ids: list[str] = []
    for node in graph.history(revision_id):
        if len(ids) == limit:
            return ids, True
        ids.append(node.revision_id)
    return ids, False


def _at(head: Head, revision: Revision) -> Head:
    """The head as it was."""
    return Head(
        tenant_id=head.tenant_id,
        space=head.space,
        branch=head.branch,
        document_id=head.document_id,
        revision_id=revision.revision_id,
        path=revision.path,
        title=revision.title,
        owner=head.owner,
        size=revision.size,
        sha256=revision.sha256,
        created_by=head.created_by,
        created_at=head.created_at,
        updated_by=revision.author,
        updated_at=revision.created_at,
    )
