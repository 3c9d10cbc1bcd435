"""Guessers are slowed down, per account and per source, and never locked out for good."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import Exhausted
from services.auth.domain.lockout import Failures, Lockout, LockoutPolicy, TooManyFailures
from services.auth.domain.turnstile import Turnstile
from services.auth.fakes.things import FakeClock, FakeFailureStore

S = timedelta(seconds=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = LockoutPolicy(free=3)
LIMIT_S = 20


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 0), (2, 0), (3, 1), (4, 2), (5, 4), (12, 512), (13, 900), (99999, 900)]
)
def test_each_further_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(count: int, seconds: int) -> None:
    assert POLICY.wait(Failures(count, NOW), NOW) == seconds * S


def test_the_wait_ends_by_itself() -> None:
    assert POLICY.wait(Failures(5, NOW), NOW + 3 * S) == S
    assert POLICY.wait(Failures(5, NOW), NOW + 4 * S) == 0 * S


def test_a_clock_that_jumped_back_does_not_lock_for_longer_than_the_longest_wait() -> None:
    assert POLICY.wait(Failures(4, NOW + timedelta(days=365)), NOW) == POLICY.longest


def test_failures_of_long_ago_do_not_count() -> None:
    assert POLICY.after_failure(Failures(9, NOW), NOW + timedelta(minutes=59)).count == 10
    assert POLICY.after_failure(Failures(9, NOW), NOW + timedelta(minutes=61)).count == 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> FakeFailureStore:
    return FakeFailureStore()


@pytest.fixture
def lockout(store: FakeFailureStore, clock: FakeClock) -> Lockout:
    return Lockout(store, clock, account=LockoutPolicy(free=3), source=LockoutPolicy(free=6))


async def fail(lockout: Lockout, account: str, source: str, times: int) -> None:
    for _ in range(times):
        await lockout.failed(account, source)


async def test_an_account_waits_wherever_the_guesses_come_from(lockout: Lockout) -> None:
    for number in range(3):
        await lockout.failed("ann", f"host{number}")
    with pytest.raises(TooManyFailures) as caught:
        await lockout.admit("ann", "elsewhere")
    assert caught.value.retry_after == S
    await lockout.admit("bob", "elsewhere")


async def test_a_source_waits_whichever_account_it_tries(lockout: Lockout) -> None:
    for number in range(6):
        await lockout.failed(f"user{number}", "host")
    with pytest.raises(TooManyFailures):
        await lockout.admit("somebody-else", "host")
    await lockout.admit("somebody-else", "other-host")


async def test_an_empty_source_or_account_is_not_counted(lockout: Lockout) -> None:
    await fail(lockout, "", "", 50)
    await lockout.admit("", "")
    await lockout.admit("ann", "")


async def test_signing_in_clears_the_account_but_not_the_source(lockout: Lockout) -> None:
    await fail(lockout, "ann", "host", 6)
    await lockout.succeeded("ann")
    await lockout.admit("ann", "other-host")
    with pytest.raises(TooManyFailures):
        await lockout.admit("ann", "host")


async def test_a_waited_out_lock_admits_again(lockout: Lockout, clock: FakeClock) -> None:
    await fail(lockout, "ann", "", 3)
    clock.forward(S)
    await lockout.admit("ann", "")


async def test_names_are_not_kept_in_the_clear(lockout: Lockout, store: FakeFailureStore) -> None:
    await lockout.failed("hunter2-typed-into-the-name-field", "10.0.0.1")
    assert not any("hunter2" in key or "10.0.0.1" in key for key in store.failures)


async def test_sweeping_drops_what_no_longer_matters(lockout: Lockout, clock: FakeClock) -> None:
    await lockout.failed("ann", "")
    clock.forward(timedelta(hours=2))
    await lockout.failed("bob", "")
    assert await lockout.sweep() == 1


async def test_one_at_a_time_passes_the_turnstile_per_key() -> None:
    turnstile, inside, most = Turnstile(), 0, 0

    async def visit(key: str) -> None:
        nonlocal inside, most
        async with turnstile.turn(key):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(visit("ann") for _ in range(10)))
        assert most == 1
        await asyncio.gather(visit("ann"), visit("bob"))
    assert most == 2
    assert turnstile._gates == {}


async def test_a_crowded_turnstile_refuses() -> None:
    turnstile = Turnstile(limit=1)
    async with turnstile.turn("ann"):
        with pytest.raises(Exhausted):
            async with turnstile.turn("bob"):
                pass
    async with turnstile.turn("bob"):
        pass


async def test_a_visitor_who_gives_up_frees_the_place() -> None:
    turnstile = Turnstile(limit=2)
    async with turnstile.turn("ann"):
        waiting = asyncio.create_task(turnstile.turn("ann").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with asyncio.timeout(LIMIT_S), turnstile.turn("bob"):
            pass
    assert turnstile._gates == {}
