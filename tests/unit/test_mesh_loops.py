"""Loops that go on after a failed round, and end when they are told."""

import asyncio

import pytest

from automesh.core.errors import Unavailable
from automesh.mesh.loops import every, keep_running, running

LIMIT_S = 20


async def test_a_loop_survives_any_failure() -> None:
    happened = asyncio.Event()
    failures: list[Exception] = [Unavailable("away"), ValueError("bug")]

    async def step() -> None:
        if failures:
            raise failures.pop(0)
        happened.set()
        await asyncio.Event().wait()

    async with running({"step": step}):
        await asyncio.wait_for(happened.wait(), LIMIT_S)


async def test_a_loop_ends_when_cancelled() -> None:
    task = asyncio.create_task(keep_running("x", lambda: asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_loop_goes_on_after_a_failed_round_and_ends_with_what_is_unforeseen() -> None:
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 3:
            raise Unavailable("the database is away")
        raise KeyError("a bug")

    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(KeyError):
            await every(0.001, work, name="sweep")
    assert rounds == 3
