"""Work that is done over and over for as long as a process lives; only cancellation ends it.

`keep_running` suits a step that does its own waiting, `every` one that comes at a fixed pace.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError

log = structlog.get_logger(__name__)

Step = Callable[[], Awaitable[object]]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


async def keep_running(name: str, step: Step) -> None:
    """Repeats `step`, which does its own waiting. Any failure is logged and tried again after a growing pause."""
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
    """Keeps each step running while the block is open."""
    tasks = [asyncio.create_task(keep_running(name, step), name=name) for name, step in steps.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def every(seconds: float, step: Step, *, name: str) -> None:
    """Waits, then does `step`, again and again; a round that fails in a foreseen way is logged and the next one comes
    as usual. Waits give or take a tenth, so that replicas do not come all at once. An unforeseen error is raised."""
    while True:
        await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load, no secret
        try:
            await step()
        except AutomationError as error:
            log.warning("a round failed", loop=name, reason=error.reason, error=error.message)
