"""Writes a trained network as ONNX and holds ONNX Runtime's answers against torch's."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from services.model.domain.training.errors import ExportFailed
from services.model.networks.predictor import Predictor

INPUT, OUTPUT = "input", "output"
TOLERANCE = 1e-3
"""Of the largest value of the answer, at least of 1."""
CHECKED = 32
"""Windows that both compute."""


def export(predictor: Predictor, path: Path, example: Tensor) -> float:
    """`example` [n, window, features] on the CPU. The largest difference that was seen. Raises ExportFailed."""
    predictor.eval()
    try:
        _write(predictor, path, example)
    except Exception as error:  # the exporter's errors have no common class
        raise ExportFailed(
            f"the network cannot be written as ONNX, so none could serve it: {type(error).__name__}: {str(error)[:500]}"
        ) from error
    return _compare(predictor, path, example[:CHECKED])


def _write(predictor: Predictor, path: Path, example: Tensor) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    traced = example[:2] if len(example) > 1 else example.repeat(2, 1, 1)  # one window would be taken for a constant
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            predictor,
            (traced,),
            str(path),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
            external_data=False,
            verbose=False,
        )


def _compare(predictor: Predictor, path: Path, example: Tensor) -> float:
    import onnxruntime  # noqa: PLC0415 - only needed here, at the end

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for some in (example, example[:1]):  # a batch and a single window
        with torch.no_grad():
            wanted = predictor(some).numpy()
        (found,) = session.run([OUTPUT], {INPUT: some.numpy()})
        if found.shape != wanted.shape:
            raise ExportFailed(f"ONNX Runtime answers with shape {list(found.shape)}, torch with {list(wanted.shape)}")
        difference = float(np.abs(found - wanted).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise ExportFailed(f"ONNX Runtime answers otherwise than torch: they differ by {difference:g}")
        worst = max(worst, difference)
    return worst
