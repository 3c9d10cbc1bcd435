"""The cache in a real Redis that is gone, killed, hangs, and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
import redis.asyncio

from automesh.local.redis import EmbeddedRedis
from automesh.storage.sealing import Keyring, Sealer
from services.doc.clients.cache import RedisCache
from services.doc.domain.caching.ports import MAX_VALUE
from services.doc.domain.caching.rendered import CachedRenderer
from services.doc.domain.markdown.renderer import Resolve, nowhere

LIMIT_S = 20
PATIENCE_S = 1.0  # of a test on a busy machine; a call's own limit is a twentieth of a second


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(Keyring.generate())


class Upper:
    """A Renderer."""

    def __init__(self) -> None:
        self.made = 0

    def render(self, content: str, *, resolve: Resolve) -> str:
        self.made += 1
        return content.upper()


async def until_kept(cache: RedisCache) -> None:
    """Until Redis takes things again: the breaker tries it by itself."""
    async with asyncio.timeout(LIMIT_S):
        while await cache.get("probe") != b"x":
            await cache.set("probe", b"x", ttl_s=60)
            await asyncio.sleep(0.02)  # the cache sends no signal; the wait has a limit


async def test_values_come_back_to_every_replica_and_expire(redis_server: EmbeddedRedis, sealer: Sealer) -> None:
    async with RedisCache.open(redis_server.url, sealer) as one, RedisCache.open(redis_server.url, sealer) as two:
        await one.set("a", b"value", ttl_s=60)
        assert await two.get("a") == b"value"
        await two.delete("a")
        assert await one.get("a") is None
        await one.set("b", b"x" * (MAX_VALUE + 1), ttl_s=60)
        assert await one.get("b") is None
        await one.set("c", b"short", ttl_s=0.001)
        async with asyncio.timeout(LIMIT_S):
            while await two.get("c") is not None:
                pass  # each round is a call


async def test_what_lies_in_redis_is_sealed_for_its_key(redis_server: EmbeddedRedis, sealer: Sealer) -> None:
    client = redis.asyncio.Redis.from_url(redis_server.url)
    async with RedisCache.open(redis_server.url, sealer) as cache:
        await cache.set("a", b"words of a document", ttl_s=60)
        kept = await client.get("automesh:doc:cache:a")
        assert isinstance(kept, bytes)
        assert b"words" not in kept
        await client.set("automesh:doc:cache:b", kept)
        await client.set("automesh:doc:cache:c", b"rubbish")
        assert await cache.get("b") is None
        assert await cache.get("c") is None
        assert await client.exists("automesh:doc:cache:c") == 0  # and it does not lie about
    async with RedisCache.open(redis_server.url, Sealer(Keyring.generate())) as stranger:
        assert await stranger.get("a") is None
    await client.aclose()


async def test_without_redis_there_is_nothing_and_no_error(tmp_path: Path, sealer: Sealer) -> None:
    async with RedisCache.open(f"unix://{tmp_path}/no.sock", sealer) as cache:
        for _ in range(20):
            await cache.set("a", b"x", ttl_s=60)
            assert await cache.get("a") is None
            await cache.delete("a")


async def test_a_killed_redis_is_a_miss_and_found_again(redis_server: EmbeddedRedis, sealer: Sealer) -> None:
    renderer = Upper()
    async with RedisCache.open(redis_server.url, sealer) as cache:
        pages = CachedRenderer(renderer, cache, version="1")
        for _ in range(2):
            assert await pages.render("text", scope="s", resolve=nowhere) == "TEXT"
        assert renderer.made == 1
        assert redis_server.pid is not None
        os.kill(redis_server.pid, signal.SIGKILL)
        began = time.monotonic()
        for _ in range(10):
            assert await pages.render("text", scope="s", resolve=nowhere) == "TEXT"
        assert time.monotonic() - began < PATIENCE_S
        assert renderer.made == 11
        await redis_server.stop()
        await redis_server.start()
        await until_kept(cache)
        await pages.render("text", scope="s", resolve=nowhere)
        made = renderer.made
        assert await pages.render("text", scope="s", resolve=nowhere) == "TEXT"
        assert renderer.made == made


async def test_a_redis_that_hangs_holds_nobody_up(redis_server: EmbeddedRedis, sealer: Sealer) -> None:
    async with RedisCache.open(redis_server.url, sealer) as cache:
        await until_kept(cache)
        assert redis_server.pid is not None
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            found = await asyncio.gather(*(cache.get("probe") for _ in range(200)))
            assert time.monotonic() - began < PATIENCE_S
            assert set(found) == {None}
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)
        await until_kept(cache)


async def test_many_at_once_get_what_is_there(redis_server: EmbeddedRedis, sealer: Sealer) -> None:
    async with RedisCache.open(redis_server.url, sealer, timeout_s=LIMIT_S) as cache:
        await until_kept(cache)
        assert set(await asyncio.gather(*(cache.get("probe") for _ in range(300)))) == {b"x"}
