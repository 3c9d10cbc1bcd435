"""The two search indexes, as the contract suite uses them: fed with documents that a real store holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automesh.core.ids import new_id
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from services.doc.domain.documents.document import Change, Head, Write
from services.doc.domain.documents.text import read
from services.doc.domain.search.following import IndexFollower, PageReader
from services.doc.domain.search.plan import Filters, Hit
from services.doc.domain.search.planner import Corpus, Planner
from services.doc.domain.search.ports import Embeddings, SearchIndex
from services.doc.domain.search.question import parse
from services.doc.domain.spaces.space import MAIN, NewSpace, Visibility
from services.doc.search.tantivy_index import TantivyIndex
from services.doc.store.changes import SqlChanges
from services.doc.store.contents import SqlContents
from services.doc.store.documents import SqlDocumentStore
from services.doc.store.search_index import PostgresIndex
from services.doc.store.search_sources import SqlSources
from services.doc.store.spaces import SqlSpaceStore

TENANT, OTHER = "acme", "globex"
ENGINES = ("tantivy", "postgres")


@dataclass
class Searched:
    """An index, the documents that it follows, and how to ask it."""

    index: SearchIndex
    follower: IndexFollower
    documents: SqlDocumentStore
    spaces: SqlSpaceStore
    database: Database
    sealer: Sealer
    embeddings: Embeddings | None = None
    heads: dict[str, Head] = field(default_factory=dict)

    async def space(self, space: str = "docs", tenant_id: str = TENANT) -> None:
        await self.spaces.add(tenant_id, NewSpace(space=space, visibility=Visibility.TENANT), "ann")

    async def write(
        self,
        path: str,
        content: str,
        *,
        space: str = "docs",
        tenant_id: str = TENANT,
        author: str = "ann",
        **fields: Any,
    ) -> Head:
        """A new document, or a new revision of the one at that path."""
        before = self.heads.get(f"{tenant_id}/{space}/{path}")
        write = Write(
            tenant_id=tenant_id,
            space=space,
            branch=MAIN,
            document_id=before.document_id if before else new_id("doc"),
            revision_id=new_id("rev"),
            expected=before.revision_id if before else "",
            change=fields.pop("change", Change.EDIT if before else Change.CREATE),
            path=fields.pop("to", path),
            content=content,
            author=author,
            message="written",
            **fields,
        )
        head = await self.documents.write(write, read(content, write.path, max_bytes=1 << 21))
        self.heads[f"{tenant_id}/{space}/{write.path}"] = head
        return head

    async def follow(self) -> None:
        """Until nothing is left to do."""
        while await self.follower.follow() or await self.follower.build():
            pass

    async def find(
        self, query: str, *, spaces: Sequence[str] = ("docs",), tenant_id: str = TENANT, **filters: Any
    ) -> Sequence[Hit]:
        return (await self.found(query, spaces=spaces, tenant_id=tenant_id, **filters))[0]

    async def found(
        self,
        query: str,
        *,
        spaces: Sequence[str] = ("docs",),
        tenant_id: str = TENANT,
        offset: int = 0,
        limit: int = 10,
        **filters: Any,
    ) -> tuple[Sequence[Hit], dict[str, str]]:
        """Hits, and what was corrected."""
        corpus = Corpus(self.index, tenant_id, spaces)
        asked = Filters(spaces=tuple(spaces), **filters)
        plan, corrections, _ = await Planner(self.embeddings).plan(corpus, parse(query), asked)
        return await self.index.search(tenant_id, plan, offset=offset, limit=limit), dict(corrections)

    async def paths(self, query: str, **asked: Any) -> list[str]:
        return [hit.path for hit in await self.find(query, **asked)]


@asynccontextmanager
async def searched(
    engine: str, database: Database, folder: Path, sealer: Sealer | None = None
) -> AsyncIterator[Searched]:
    """An index of that engine; the documents are in PostgreSQL for both."""
    sealer = sealer or Sealer(Keyring.generate())
    documents = SqlDocumentStore(database, SqlContents(database, sealer))
    async with AsyncExitStack() as stack:
        index: SearchIndex
        if engine == "tantivy":
            index = await stack.enter_async_context(TantivyIndex.open(folder, lambda: None))
        else:
            index = PostgresIndex(database, sealer)
        follower = follower_of(index, database, documents)
        yield Searched(index, follower, documents, SqlSpaceStore(database), database, sealer)


def follower_of(index: SearchIndex, database: Database, documents: SqlDocumentStore) -> IndexFollower:
    return IndexFollower(index, SqlChanges(database), documents, SqlSources(database), PageReader(documents))
