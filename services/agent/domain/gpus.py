"""The GPUs of this machine, and who may use which: one run a GPU, unless all its runs agree to share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from automesh.core.errors import Kind, TaskError


class GpuUnavailable(TaskError):
    """More GPUs are asked for than this machine has: no waiting helps."""

    kind = Kind.PRECONDITION
    reason = "GPU_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Gpu:
    """`uuid` names it to CUDA, whatever the numbering."""

    index: int
    uuid: str
    name: str
    memory_bytes: int


@dataclass(slots=True)
class _Request:
    count: int
    shared: bool
    granted: asyncio.Future[tuple[Gpu, ...]]


class GpuLeases:
    """Whoever asks first is served first, so that a run that needs several is not passed by for ever."""

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self.gpus = tuple(gpus)
        self._runs = dict.fromkeys(self.gpus, 0)
        self._alone: set[Gpu] = set()
        self._waiting: deque[_Request] = deque()

    @asynccontextmanager
    async def lease(
        self, count: int, *, shared: bool = False, on_wait: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[tuple[Gpu, ...]]:
        """`count` GPUs for the time of the block. `on_wait` is called when it has to wait. Raises GpuUnavailable."""
        if count > len(self.gpus):
            raise GpuUnavailable(
                f"{count} GPU(s) are asked for and this machine has {len(self.gpus)}: ask for fewer, let it run on the "
                "CPU, or start an agent on a machine with more",
                asked=count,
                present=len(self.gpus),
            )
        if count == 0:  # waits for nobody
            yield ()
            return
        granted = await self._granted(_Request(count, shared, asyncio.get_running_loop().create_future()), on_wait)
        try:
            yield granted
        finally:
            self._give_back(granted)

    async def _granted(self, request: _Request, on_wait: Callable[[], None]) -> tuple[Gpu, ...]:
        self._waiting.append(request)
        self._serve()
        if not request.granted.done():
            on_wait()
        try:
            return await request.granted
        except asyncio.CancelledError:
            if request.granted.done() and not request.granted.cancelled():
                self._give_back(request.granted.result())
            else:
                self._waiting.remove(request)
                self._serve()
            raise

    def _serve(self) -> None:
        while self._waiting:
            request = self._waiting[0]
            free = [gpu for gpu in self.gpus if self._is_free(gpu, request.shared)]
            if len(free) < request.count:
                return
            self._waiting.popleft()
            chosen = tuple(sorted(free, key=lambda gpu: self._runs[gpu])[: request.count])
            for gpu in chosen:
                self._runs[gpu] += 1
            if not request.shared:
                self._alone.update(chosen)
            request.granted.set_result(chosen)

    def _is_free(self, gpu: Gpu, shared: bool) -> bool:
        return gpu not in self._alone and (shared or not self._runs[gpu])

    def _give_back(self, gpus: Sequence[Gpu]) -> None:
        for gpu in gpus:
            self._runs[gpu] -= 1
            self._alone.discard(gpu)
        self._serve()
