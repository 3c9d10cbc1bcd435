"""Replicas give each other their answers through a real Redis: never an old one, and nobody waits for a Redis that is
slow or gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from automesh.doc.v1 import space_pb2
from automesh.doc.v1 import space_service_pb2 as space_pb
from automesh.local.redis import EmbeddedRedis
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.clients.cache import RedisCache
from services.doc.domain.search.plan import Hit, Plan
from services.doc.search.tantivy_index import TantivyIndex
from tests.integration.doc.doc_house import Served, serving
from tests.integration.doc.doc_house_search import caught_up, paths, search, until

PATIENCE_S = 3.0


@pytest.fixture
async def replicas(
    postgres: PostgresForTests, tmp_path: Path, redis_server: EmbeddedRedis
) -> AsyncIterator[tuple[Served, Served]]:
    """Two, with the space "handbook"."""
    sealer = Sealer(Keyring.generate())
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        replica(database, sealer, tmp_path / "one", redis_server.url) as one,
        replica(database, sealer, tmp_path / "two", redis_server.url) as two,
    ):
        await one.space()
        yield one, two


@asynccontextmanager
async def replica(database: Database, sealer: Sealer, folder: Path, redis_url: str) -> AsyncIterator[Served]:
    async with (
        RedisCache.open(redis_url, sealer) as cache,
        serving(database, sealer, folder, cache=cache) as served,
    ):
        yield served


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What the indexes of this process were asked, for all that answers from caches spared them."""
    asked: list[Plan] = []
    real = TantivyIndex.search

    async def counted(index: TantivyIndex, tenant_id: str, plan: Plan, *, offset: int, limit: int) -> Sequence[Hit]:
        asked.append(plan)
        return await real(index, tenant_id, plan, offset=offset, limit=limit)

    monkeypatch.setattr(TantivyIndex, "search", counted)
    return asked


async def both_caught_up(replicas: tuple[Served, Served]) -> None:
    for each in replicas:
        await caught_up(each)


async def spared(doc: Served, query: str, searches: list[Plan]) -> None:
    """Until that replica, which has other answers of this time to learn from, takes this one from elsewhere."""

    async def taken() -> bool:
        await paths(doc, f"stripes {len(searches)}")
        before = len(searches)
        # another page size is another question: nothing of it is remembered here yet
        await search(doc, query, page_size=7)
        return len(searches) == before

    await until(taken)


async def test_one_replica_takes_the_answer_of_the_other_until_a_document_changes(
    replicas: tuple[Served, Served], searches: list[Plan]
) -> None:
    one, two = replicas
    document = await one.write("a.md", "# A\n\nzebra `stripes`\n")
    await both_caught_up(replicas)
    first = await search(one, "zebra", page_size=7)
    await spared(two, "zebra", searches)
    again = await search(two, "zebra", page_size=7)
    assert list(again.results) == list(first.results)
    assert again.search_id != first.search_id

    for turn in range(5):
        document = await one.edit(document, f"# A\n\nzebra number{turn}\n")
        await both_caught_up(replicas)
        for doc in (one, two, one, two):
            (result,) = (await search(doc, "zebra", page_size=7)).results
            assert f"number{turn}" in result.snippet


async def test_what_one_may_find_is_never_shown_to_another(
    replicas: tuple[Served, Served], searches: list[Plan]
) -> None:
    one, two = replicas
    ann = space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_WRITER)
    await one.space("board", visibility=space_pb2.VISIBILITY_MEMBERS, members=[ann])
    await one.write("closed.md", "# Closed\n\nmerger\n", space="board")
    await both_caught_up(replicas)
    assert await paths(one, "merger", page_size=7) == ["closed.md"]
    await spared(two, "merger", searches)

    assert await paths(two, "merger", user="bob", page_size=7) == []
    spaces = await one.spaces()
    board = (await spaces.GetSpace(space_pb.GetSpaceRequest(space="board"))).space
    del board.members[:]
    await spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=board))
    for doc in replicas:
        assert await paths(doc, "merger", page_size=7) == []


async def test_answers_are_right_with_redis_killed_hanging_and_back(
    replicas: tuple[Served, Served], redis_server: EmbeddedRedis, searches: list[Plan]
) -> None:
    one, two = replicas
    document = await one.write("a.md", "# A\n\nzebra\n")
    await both_caught_up(replicas)
    await paths(one, "zebra", page_size=7)
    await spared(two, "zebra", searches)
    assert redis_server.pid is not None
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        await asked_twenty_times(two)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    os.kill(redis_server.pid, signal.SIGKILL)
    await asked_twenty_times(two)
    await one.edit(document, "# A\n\nzebra and okapi\n")
    await both_caught_up(replicas)
    for doc in replicas:
        assert await paths(doc, "okapi") == ["a.md"]

    await redis_server.stop()
    await redis_server.start()
    await search(one, "zebra", page_size=7)

    async def back() -> bool:
        await search(one, f"zebra {len(searches)}", page_size=7)
        return await kept(redis_server) > 0

    await until(back)
    assert "okapi" in (await search(two, "zebra", page_size=7)).results[0].snippet


async def test_what_redis_keeps_says_nothing_of_questions_and_answers(
    replicas: tuple[Served, Served], redis_server: EmbeddedRedis, searches: list[Plan]
) -> None:
    one, _ = replicas
    await one.write("secret-plan.md", "# Secret plan\n\nattack at dawn\n")
    await caught_up(one)
    await search(one, "attack at dawn")
    await until(lambda: kept_any(redis_server))

    client = redis.asyncio.Redis.from_url(redis_server.url)
    lines = [repr((key, await client.get(key), await client.ttl(key))).lower() for key in await client.keys("*")]
    await client.aclose()
    assert lines
    assert not [each for each in lines if "secret" in each or "dawn" in each or "acme" in each]
    assert not [each for each in lines if each.endswith("-1)")]  # all of it goes by itself


async def asked_twenty_times(doc: Served) -> None:
    """Each another question, so that each looks for what others have found."""
    began = time.monotonic()
    for number in range(20):
        assert await paths(doc, f"zebra {number}", page_size=7) == ["a.md"]
    assert time.monotonic() - began < PATIENCE_S


async def kept(redis_server: EmbeddedRedis) -> int:
    client = redis.asyncio.Redis.from_url(redis_server.url)
    try:
        return len(await client.keys("*:answer:*"))
    finally:
        await client.aclose()


async def kept_any(redis_server: EmbeddedRedis) -> bool:
    return await kept(redis_server) > 0
