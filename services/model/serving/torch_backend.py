"""Predictions by torch, for a GPU: the network is built from the version's files."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

from services.model.convert.spec import training_spec_of_json
from services.model.serving.backends import ModelNotLoadable, ServingUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class TorchBackend:
    """A Backend on a device of torch, for example "cuda"."""

    platform = "pytorch_torch"

    def __init__(self, config: bytes, weights: bytes, device: str) -> None:
        """Blocks while it loads. Raises ServingUnavailable or ModelNotLoadable."""
        if importlib.util.find_spec("torch") is None:
            raise ServingUnavailable("predictions on a GPU need torch: pip install 'automesh[model]'")
        import torch  # noqa: PLC0415 - 600 MB, for those who predict with it
        from safetensors.torch import load  # noqa: PLC0415 - comes with the extra `model`

        if device == "cuda" and not torch.cuda.is_available():
            raise ServingUnavailable("there is no GPU here: set AUTOMESH_SERVING_DEVICE=cpu")
        try:
            predictor = _built(json.loads(config))
            predictor.load_state_dict(load(weights))
        except (ValueError, KeyError, RuntimeError) as error:
            raise ModelNotLoadable(f"torch cannot load the version: {error}") from error
        self._torch, self._device = torch, device
        self._predictor = predictor.to(device).eval()

    def run(self, rows: Rows) -> Rows:
        """See Backend."""
        with self._torch.inference_mode():
            given = self._torch.from_numpy(rows.copy()).to(self._device)
            outputs: Rows = self._predictor(given).cpu().numpy()
        return outputs


def _built(config: dict[str, Any]) -> Any:
    from services.model.networks.build import build  # noqa: PLC0415 - needs torch
    from services.model.networks.predictor import Predictor  # noqa: PLC0415 - loads torch
    from services.model.networks.shape import Shape  # noqa: PLC0415 - loads torch

    spec, shape = training_spec_of_json(config["spec"]), config["shape"]
    network = build(spec.architecture, Shape(shape["window"], shape["features"], shape["outputs"]))
    return Predictor(
        network,
        spec.objective.kind,
        spec.objective.loss,
        horizon=max(shape["horizon"], 1),
        targets=len(config["signature"]["targets"]),
    )
