"""Passes on what a trainer says: points and checkpoints to the model service, progress to the orchestrator."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from automesh.core.errors import AutomationError
from automesh.sdk import TaskContext
from services.agent.clients.checkpoints import Checkpoints
from services.agent.clients.points import PointReporter
from services.agent.clients.program.program import Program
from services.agent.domain.program import Checkpoint, End, Environment, Event, Points, Progress, Stopped

RESCUE_S = 30.0  # a trainer that died had perhaps just said something of worth

T = TypeVar("T")


class TrainingRelay:
    """For one trainer."""

    def __init__(self, context: TaskContext, points: PointReporter, checkpoints: Checkpoints, *, share: float) -> None:
        """`share`: which part of the task's progress the training is."""
        self._context = context
        self._points = points
        self._checkpoints = checkpoints
        self._share = share

    async def run(self, program: Program) -> End:
        """Until the trainer has ended and all that it said is safe."""
        return await _led(self._listen(program), self._points.run(), self._checkpoints.run())

    async def _listen(self, program: Program) -> End:
        end: End = Stopped()
        try:
            async for event in program.events():
                if isinstance(event, End):
                    end = event
                else:
                    await self._pass_on(event)
        except AutomationError:
            with suppress(TimeoutError):
                async with asyncio.timeout(RESCUE_S):
                    await self._flush()
            raise
        await self._flush()
        return end

    async def _pass_on(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._context.progress(self._share * event.fraction, event.message)
        elif isinstance(event, Points):
            await self._points.add(event)
        elif isinstance(event, Environment):
            await self._points.describe(event.environment)
        elif isinstance(event, Checkpoint):
            await self._checkpoints.add(event)

    async def _flush(self) -> None:
        await self._points.flush()
        await self._checkpoints.flush()


async def _led(leader: Coroutine[Any, Any, T], *followers: Coroutine[Any, Any, None]) -> T:
    """The outcome of `leader`; raises what a follower raises. Nobody goes on alone."""
    first = asyncio.create_task(leader)
    tasks: list[asyncio.Task[Any]] = [first, *map(asyncio.create_task, followers)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return await first
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
