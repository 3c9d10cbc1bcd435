"""Requests that stream in: their end is believed only once it is sure that it was not an accident."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

SETTLE_S = 0.01
"""A client that cancels, or whose connection breaks, looks as if it had said all; a tenth of a millisecond later
the call is cancelled."""


class WholeRequests:
    """The requests. Ends only for a client that said that it is done, so that nothing half is ever stored as whole.

    No generator: whoever reads may do so in a task of its own, which a cancelled call must not trip over.
    """

    def __init__(self, requests: AsyncIterator[Any]) -> None:
        self._requests = requests

    def __aiter__(self) -> WholeRequests:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._requests)
        except StopAsyncIteration:
            await asyncio.sleep(SETTLE_S)
            raise
