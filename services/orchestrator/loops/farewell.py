"""Says goodbye when the process stops, so that no stream of its own holds up the drain."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from services.orchestrator.domain.desk import WorkDesk
from services.orchestrator.domain.sessions import Sessions
from services.orchestrator.domain.watching import WatchHub

RECONNECT_AFTER = timedelta(milliseconds=200)


async def farewell(
    stopping: asyncio.Event, desk: WorkDesk, sessions: Sessions, hub: WatchHub, *, grace_s: float = 2.0
) -> None:
    """Once `stopping` is set: agents are sent elsewhere, watches end, and streams still open after `grace_s` too."""
    await stopping.wait()
    hub.stop()
    desk.say_goodbye(RECONNECT_AFTER)
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            await sessions.gone()
    for session in sessions.all():
        session.close()
