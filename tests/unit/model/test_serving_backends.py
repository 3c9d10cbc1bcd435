"""Both backends compute what the trainer's network computes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.model.convert.spec import training_spec_json
from services.model.domain.training.architecture import Lstm
from services.model.domain.training.spec import TrainingSpec
from services.model.serving.backends import ModelNotLoadable, OnnxBackend, ServingUnavailable
from services.model.serving.torch_backend import TorchBackend

pytestmark = pytest.mark.torch

ROWS = np.random.default_rng(1).standard_normal((3, 7, 2)).astype(np.float32)


def saved(predictor: Any, spec: TrainingSpec) -> tuple[bytes, bytes]:
    from safetensors.torch import save

    shape = {"window": 7, "features": 2, "outputs": 1, "horizon": 0}
    config = {"spec": training_spec_json(spec), "shape": shape, "signature": {"targets": ["y"]}}
    return json.dumps(config).encode(), save(predictor.state_dict())


@pytest.fixture
def trained() -> tuple[Any, TrainingSpec]:
    import torch

    from services.model.networks.build import build
    from services.model.networks.predictor import Predictor
    from services.model.networks.shape import Shape

    torch.manual_seed(3)
    spec = replace(spec_with_data(), architecture=Lstm(hidden=4, layers=1))
    network = build(spec.architecture, Shape(7, 2, 1))
    predictor = Predictor(network, spec.objective.kind, spec.objective.loss, horizon=1, targets=1)
    return predictor.eval(), spec


def spec_with_data() -> TrainingSpec:
    from services.model.convert.spec import training_spec_of_json

    return training_spec_of_json({"name": "m", "data": {"data_id": "data_1", "targets": ["y"]}})


def test_torch_rebuilds_the_network_from_its_files(trained: tuple[Any, TrainingSpec]) -> None:
    import torch

    predictor, spec = trained
    backend = TorchBackend(*saved(predictor, spec), device="cpu")
    with torch.inference_mode():
        expected = predictor(torch.from_numpy(ROWS)).numpy()
    assert (backend.run(ROWS) == expected).all()


def test_weights_that_do_not_fit_are_named(trained: tuple[Any, TrainingSpec]) -> None:
    predictor, spec = trained
    config, weights = saved(predictor, replace(spec, architecture=Lstm(hidden=5, layers=1)))
    with pytest.raises(ModelNotLoadable, match="torch cannot load the version"):
        TorchBackend(config, weights, device="cpu")


def test_a_gpu_that_is_not_there_is_said(trained: tuple[Any, TrainingSpec]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: see the test below")
    with pytest.raises(ServingUnavailable, match="AUTOMESH_SERVING_DEVICE=cpu"):
        TorchBackend(*saved(*trained), device="cuda")


@pytest.mark.gpu
def test_a_gpu_gives_the_same_answer(trained: tuple[Any, TrainingSpec]) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    on_cpu = TorchBackend(*saved(*trained), device="cpu").run(ROWS)
    on_gpu = TorchBackend(*saved(*trained), device="cuda").run(ROWS)
    assert np.allclose(on_cpu, on_gpu, atol=1e-3)


def test_a_file_that_is_no_onnx_is_refused() -> None:
    with pytest.raises(ModelNotLoadable, match="ONNX Runtime cannot load"):
        OnnxBackend(b"not a model")
