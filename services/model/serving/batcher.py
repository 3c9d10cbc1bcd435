"""Gathers requests into batches: whatever waits while a batch computes goes together into the next one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING

from automesh.core.errors import Exhausted, Unavailable
from services.model.domain.serving.versions import BatchLimits
from services.model.serving.statistics import Statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Run = Callable[[Rows], Rows]
    """A batch of windows [n, window, features] -> [n, ...]. Called in a thread."""


class QueueFull(Exhausted):
    """More requests wait for the model than may."""

    reason = "MODEL_QUEUE_FULL"


class ModelUnloaded(Unavailable):
    """The version left the memory while the request waited."""

    reason = "MODEL_UNLOADED"


class _Waiting:
    __slots__ = ("future", "rows", "since_ns")

    def __init__(self, rows: Rows, future: asyncio.Future[Rows], since_ns: int) -> None:
        self.rows, self.future, self.since_ns = rows, future, since_ns


class Batcher:
    """Runs one batch at a time. Must be made and used in the event loop."""

    def __init__(self, run: Run, executor: Executor, limits: BatchLimits, statistics: Statistics) -> None:
        self._run, self._executor, self._limits, self._statistics = run, executor, limits, statistics
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, rows: Rows) -> Rows:
        """The outputs of these windows. Raises QueueFull, ModelUnloaded, and whatever the model raises."""
        if self._closed:
            raise ModelUnloaded("the model was unloaded: send the request again")
        if len(self._waiting) >= self._limits.max_queue:
            raise QueueFull(
                f"{len(self._waiting)} requests wait for this model already: come back later, or add replicas",
                retry_after=timedelta(milliseconds=100),
            )
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="batches")
        item = _Waiting(rows, asyncio.get_running_loop().create_future(), time.perf_counter_ns())
        self._waiting.append(item)
        self._arrived.set()
        return await item.future  # a caller that goes away cancels it, and the worker passes it over

    async def close(self) -> None:
        """Lets what waits be computed, then stops."""
        self._closed = True
        self._arrived.set()
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._waiting:
                if self._closed:
                    return
                self._arrived.clear()
                continue
            await self._gather()
            if batch := self._take():
                await self._compute(batch)

    async def _gather(self) -> None:
        """Waits for company, if the model is told to."""
        if self._limits.max_delay_s <= 0 or self._closed:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.max_delay_s
        while sum(len(item.rows) for item in self._waiting) < self._limits.max_rows:
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._arrived.wait()
            except TimeoutError:
                break
            if self._closed:
                break
        self._arrived.set()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            item = self._waiting[0]
            if item.future.done():  # its caller went away
                self._waiting.popleft()
                continue
            if batch and rows + len(item.rows) > self._limits.max_rows:
                break
            batch.append(self._waiting.popleft())
            rows += len(item.rows)
        return batch

    async def _compute(self, batch: list[_Waiting]) -> None:
        import numpy as np  # noqa: PLC0415 - of the extra `model`; whoever loads a model has it

        began = time.perf_counter_ns()
        rows = batch[0].rows if len(batch) == 1 else np.concatenate([item.rows for item in batch])
        try:
            outputs = await asyncio.get_running_loop().run_in_executor(self._executor, self._run, rows)
        except Exception as error:
            for item in batch:
                if not item.future.done():
                    item.future.set_exception(error)
            return
        took = time.perf_counter_ns() - began
        self._statistics.executed(len(rows), took)
        position = 0
        for item in batch:
            self._statistics.queue.add(began - item.since_ns)
            self._statistics.compute.add(took)
            if not item.future.done():
                item.future.set_result(outputs[position : position + len(item.rows)])
            position += len(item.rows)
