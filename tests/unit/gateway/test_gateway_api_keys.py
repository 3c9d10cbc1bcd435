"""API keys: exchanged once, remembered until shortly before the token ends, refusals remembered for a moment."""

import asyncio

import pytest

from automesh.core.errors import Unauthenticated, Unavailable
from gateway.api_keys import AccessToken, ApiKeys


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeExchange:
    """Knows keys that begin with am_good."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, api_key: str) -> AccessToken:
        self.asked.append(api_key)
        self.was_asked.set()
        await self.may_answer.wait()
        if self.away:
            raise Unavailable("auth is away")
        if not api_key.startswith("am_good"):
            raise Unauthenticated("no such key")
        return AccessToken(f"token{len(self.asked)}", 300)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange() -> FakeExchange:
    return FakeExchange()


@pytest.fixture
def keys(exchange: FakeExchange, clock: Clock) -> ApiKeys:
    return ApiKeys(exchange, longest_s=1000, size=2, margin_s=30, failure_s=1, clock=clock)


@pytest.mark.parametrize("header", ["", "Bearer eyJ.a.b", "Basic am_x", "Bearer ", "am_good"])
async def test_other_credentials_pass_unchanged(keys: ApiKeys, exchange: FakeExchange, header: str) -> None:
    assert await keys.authorization(header) == header
    assert exchange.asked == []


async def test_a_key_is_exchanged_once_until_shortly_before_its_token_ends(
    keys: ApiKeys, exchange: FakeExchange, clock: Clock
) -> None:
    assert await keys.authorization("Bearer am_good") == "Bearer token1"
    clock.now = 269
    assert await keys.authorization("bearer  am_good ") == "Bearer token1"
    clock.now = 271
    assert await keys.authorization("Bearer am_good") == "Bearer token2"
    assert exchange.asked == ["am_good", "am_good"]


async def test_a_key_that_was_revoked_opens_nothing_after_the_time_the_operator_allows(
    exchange: FakeExchange, clock: Clock
) -> None:
    keys = ApiKeys(exchange, longest_s=60, clock=clock)
    await keys.authorization("Bearer am_good")
    clock.now = 61
    await keys.authorization("Bearer am_good")
    assert len(exchange.asked) == 2


async def test_a_bad_key_is_refused_and_not_asked_about_again_at_once(
    keys: ApiKeys, exchange: FakeExchange, clock: Clock
) -> None:
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="no such key"):
            await keys.authorization("Bearer am_bad")
    assert len(exchange.asked) == 1
    clock.now = 1.1
    with pytest.raises(Unauthenticated):
        await keys.authorization("Bearer am_bad")
    assert len(exchange.asked) == 2


async def test_an_absent_auth_is_not_remembered(keys: ApiKeys, exchange: FakeExchange) -> None:
    exchange.away = True
    with pytest.raises(Unavailable):
        await keys.authorization("Bearer am_good")
    exchange.away = False
    assert await keys.authorization("Bearer am_good") == "Bearer token2"


async def test_requests_that_come_together_ask_once_and_one_that_leaves_harms_no_other(
    keys: ApiKeys, exchange: FakeExchange
) -> None:
    exchange.may_answer.clear()
    asking = [asyncio.create_task(keys.authorization("Bearer am_good")) for _ in range(3)]
    async with asyncio.timeout(5):
        await exchange.was_asked.wait()
        asking[0].cancel()
        exchange.may_answer.set()
        results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == ["Bearer token1"] * 2
    assert len(exchange.asked) == 1


async def test_the_least_used_key_is_forgotten_first(keys: ApiKeys, exchange: FakeExchange) -> None:
    for key in ("am_good1", "am_good2", "am_good1", "am_good3", "am_good1"):
        await keys.authorization(f"Bearer {key}")
    assert exchange.asked == ["am_good1", "am_good2", "am_good3"]
    await keys.authorization("Bearer am_good2")
    assert exchange.asked[-1] == "am_good2"


async def test_closing_ends_what_is_being_asked(keys: ApiKeys, exchange: FakeExchange) -> None:
    exchange.may_answer.clear()
    asking = asyncio.create_task(keys.authorization("Bearer am_good"))
    async with asyncio.timeout(5):
        await exchange.was_asked.wait()
        await keys.close()
        with pytest.raises(asyncio.CancelledError):
            await asking
