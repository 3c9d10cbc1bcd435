"""Brings a version's file into memory and makes it warm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Protocol

from services.model.domain.serving import ServedVersion, VersionSource
from services.model.serving.backends import Backend, OnnxBackend

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WARM_UP_RUNS = 2
ONNX = "model.onnx"

Open = Callable[[bytes], Backend]


class Loader(Protocol):
    """Makes backends."""

    async def load(self, served: ServedVersion) -> tuple[Backend, int]:
        """A warm backend, and the size in bytes of what it was made of."""


class OnnxLoader:
    """A Loader of ONNX files; nothing is written to the disk."""

    def __init__(self, source: VersionSource, executor: Executor, open_backend: Open = OnnxBackend) -> None:
        self._source, self._executor, self._open = source, executor, open_backend

    async def load(self, served: ServedVersion) -> tuple[Backend, int]:
        """See Loader. Raises ServingUnavailable, ModelNotLoadable."""
        content = await self._source.fetch(served, ONNX)
        backend = await asyncio.get_running_loop().run_in_executor(self._executor, self._warm, served, content)
        return backend, len(content)

    def _warm(self, served: ServedVersion, content: bytes) -> Backend:
        backend = self._open(content)
        rows = _zeros(served)
        for _ in range(WARM_UP_RUNS):
            backend.run(rows)
        return backend


def _zeros(served: ServedVersion) -> NDArray[np.float32]:
    import numpy as np  # noqa: PLC0415 - of the extra `model`; whoever loads a model has it

    return np.zeros([1, *served.input.shape[1:]], dtype=np.float32)
