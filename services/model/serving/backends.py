"""What computes predictions: ONNX Runtime on the CPU, torch on a GPU. Both are imported when the first model loads."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Protocol

from automesh.core.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]


class ServingUnavailable(ModelError):
    """The libraries that compute predictions are not installed."""

    reason = "SERVING_UNAVAILABLE"


class ModelNotLoadable(ModelError):
    """The file of the version cannot be run."""

    reason = "MODEL_NOT_LOADABLE"


class Backend(Protocol):
    """A version, ready to compute."""

    def run(self, rows: Rows) -> Rows:
        """[n, window, features] -> [n, ...]. Safe to call from any one thread at a time."""


class OnnxBackend:
    """ONNX Runtime. Each session uses one thread: requests of several models run side by side on their own."""

    platform = "onnxruntime_onnx"

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        """Blocks while it loads. Raises ServingUnavailable or ModelNotLoadable."""
        if importlib.util.find_spec("onnxruntime") is None:
            raise ServingUnavailable("predictions need ONNX Runtime: pip install 'automesh[model]'")
        import onnxruntime  # noqa: PLC0415 - 60 MB, for those who predict

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin between predictions would eat the cores of everybody else on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class
            raise ModelNotLoadable(f"ONNX Runtime cannot load the version: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def run(self, rows: Rows) -> Rows:
        """See Backend."""
        outputs: list[Rows] = self._session.run([self._output], {self._input: rows})
        return outputs[0]
