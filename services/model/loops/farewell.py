"""Says goodbye when the process stops, so that no stream of its own holds up the drain."""

from __future__ import annotations

import asyncio

from services.model.domain.runs.watching import WatchHub


async def farewell(stopping: asyncio.Event, hub: WatchHub) -> None:
    """Once `stopping` is set, watches end: their clients go on at another replica."""
    await stopping.wait()
    hub.stop()
