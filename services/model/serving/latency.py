"""How long one prediction takes: what the latency gate asks."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor

from services.model.domain.serving.versions import VersionSource
from services.model.serving.backends import Backend
from services.model.serving.loading import Loader

PREDICTIONS = 100
QUANTILE = 0.99


class BackendLatencyProbe:
    """Loads the version beside what is served, and measures it alone."""

    def __init__(self, source: VersionSource, loader: Loader, executor: Executor) -> None:
        self._source, self._loader, self._executor = source, loader, executor

    async def p99_ms(self, tenant_id: str, model_id: str, version: int) -> float:
        """The 99 % quantile of 100 predictions of one window, in milliseconds."""
        served = await self._source.resolve(tenant_id, model_id, str(version))
        backend, _ = await self._loader.load(served)
        shape = (1, *served.input.shape[1:])
        return await asyncio.get_running_loop().run_in_executor(self._executor, _measure, backend, shape)


def _measure(backend: Backend, shape: tuple[int, ...]) -> float:
    import numpy as np  # noqa: PLC0415 - of the extra `model`; whoever loads a model has it

    rows = np.zeros(shape, dtype=np.float32)
    took: list[float] = []
    for _ in range(PREDICTIONS):
        began = time.perf_counter()
        backend.run(rows)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)[int(PREDICTIONS * QUANTILE) - 1]
