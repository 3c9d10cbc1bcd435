"""Runs a piece of work again and again until cancelled; a failed round is logged and the next one comes as usual."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from automesh.core.errors import AutomationError

log = structlog.get_logger()


async def every(seconds: float, work: Callable[[], Awaitable[object]], *, name: str) -> None:
    """Waits first, give or take a tenth, so that replicas do not come all at once."""
    while True:
        await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load, no secret
        try:
            await work()
        except AutomationError as error:
            log.warning("a round failed", work=name, reason=error.reason, error=str(error))
