"""Brings a version's file into memory and makes it warm."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Protocol

from services.model.domain.serving.versions import ServedVersion, VersionSource
from services.model.serving.backends import Backend, OnnxBackend
from services.model.serving.torch_backend import CONFIG, WEIGHTS, TorchBackend

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WARM_UP_RUNS = 2
ONNX = "model.onnx"


class Loader(Protocol):
    """Makes backends."""

    @property
    def platform(self) -> str:
        """What computes, as the protocol names it."""
        ...

    async def load(self, served: ServedVersion) -> tuple[Backend, int]:
        """A warm backend, and the size in bytes of what it was made of."""


class FileLoader:
    """A Loader that reads the version's files into memory; nothing is written to the disk.

    On the CPU ONNX Runtime is two times faster than torch at small requests; a GPU is torch's.
    """

    def __init__(self, source: VersionSource, executor: Executor, device: str = "cpu") -> None:
        """`device`: "cpu" or "cuda"."""
        self._source, self._executor, self._device = source, executor, device

    @property
    def platform(self) -> str:
        """See Loader."""
        return OnnxBackend.platform if self._device == "cpu" else TorchBackend.platform

    async def load(self, served: ServedVersion) -> tuple[Backend, int]:
        """See Loader. Raises ServingUnavailable, ModelNotLoadable."""
        names = [ONNX] if self._device == "cpu" else [CONFIG, WEIGHTS]
        files = [await self._source.fetch(served, name) for name in names]
        backend = await asyncio.get_running_loop().run_in_executor(self._executor, self._warm, served, files)
        return backend, sum(len(content) for content in files)

    def _warm(self, served: ServedVersion, files: Sequence[bytes]) -> Backend:
        backend: Backend = (
            OnnxBackend(files[0]) if self._device == "cpu" else TorchBackend(files[0], files[1], self._device)
        )
        rows = _zeros(served)
        for _ in range(WARM_UP_RUNS):
            backend.run(rows)
        return backend


def _zeros(served: ServedVersion) -> NDArray[np.float32]:
    import numpy as np  # noqa: PLC0415 - of the extra `model`; whoever loads a model has it

    return np.zeros([1, *served.input.shape[1:]], dtype=np.float32)
