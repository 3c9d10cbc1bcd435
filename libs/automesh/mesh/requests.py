"""Requests that stream in: their end is believed only once it is sure that it was not an accident."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

SETTLE_S = 0.01
"""A client that cancels, or whose connection breaks, looks as if it had said all; a tenth of a millisecond later
the call is cancelled."""


async def whole(requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """The requests. Ends only for a client that said that it is done, so that nothing half is ever stored as whole."""
    async for request in requests:
        yield request
    await asyncio.sleep(SETTLE_S)
