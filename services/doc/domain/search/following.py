"""An index is kept in step with the documents, and built anew where it is not."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from automesh.core.errors import AutomationError
from services.doc.domain.changes.change import ChangeNote, Changes
from services.doc.domain.documents.document import DocumentQuery, Head
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.search.page import IndexedPage, number_of, read_page
from services.doc.domain.search.ports import FollowingIndex, Sink, Update
from services.doc.domain.spaces.space import MAIN

BATCH = 200
"""Changes that are taken at once."""
BATCH_BYTES, PART_BYTES = 24 * 1024 * 1024, 8 * 1024 * 1024
"""Bodies whose words are in memory together, and bodies that are."""
CHECK_EVERY = 400
"""Steps: what never happens to an index that is followed all the time is looked for now and then."""
PAGE_SIZE = 100
DAMAGED = frozenset({"CONTENT_DAMAGED", "SEAL_BROKEN"})
"""Bodies that will not get better; for whatever else an index waits."""
REMEMBERED, REMEMBERED_BYTES = 64, 64 * 1024


class Sources(Protocol):
    """What an index is made of, over all tenants."""

    async def tenants(self) -> Sequence[str]:
        """All that have spaces."""
        ...

    async def spaces(self, tenant_id: str) -> Sequence[str]:
        """All of a tenant."""
        ...

    async def heads(self, tenant_id: str, document_ids: Sequence[str]) -> Sequence[Head]:
        """On the branch main; those in the trash are left out."""
        ...

    async def document_ids(self, tenant_id: str, space: str) -> Sequence[str]:
        """All of a space on its branch main; none of a space that is gone."""
        ...

    async def last_number(self) -> int:
        """The highest sequence that was ever given to a change."""
        ...


class PageReader:
    """Reads documents for indexes; the last ones are remembered, since there may be two indexes."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents
        self._last: OrderedDict[str, IndexedPage] = OrderedDict()

    async def read(self, tenant_id: str, heads: Sequence[Head]) -> Sequence[IndexedPage]:
        """In the order of the heads. A body that is damaged counts as empty: the title can be found still."""
        known = {head.revision_id: self._last[head.revision_id] for head in heads if head.revision_id in self._last}
        missing = [head for head in heads if head.revision_id not in known]
        bodies = await self._bodies(tenant_id, missing)
        fresh = await asyncio.to_thread(lambda: [read_page(head, bodies[head.sha256]) for head in missing])
        read = {page.revision_id: page for page in fresh}
        pages = [read.get(head.revision_id) or known[head.revision_id] for head in heads]
        for head, page in zip(missing, fresh, strict=True):
            if head.size <= REMEMBERED_BYTES:
                self._last[head.revision_id] = page
        while len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        return pages

    async def _bodies(self, tenant_id: str, heads: Sequence[Head]) -> Mapping[str, str]:
        wanted = list(dict.fromkeys(head.sha256 for head in heads))
        try:
            return await self._documents.contents(tenant_id, wanted)
        except AutomationError as error:
            if error.reason not in DAMAGED:
                raise
            return {each: await self._body(tenant_id, each) for each in wanted}

    async def _body(self, tenant_id: str, sha256: str) -> str:
        try:
            return await self._documents.content(tenant_id, sha256)
        except AutomationError as error:
            if error.reason not in DAMAGED:
                raise
            return ""


