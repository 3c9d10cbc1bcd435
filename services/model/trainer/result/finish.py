"""The end of a training, on one process: measures the best weights, writes the model's files, describes them."""

from __future__ import annotations

import copy
import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from services.model.convert.spec import training_spec_json
from services.model.domain.training.errors import CheckpointNotWritten
from services.model.domain.training.objective import ObjectiveKind
from services.model.networks.build import build
from services.model.networks.predictor import Predictor
from services.model.trainer.data.dataset import Dataset
from services.model.trainer.data.manifest import TEST, TRAIN
from services.model.trainer.job import Job
from services.model.trainer.learning.criterion import Criterion
from services.model.trainer.learning.evaluation import measure, outputs
from services.model.trainer.learning.loop import EVALUATION_BATCH
from services.model.trainer.learning.tally import ClassTally, Tally, tally_for
from services.model.trainer.reporter import Reporter
from services.model.trainer.result import plots
from services.model.trainer.result.export import INPUT, OUTPUT, export
from services.model.trainer.state.checkpoint import file_digest
from services.model.trainer.state.state import State

FOLDER = "model"
QUANTILE = 0.99
EXPORT_S, PLOT_S = 300.0, 120.0
"""Longest silence of the libraries that is taken for work."""


class Finish:
    """Writes below out/model and gives the result of the run."""

    def __init__(
        self, job: Job, dataset: Dataset, state: State, best: Mapping[str, Tensor], reporter: Reporter
    ) -> None:
        self._job, self._dataset, self._state, self._reporter = job, dataset, state, reporter
        self._spec = job.spec
        self._device = dataset.parts[TRAIN].starts.device
        self._network: nn.Module = build(job.spec.architecture, dataset.shape)
        self._network.load_state_dict(dict(best))
        self._network.to(self._device).eval()
        weights = dataset.weights
        self._criterion = Criterion(job.spec.objective, None if weights is None else weights.to(self._device))
        self._folder = job.out / FOLDER

    def run(self, environment: Mapping[str, Any]) -> dict[str, Any]:
        """The result. Raises ExportFailed, or CheckpointNotWritten for a full disk."""
        try:
            (self._folder / "plots").mkdir(parents=True, exist_ok=True)
            return self._run(environment)
        except OSError as error:
            raise CheckpointNotWritten(
                f"the files of the model could not be written: {error}. The weights are safe in the last checkpoint: "
                "free space on the disk of the trainer's folder, then resume the run"
            ) from error

    def _run(self, environment: Mapping[str, Any]) -> dict[str, Any]:
        tallies = self._tallies()
        predictor = self._predictor()
        with self._reporter.busy(EXPORT_S):
            difference = export(predictor, self._folder / "model.onnx", self._example())
        with self._reporter.busy(PLOT_S):
            self._plot(predictor, tallies)
        save_file(predictor.state_dict(), self._folder / "model.safetensors")
        metrics = self._metrics(tallies)
        signature = self._signature()
        card = self._card(environment, metrics, difference)
        config = {"spec": training_spec_json(self._spec), "signature": signature, "shape": self._shape()}
        self._json("config.json", config)
        self._json("card.json", card)
        return {
            "metrics": metrics,
            "signature": signature,
            "card": card,
            "parameters": sum(weight.numel() for weight in self._network.parameters()),
            "files": self._files(),
        }

    def _tallies(self) -> dict[str, Tally]:
        """By part, in float32, as the model will be served."""
        return {
            name: measure(
                self._network,
                windows,
                self._criterion,
                tally_for(self._spec.objective.kind, self._dataset.shape.outputs, self._device),
                batch=EVALUATION_BATCH,
                precision="fp32",
                moved=self._reporter.alive,
            )
            for name, windows in self._dataset.parts.items()
        }

    def _metrics(self, tallies: Mapping[str, Tally]) -> dict[str, float]:
        names = {"train": TRAIN, "val": self._dataset.watched, "test": TEST}
        return {
            f"{prefix}/{metric}": value
            for prefix, part in names.items()
            if part in tallies
            for metric, value in tallies[part].metrics().items()
            if value == value  # noqa: PLR0124 - NaN has no place in a result
        }

    def _predictor(self) -> Predictor:
        objective = self._spec.objective
        predictor = Predictor(
            copy.deepcopy(self._network).cpu(),
            objective.kind,
            objective.loss,
            horizon=max(self._dataset.horizon, 1),
            targets=len(self._dataset.targets),
        )
        if objective.kind is ObjectiveKind.ANOMALY:
            errors = torch.cat([self._criterion(out, truth).cpu() for out, truth in self._outputs(TRAIN)])
            rank = max(round(QUANTILE * len(errors)), 1)
            predictor.scale.fill_(errors.kthvalue(rank).values.clamp(min=1e-12))
        return predictor.eval()

    def _outputs(self, part: str) -> Any:
        for pair in outputs(self._network, self._dataset.parts[part], EVALUATION_BATCH, "fp32"):
            self._reporter.alive()
            yield pair

    def _example(self) -> Tensor:
        """[n, window, features], whole windows: what a user of the model gives."""
        windows = self._dataset.parts[self._shown()]
        inputs, truth = windows.batch(torch.arange(min(len(windows), 32), device=self._device))
        if self._spec.objective.kind is ObjectiveKind.ANOMALY:
            inputs = torch.cat([inputs, truth.unsqueeze(1)], dim=1)
        return inputs.cpu()

    def _shown(self) -> str:
        """The part that plots show."""
        return TEST if TEST in self._dataset.parts else self._dataset.watched or TRAIN

    def _plot(self, predictor: Predictor, tallies: Mapping[str, Tally]) -> None:
        folder, part = self._folder / "plots", self._shown()
        plots.curves(folder, self._state.history)
        tally = tallies[part]
        if isinstance(tally, ClassTally):
            if (table := tally.confusion()) is not None:
                plots.confusion(folder, table.tolist(), self._dataset.classes)
            return
        pairs = [(out.cpu(), truth.cpu(), self._criterion(out, truth).cpu()) for out, truth in self._outputs(part)]
        found, truths, errors = (torch.cat(column) for column in zip(*pairs, strict=True))
        first = self._dataset.targets[0]  # forecasting: its first row ahead
        plots.prediction(folder, truths.flatten(1)[:, 0].tolist(), found[:, 0].tolist(), first)
        if self._spec.objective.kind is ObjectiveKind.ANOMALY:
            plots.scores(folder, (errors / predictor.scale).tolist())

    def _shape(self) -> dict[str, int]:
        shape = self._dataset.shape
        return {
            "window": shape.window,
            "features": shape.features,
            "outputs": shape.outputs,
            "horizon": self._dataset.horizon,
        }

    def _signature(self) -> dict[str, Any]:
        dataset, kind = self._dataset, self._spec.objective.kind
        outputs = {
            ObjectiveKind.REGRESSION: [len(dataset.targets)],
            ObjectiveKind.FORECASTING: [dataset.horizon, len(dataset.targets)],
            ObjectiveKind.CLASSIFICATION: [len(dataset.classes)],
            ObjectiveKind.ANOMALY: [1],
        }[kind]
        return {
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, dataset.window, len(dataset.features)]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, *outputs]}],
            "features": list(dataset.features),
            "targets": ["score"] if kind is ObjectiveKind.ANOMALY else list(dataset.targets),
            "classes": list(dataset.classes),
        }

    def _card(self, environment: Mapping[str, Any], metrics: Mapping[str, float], difference: float) -> dict[str, Any]:
        best, dataset = self._state.best, self._dataset
        return {
            "name": self._spec.name,
            "description": self._spec.description,
            "run_id": self._job.run_id,
            "objective": self._spec.objective.kind.value,
            "architecture": training_spec_json(self._spec)["architecture"],
            "data": {
                "data_id": self._spec.data.data_id,
                "version": self._spec.data.version,
                "windows": {name: len(windows) for name, windows in dataset.parts.items()},
                "watched_part": dataset.watched or TRAIN,
                "note": _note(dataset),
            },
            "digests": {**self._job.digests, "learning": self._job.learning_digest, "dataset": dataset.digest},
            "best": {"metric": best.name, "value": best.value, "epoch": best.epoch, "step": best.step} if best else {},
            "epochs": self._state.epoch,
            "steps": self._state.step,
            "metrics": dict(metrics),
            "onnx_difference": difference,
            "environment": dict(environment),
        }

    def _json(self, name: str, content: Mapping[str, Any]) -> None:
        (self._folder / name).write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")

    def _files(self) -> list[dict[str, Any]]:
        paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return [_described(path, self._job.out) for path in paths]


def _described(path: Path, out: Path) -> dict[str, Any]:
    return {
        "name": path.relative_to(out).as_posix(),
        "content_type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "size": path.stat().st_size,
        "sha256": file_digest(path),
    }


def _note(dataset: Dataset) -> str:
    if dataset.watched == TEST:
        return (
            "without a validation part the best weights were chosen by the test part: its metrics are a little too good"
        )
    if TEST not in dataset.parts:
        return "without a test part nothing says how good the model is on rows it has not seen"
    return ""
