"""Live fan-out when Redis goes, is absent, or hangs: nothing raises, and it comes back by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis.asyncio

from automesh.local.redis import EmbeddedRedis
from automesh.storage.redis import RedisFanout

LIMIT_S = 20
SHORT_S = 0.05


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not fact():  # noqa: ASYNC110 the fact sends no signal; the wait has a limit
            await asyncio.sleep(0.005)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "redis", tmp_path / "run")
    await server.start()
    yield server
    await server.stop()


async def test_two_processes_hear_each_other(server: EmbeddedRedis) -> None:
    async with RedisFanout.open(server.url) as one, RedisFanout.open(server.url) as two:
        async with one.subscribe("news") as subscription:
            await two.publish("news", b"x")
            assert await subscription.get(LIMIT_S) == b"x"


async def test_stacks_that_share_a_redis_do_not_hear_each_other(server: EmbeddedRedis) -> None:
    async with RedisFanout.open(server.url, prefix="a:") as one, RedisFanout.open(server.url, prefix="b:") as two:
        async with one.subscribe("news") as subscription:
            await two.publish("news", b"x")
            assert await subscription.get(SHORT_S) is None


async def test_without_redis_publishing_and_subscribing_go_on_unheard(tmp_path: Path) -> None:
    async with RedisFanout.open(f"unix://{tmp_path}/no.sock", wait_s=SHORT_S) as fanout:
        assert not fanout.healthy
        async with fanout.subscribe("news") as subscription:
            await fanout.publish("news", b"x")
            assert await subscription.get(SHORT_S) is None
        assert fanout.lost == 1


async def test_after_a_restart_old_subscriptions_are_told_and_hear_again(server: EmbeddedRedis) -> None:
    async with RedisFanout.open(server.url) as fanout, fanout.subscribe("news") as subscription:
        await server.stop()
        await until(lambda: not fanout.healthy)
        async with fanout.subscribe("weather") as made_meanwhile:
            await fanout.publish("news", b"lost")
            await server.start()
            await until(lambda: fanout.healthy)
            assert await subscription.get(LIMIT_S) is None
            assert await made_meanwhile.get(LIMIT_S) is None
            await fanout.publish("news", b"x")
            await fanout.publish("weather", b"y")
            assert await subscription.get(LIMIT_S) == b"x"
            assert await made_meanwhile.get(LIMIT_S) == b"y"
    assert fanout.lost == 1


async def test_a_killed_redis_is_noticed_and_found_again(server: EmbeddedRedis) -> None:
    async with RedisFanout.open(server.url) as fanout, fanout.subscribe("news") as subscription:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: not fanout.healthy)
        await server.stop()
        await server.start()
        await until(lambda: fanout.healthy)
        assert await subscription.get(LIMIT_S) is None
        await fanout.publish("news", b"x")
        assert await subscription.get(LIMIT_S) == b"x"


async def test_a_redis_that_hangs_costs_one_time_limit_and_then_nothing(server: EmbeddedRedis) -> None:
    async with RedisFanout.open(server.url, timeout_s=0.2) as fanout:
        await fanout.publish("warm", b"up")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(LIMIT_S):
                for _ in range(1000):
                    await fanout.publish("news", b"x")
                async with fanout.subscribe("news") as subscription:
                    assert await subscription.get(SHORT_S) is None
            assert not fanout.healthy
            assert fanout.lost == 1000
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await until(lambda: fanout.healthy)


async def test_one_process_has_one_subscriber_connection_however_many_watch(server: EmbeddedRedis) -> None:
    client = redis.asyncio.Redis.from_url(server.url, protocol=2)
    async with RedisFanout.open(server.url) as fanout:
        async with fanout.subscribe("a"), fanout.subscribe("b"), fanout.subscribe("b"), fanout.subscribe("c"):
            clients = await client.client_list(_type="pubsub")
            assert len(clients) == 1
            assert clients[0]["sub"] == "4"  # and "hello"
        await until(lambda: fanout.healthy)
        assert (await client.client_list(_type="pubsub"))[0]["sub"] == "1"
    await client.aclose()
