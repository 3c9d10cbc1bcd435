"""A doc service of this process, filled with a corpus, and the same pages beside it in tables as a wiki keeps them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncpg
import grpc

from automesh.core.ids import new_id
from automesh.doc.v1 import document_service_pb2_grpc, search_service_pb2, search_service_pb2_grpc
from automesh.local.postgres import EmbeddedPostgres
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.migrations import migrate
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from bench._docs_search_corpus import Page
from services.doc.domain.documents.document import Change, Write
from services.doc.domain.documents.path import document_path
from services.doc.domain.documents.text import read
from services.doc.domain.spaces.space import MAIN, NewSpace
from services.doc.engine.core import Outside
from services.doc.engine.engine import DocEngine
from services.doc.engine.options import Options

TENANT, USER = "default", "ann"
MIB = 1024 * 1024
AT_ONCE = 100
UNBUILT = "SELECT count(*) FROM search_build"
PERMISSIONS = ("doc.read", "doc.write", "doc.delete")


@dataclass(frozen=True, slots=True)
class House:
    """What there is to ask."""

    engine: DocEngine
    mesh: InProcessMesh
    dsn: str

    async def searching(self) -> search_service_pb2_grpc.SearchServiceAsyncStub:
        """As a person of the tenant."""
        return search_service_pb2_grpc.SearchServiceStub(await self._channel())

    async def writing(self) -> document_service_pb2_grpc.DocumentServiceAsyncStub:
        """As a person of the tenant."""
        return document_service_pb2_grpc.DocumentServiceStub(await self._channel())

    async def caught_up(self, *, limit_s: float = 600.0) -> search_service_pb2.GetIndexStatusResponse:
        """Waits until everything can be found."""
        stub = await self.searching()
        async with asyncio.timeout(limit_s):
            while True:
                status = await stub.GetIndexStatus(search_service_pb2.GetIndexStatusRequest())
                if status.sequence >= status.latest_sequence and not status.rebuilding:
                    return status
                await asyncio.sleep(0.05)

    async def at_rest(self, *, limit_s: float = 600.0) -> None:
        """Waits until the index in the database that stands by is built as well."""
        async with asyncio.timeout(limit_s):
            while await self.engine.core.outside.database.fetchval(UNBUILT, tenant=ENGINE):  # noqa: ASYNC110 # nobody tells
                await asyncio.sleep(0.2)

    async def _channel(self) -> grpc.aio.Channel:
        return await self.mesh.signed_in(PERMISSIONS, subject=f"user_{USER}", name=USER, tenant_id=TENANT)


@asynccontextmanager
async def database(folder: Path) -> AsyncGenerator[str]:
    """A server with the settings of the local stack."""
    server = EmbeddedPostgres(folder / "postgres", folder / "run")
    dsn = await server.start()
    try:
        yield dsn
    finally:
        await server.stop()


@asynccontextmanager
async def serving(
    dsn: str, folder: Path, sealer: Sealer, engine: Literal["tantivy", "postgres"] = "tantivy"
) -> AsyncGenerator[House]:
    """A doc service with an index of its own below `folder`."""
    async with Database.open(dsn, schema="doc") as opened:
        await migrate(opened, "services.doc.migrations")
        outside = Outside(
            database=opened,
            sealer=sealer,
            blobs=EncryptedBlobStore.open(folder / "blobs", sealer),
            fanout=LocalFanout(),
        )
        made = DocEngine(outside, Options(scratch=folder / "scratch", search_engine=engine))
        async with made.open() as bounds, in_process_mesh("doc", bounds) as mesh:
            yield House(made, mesh, dsn)


async def fill(dsn: str, folder: Path, pages: Sequence[Page]) -> Sealer:
    """Writes all pages, while nobody indexes them; the keys they are sealed with."""
    sealer = Sealer(Keyring.generate())
    async with Database.open(dsn, schema="doc") as opened:
        await migrate(opened, "services.doc.migrations")
        outside = Outside(
            database=opened,
            sealer=sealer,
            blobs=EncryptedBlobStore.open(folder / "blobs", sealer),
            fanout=LocalFanout(),
        )
        core = DocEngine(outside, Options(scratch=folder / "unused")).core
        for space in sorted({page.space for page in pages}):
            await core.spaces.add(TENANT, NewSpace(space=space), USER)
        for start in range(0, len(pages), AT_ONCE):
            writes = [_write(page) for page in pages[start : start + AT_ONCE]]
            texts = [read(write.content, write.path, max_bytes=2 * MIB) for write in writes]
            await core.documents.write_all(list(zip(writes, texts, strict=True)))
    return sealer


def _write(page: Page) -> Write:
    return Write(
        tenant_id=TENANT,
        space=page.space,
        branch=MAIN,
        document_id=new_id("doc"),
        revision_id=new_id("rev"),
        expected="",
        change=Change.CREATE,
        path=document_path(page.path),
        content=page.content,
        author=USER,
        message="made",
    )


class WikiSearch:
    """What wikis ship: every word of the query in title or body, ranked by ts_rank_cd."""

    NEW = """
        INSERT INTO wiki.page (space, path, title, words)
        VALUES ($1, $2, $3, setweight(to_tsvector('english', $3), 'A') || to_tsvector('english', $4))
    """
    FIND = """
        SELECT space, path FROM wiki.page, websearch_to_tsquery('english', $1) AS query
         WHERE words @@ query ORDER BY ts_rank_cd(words, query) DESC LIMIT 10
    """

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def made(cls, dsn: str, pages: Sequence[Page]) -> AsyncGenerator[tuple[WikiSearch, float]]:
        """With the seconds it took."""
        connection = await asyncpg.connect(dsn)
        began = time.monotonic()
        await connection.execute("CREATE SCHEMA wiki")
        await connection.execute("CREATE TABLE wiki.page (space text, path text, title text, words tsvector)")
        rows = [(page.space, page.path, page.title, page.content) for page in pages]
        await connection.executemany(cls.NEW, rows)
        await connection.execute("CREATE INDEX ON wiki.page USING gin (words)")
        await connection.execute("ANALYZE wiki.page")
        seconds = time.monotonic() - began
        try:
            yield cls(connection), seconds
        finally:
            await connection.execute("DROP SCHEMA wiki CASCADE")
            await connection.close()

    async def find(self, query: str) -> list[tuple[str, str]]:
        """The first ten."""
        return [(row["space"], row["path"]) for row in await self._connection.fetch(self.FIND, query)]


def by_space(pages: Sequence[Page]) -> dict[str, list[Page]]:
    """In their order."""
    found: dict[str, list[Page]] = defaultdict(list)
    for page in pages:
        found[page.space].append(page)
    return found
