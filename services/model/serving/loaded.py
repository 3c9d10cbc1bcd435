"""A version in memory: its backend, its batches, its statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from typing import TYPE_CHECKING

from services.model.domain.serving.versions import ServedVersion
from services.model.serving.backends import Backend
from services.model.serving.batcher import Batcher
from services.model.serving.statistics import Statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]


class LoadedVersion:
    """Ready to predict."""

    def __init__(
        self,
        served: ServedVersion,
        backend: Backend,
        executor: Executor,
        *,
        size: int,
        now: Callable[[], datetime],
    ) -> None:
        """`size`: bytes of the file it was loaded from."""
        self.served, self.backend, self.size = served, backend, size
        self.statistics = Statistics()
        self._now = now
        self._batcher = Batcher(backend.run, executor, served.limits, self.statistics)

    async def infer(self, rows: Rows) -> Rows:
        """[n, window, features] -> [n, ...]. Raises QueueFull or ModelUnloaded."""
        began = time.perf_counter_ns()
        try:
            outputs = await self._batcher.submit(rows)
        except Exception:
            self.statistics.fail.add(time.perf_counter_ns() - began)
            raise
        self.statistics.success.add(time.perf_counter_ns() - began)
        self.statistics.last_at = self._now()
        return outputs

    async def close(self) -> None:
        """Computes what waits, then lets go."""
        await self._batcher.close()
