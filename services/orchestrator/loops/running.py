"""Runs a step over and over. A failure is logged and tried again after a growing pause; only cancellation ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError

log = structlog.get_logger(__name__)

Step = Callable[[], Awaitable[None]]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


async def keep_running(name: str, step: Step) -> None:
    """Repeats `step`, which does its own waiting."""
    backoff = Backoff(first_s=FIRST_PAUSE_S, most_s=LONGEST_PAUSE_S)
    while True:
        try:
            await step()
            backoff.reset()
            continue
        except AutomationError as error:
            log.warning("loop step failed", loop=name, reason=error.reason, error=error.message)
        except Exception:
            log.exception("loop step failed", loop=name)
        await asyncio.sleep(backoff.next_s())


@asynccontextmanager
async def running(steps: Mapping[str, Step]) -> AsyncGenerator[None]:
    """Runs each step over and over while the block is open."""
    tasks = [asyncio.create_task(keep_running(name, step), name=name) for name, step in steps.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
