"""What every Fanout does: the one in a process and the one over Redis."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from automesh.storage.fanout import Fanout, LocalFanout
from automesh.storage.redis import RedisFanout

LIMIT_S = 10
SHORT_S = 0.05


@pytest.fixture(params=["local", "redis"])
async def fanout(request: pytest.FixtureRequest) -> AsyncIterator[Fanout]:
    if request.param == "local":
        yield LocalFanout()
        return
    url = request.getfixturevalue("redis_url")
    async with RedisFanout.open(url, prefix=f"{secrets.token_hex(4)}:", wait_s=LIMIT_S) as over_redis:
        yield over_redis


async def test_every_subscriber_of_a_channel_hears_each_message_in_order(fanout: Fanout) -> None:
    async with fanout.subscribe("news") as one, fanout.subscribe("news") as two:
        for number in range(20):
            await fanout.publish("news", b"%d" % number)
        for subscription in (one, two):
            assert [await subscription.get(LIMIT_S) for _ in range(20)] == [b"%d" % number for number in range(20)]


async def test_what_is_published_right_after_subscribing_is_heard(fanout: Fanout) -> None:
    for number in range(20):
        async with fanout.subscribe(f"news{number}") as subscription:
            await fanout.publish(f"news{number}", b"x")
            assert await subscription.get(LIMIT_S) == b"x"


async def test_a_message_stays_in_its_channel(fanout: Fanout) -> None:
    async with fanout.subscribe("news") as news, fanout.subscribe("weather") as weather:
        await fanout.publish("weather", b"rain")
        assert await weather.get(LIMIT_S) == b"rain"
        assert await news.get(SHORT_S) is None


async def test_a_message_without_a_subscriber_is_no_error(fanout: Fanout) -> None:
    await fanout.publish("nobody", b"x")
    assert fanout.healthy


async def test_bytes_arrive_as_they_were_sent(fanout: Fanout) -> None:
    async with fanout.subscribe("ünïcode *[a]") as subscription:
        for payload in (b"", bytes(range(256)), b"x" * 1_000_000):
            await fanout.publish("ünïcode *[a]", payload)
            assert await subscription.get(LIMIT_S) == payload


async def test_a_subscriber_that_left_does_not_disturb_the_others(fanout: Fanout) -> None:
    async with fanout.subscribe("news") as staying:
        async with fanout.subscribe("news"):
            pass
        await fanout.publish("news", b"x")
        assert await staying.get(LIMIT_S) == b"x"


async def test_a_channel_can_be_subscribed_again_after_all_left(fanout: Fanout) -> None:
    for _ in range(10):
        async with fanout.subscribe("news") as subscription:
            await fanout.publish("news", b"x")
            assert await subscription.get(LIMIT_S) == b"x"


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_to_read_the_truth(fanout: Fanout) -> None:
    async with fanout.subscribe("news", limit=3) as slow, fanout.subscribe("news") as quick:
        for number in range(5):
            await fanout.publish("news", b"%d" % number)
        assert [await quick.get(LIMIT_S) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        assert await slow.get(LIMIT_S) is None
        assert [await slow.get(LIMIT_S) for _ in range(3)] == [b"2", b"3", b"4"]
        assert slow.dropped == 2
        assert await slow.get(SHORT_S) is None


async def test_a_subscription_can_be_iterated(fanout: Fanout) -> None:
    heard = []
    async with fanout.subscribe("news") as subscription, asyncio.timeout(LIMIT_S):
        await fanout.publish("news", b"one")
        async for payload in subscription:
            heard.append(payload)
            if payload == b"two":
                break
            await fanout.publish("news", b"two")
    assert heard == [b"one", b"two"]


async def test_iterating_passes_over_gaps(fanout: Fanout) -> None:
    async with fanout.subscribe("news", limit=1) as subscription, asyncio.timeout(LIMIT_S):
        await fanout.publish("news", b"lost")
        await fanout.publish("news", b"kept")
        while not subscription.dropped:  # noqa: ASYNC110 counted, not signalled
            await asyncio.sleep(0)
        assert await anext(subscription) == b"kept"
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
        assert not waiting.done()
        await fanout.publish("news", b"next")
        assert await waiting == b"next"


async def test_many_watchers_come_and_go_at_once(fanout: Fanout) -> None:
    async def watch(channel: str) -> bytes | None:
        async with fanout.subscribe(channel) as subscription:
            await fanout.publish(channel, channel.encode())
            return await subscription.get(LIMIT_S)

    channels = [f"c{number % 7}" for number in range(60)]
    async with asyncio.timeout(LIMIT_S):
        heard = await asyncio.gather(*(watch(channel) for channel in channels))
    assert heard == [channel.encode() for channel in channels]
