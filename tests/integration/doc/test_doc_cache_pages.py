"""Pages are shown right and without delay, whatever becomes of Redis."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import redis.asyncio

from automesh.doc.v1 import document_service_pb2 as pb
from automesh.local.redis import EmbeddedRedis
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import in_process_mesh
from automesh.testing.postgres import PostgresForTests
from services.doc.clients.cache import RedisCache
from services.doc.engine.core import Outside
from services.doc.engine.engine import DocEngine
from services.doc.engine.options import Options
from tests.integration.doc.doc_house import Served

PATIENCE_S = 3.0


@asynccontextmanager
async def served(postgres: PostgresForTests, tmp_path: Path, redis_url: str) -> AsyncIterator[Served]:
    """As the house serves, with Redis."""
    sealer = Sealer(Keyring.generate())
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        RedisCache.open(redis_url, sealer) as cache,
    ):
        blobs = EncryptedBlobStore.open(tmp_path / "blobs", sealer)
        outside = Outside(database=database, sealer=sealer, blobs=blobs, fanout=LocalFanout(), cache=cache)
        engine = DocEngine(outside, Options(scratch=tmp_path / "doc"))
        async with engine.open() as bounds, in_process_mesh("doc", bounds) as mesh:
            yield Served(engine, mesh, tmp_path, database)


async def html(doc: Served, document_id: str) -> str:
    request = pb.RenderDocumentRequest(document_id=document_id)
    return (await (await doc.documents()).RenderDocument(request)).html


async def test_pages_are_right_with_redis_killed_and_back(postgres: PostgresForTests, tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", tmp_path / "run")
    await server.start()
    try:
        async with served(postgres, tmp_path, server.url) as doc:
            await doc.space()
            document = await doc.write(content="# Title\n\nfirst\n")
            assert ["first" in await html(doc, document.document_id) for _ in range(2)] == [True, True]
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            began = time.monotonic()
            for number in range(5):
                document = await doc.edit(document, f"# Title\n\nedit {number}\n")
                assert f"edit {number}" in await html(doc, document.document_id)
            assert time.monotonic() - began < PATIENCE_S
            await server.stop()
            await server.start()
            for number in range(5, 8):
                document = await doc.edit(document, f"# Title\n\nedit {number}\n")
                assert [f"edit {number}" in await html(doc, document.document_id) for _ in range(2)] == [True, True]
    finally:
        await server.stop()


async def test_pages_are_right_where_redis_never_was(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with served(postgres, tmp_path, f"unix://{tmp_path}/none.sock") as doc:
        await doc.space()
        document = await doc.write(content="# Title\n\nwords\n")
        assert ["words" in await html(doc, document.document_id) for _ in range(2)] == [True, True]


async def test_what_redis_keeps_says_nothing_of_a_page(postgres: PostgresForTests, tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", tmp_path / "run")
    await server.start()
    try:
        async with served(postgres, tmp_path, server.url) as doc:
            await doc.space()
            document = await doc.write("secret-plan.md", content="# Secret plan\n\nattack at dawn\n")
            await html(doc, document.document_id)

            client = redis.asyncio.Redis.from_url(server.url)
            keys = await client.keys("*")
            kept = [repr((key, await client.get(key))).lower() for key in keys]
            await client.aclose()
            assert len(keys) == 1
            assert not [each for each in kept if "secret" in each or "dawn" in each]
    finally:
        await server.stop()