class IndexFollower:
    """For one index of this process."""

    def __init__(
        self, index: FollowingIndex, changes: Changes, documents: DocumentStore, sources: Sources, reader: PageReader
    ) -> None:
        self._index, self._changes, self._documents = index, changes, documents
        self._sources, self._reader = sources, reader
        self._moving = asyncio.Lock()
        self._steps = 0

    async def follow(self) -> bool:
        """Takes in the next changes; False when there are none."""
        async with self._moving:
            position = await self._index.position()
            if position is None or not await self._can_go_on(position):
                await self._index.begin(await self._changes.latest(), await self._sources.tenants())
                return True
            notes = await self._changes.after(position, BATCH)
            if not notes:
                return False
            heads, notes = await self._heads(notes)
            tenants = _by_tenant(notes).items()
            updates = [await self._update(tenant_id, each, heads) for tenant_id, each in tenants]
            await self._index.apply(updates, since=position, sequence=notes[-1].sequence)
            return True

    async def build(self) -> bool:
        """Builds the index of one tenant anew; False when none needs it. One that cannot be built keeps no other up."""
        failed: AutomationError | None = None
        for tenant_id in await self._index.unbuilt():
            try:
                if await self._build(tenant_id):
                    return True
            except AutomationError as error:
                failed = error
        if failed is not None:
            raise failed
        return False

    async def _build(self, tenant_id: str) -> bool:
        sequence = await self._changes.latest()
        async with AsyncExitStack() as held, self._index.build(tenant_id, sequence) as sink:
            if sink is None:
                return False
            async for heads in self._everything(tenant_id):
                await sink.add(await self._reader.read(tenant_id, heads))
            await held.enter_async_context(self._moving)  # until the new index is in the place of the old
            await self._catch_up(tenant_id, sink, sequence)
        return True

    async def _can_go_on(self, position: int) -> bool:
        """Not when lines are forgotten that it has not seen, nor when the database is an older one than it was."""
        self._steps += 1
        if self._steps % CHECK_EVERY != 1:
            return True
        oldest = await self._changes.oldest()
        if oldest and position >= oldest - 1:
            return position <= await self._sources.last_number()
        return position == await self._sources.last_number()

    async def _catch_up(self, tenant_id: str, sink: Sink, sequence: int) -> None:
        """To where the index is with the others; from there on it goes with them."""
        position = await self._index.position() or 0
        while sequence < position:
            notes = [note for note in await self._changes.after(sequence, BATCH) if note.sequence <= position]
            if not notes:
                break
            sequence = notes[-1].sequence
            mine = [note for note in notes if note.tenant_id == tenant_id]
            while mine:
                heads, taken = await self._heads(mine)
                await sink.catch_up(await self._update(tenant_id, taken, heads), taken[-1].sequence)
                mine = mine[len(taken) :]

    async def _heads(self, notes: Sequence[ChangeNote]) -> tuple[Mapping[str, Head], Sequence[ChangeNote]]:
        """Of the documents that the first of the notes tell of, and those notes: as many as fit into memory."""
        heads: dict[str, Head] = {}
        for tenant_id, mine in _by_tenant(notes).items():
            ids = list(dict.fromkeys(note.document_id for note in mine if note.document_id))
            heads |= {head.document_id: head for head in await self._sources.heads(tenant_id, ids)}
        seen: set[str] = set()
        size = 0
        for at, note in enumerate(notes):
            head = heads.get(note.document_id)
            if head is not None and head.document_id not in seen:
                seen.add(head.document_id)
                size += head.size
                if at and size > BATCH_BYTES:
                    return heads, notes[:at]
        return heads, notes

    async def _update(self, tenant_id: str, notes: Sequence[ChangeNote], known: Mapping[str, Head]) -> Update:
        ids = list(dict.fromkeys(note.document_id for note in notes if note.document_id))
        heads = [known[each] for each in ids if each in known]
        there = {head.document_id for head in heads}
        numbers: list[int] = []
        for space in dict.fromkeys(note.space for note in notes if not note.document_id):
            kept = {number_of(each) for each in await self._sources.document_ids(tenant_id, space)}
            numbers += sorted(await self._index.numbers(tenant_id, space) - kept)
        pages: list[IndexedPage] = []
        for part in _parts(heads):
            pages += await self._reader.read(tenant_id, part)
        gone = [each for each in ids if each not in there]
        return Update(tenant_id=tenant_id, pages=pages, gone=gone, gone_numbers=numbers)

    async def _everything(self, tenant_id: str) -> AsyncIterator[Sequence[Head]]:
        spaces = await self._sources.spaces(tenant_id)
        after: tuple[str, str] | None = None
        while spaces:
            query = DocumentQuery(spaces=spaces, branch=MAIN, limit=PAGE_SIZE, after=after)
            heads = await self._documents.list(tenant_id, query)
            for part in _parts(heads):
                yield part
            if len(heads) < PAGE_SIZE:
                return
            after = (heads[-1].space, heads[-1].path)


def _by_tenant(notes: Sequence[ChangeNote]) -> Mapping[str, Sequence[ChangeNote]]:
    found: dict[str, list[ChangeNote]] = defaultdict(list)
    for note in notes:
        found[note.tenant_id].append(note)
    return found


def _parts(heads: Sequence[Head]) -> list[Sequence[Head]]:
    """Of bounded size, since their bodies are in memory together."""
    parts: list[list[Head]] = [[]]
    size = 0
    for head in heads:
        if parts[-1] and size + head.size > PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(head)
        size += head.size
    return [part for part in parts if part]
