"""The stores of the doc service, in memory and on PostgreSQL, and what tests of them do often."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from automesh.core.ids import new_id
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.documents.document import Change, Head, Write
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.documents.text import Text, read
from services.doc.domain.reviews.ports import ReviewStore
from services.doc.domain.spaces.ports import SpaceStore
from services.doc.domain.spaces.space import NewSpace
from services.doc.fakes.branches import FakeBranchStore
from services.doc.fakes.documents import FakeDocumentStore
from services.doc.fakes.library import FakeLibrary
from services.doc.fakes.reviews import FakeReviewStore
from services.doc.fakes.spaces import FakeSpaceStore
from services.doc.store.branches import SqlBranchStore
from services.doc.store.contents import SqlContents
from services.doc.store.documents import SqlDocumentStore
from services.doc.store.reviews import SqlReviewStore
from services.doc.store.spaces import SqlSpaceStore

TENANT, OTHER, SPACE = "acme", "globex", "handbook"
SHIFTS = (
    "UPDATE head SET deleted_at = deleted_at - $1::interval WHERE deleted_at IS NOT NULL",
    "UPDATE write_request SET created_at = created_at - $1::interval",
)


@dataclass
class House:
    """The stores, with a handle on their time."""

    spaces: SpaceStore
    branches: BranchStore
    documents: DocumentStore
    reviews: ReviewStore
    advance: Callable[[float], Awaitable[None]]

    async def space(self, space: str = SPACE, tenant_id: str = TENANT, **fields: Any) -> None:
        await self.spaces.add(tenant_id, NewSpace(space=space, **fields), "root")

    async def create(self, path: str = "start.md", content: str = "# Start\n", **changes: Any) -> Head:
        """A new document."""
        return await self.write(first(path, content, **changes))

    async def edit(self, head: Head, content: str, **changes: Any) -> Head:
        """On top of the head."""
        return await self.write(following(head, content, **changes))

    async def delete(self, head: Head) -> Head:
        content = await self.documents.content(head.tenant_id, head.sha256)
        return await self.write(following(head, content, change=Change.DELETE, deleted=True))

    async def rename(self, head: Head, path: str) -> Head:
        content = await self.documents.content(head.tenant_id, head.sha256)
        return await self.write(following(head, content, change=Change.RENAME, path=path))

    async def write(self, write: Write) -> Head:
        return await self.documents.write(write, text(write))

    async def write_all(self, *writes: Write) -> Sequence[Head]:
        return await self.documents.write_all([(write, text(write)) for write in writes])

    async def content(self, head: Head) -> str:
        """What the document says now."""
        return (await self.documents.document(head.tenant_id, head.document_id, head.branch)).content


def text(write: Write) -> Text:
    return read(write.content, write.path, max_bytes=4 * 1024 * 1024)


def first(path: str = "start.md", content: str = "# Start\n", **changes: Any) -> Write:
    """The write that begins a document."""
    told: dict[str, Any] = {
        "tenant_id": TENANT, "space": SPACE, "branch": "main", "document_id": new_id("doc"),
        "revision_id": new_id("rev"), "expected": "", "change": Change.CREATE, "path": path, "content": content,
        "author": "ann", "message": "created",
    }  # fmt: skip
    return Write(**(told | changes))


def following(head: Head, content: str, **changes: Any) -> Write:
    """The write of a revision on top of the head."""
    told: dict[str, Any] = {
        "tenant_id": head.tenant_id, "space": head.space, "branch": head.branch, "document_id": head.document_id,
        "revision_id": new_id("rev"), "expected": head.revision_id, "change": Change.EDIT, "path": head.path,
        "content": content, "author": "bob", "message": "changed",
    }  # fmt: skip
    return Write(**(told | changes))


def fake_house() -> House:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(microseconds=1)
        return now

    async def advance(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    library = FakeLibrary(clock)
    documents, branches = FakeDocumentStore(library), FakeBranchStore(library)
    return House(FakeSpaceStore(library), branches, documents, FakeReviewStore(library, documents, branches), advance)


def sql_house(database: Database, sealer: Sealer | None = None) -> House:
    sealer = sealer or Sealer(Keyring.generate())

    async def advance(seconds: float) -> None:
        for statement in SHIFTS:
            await database.execute(statement, timedelta(seconds=seconds), tenant=ENGINE)

    documents = SqlDocumentStore(database, SqlContents(database, sealer))
    return House(
        SqlSpaceStore(database),
        SqlBranchStore(database),
        documents,
        SqlReviewStore(database, sealer, documents.writes),
        advance,
    )


@asynccontextmanager
async def doc_database(postgres: PostgresForTests) -> AsyncIterator[Database]:
    """An empty database of the doc service."""
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        yield database
