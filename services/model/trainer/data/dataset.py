"""The data of a training: parts as resident tensors, cut into windows as the spec wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from services.model.domain.training.errors import DataDamaged, DataTooShort, PartMissing, WindowMissing
from services.model.domain.training.objective import ObjectiveKind
from services.model.domain.training.spec import TrainingSpec
from services.model.networks.shape import Shape
from services.model.trainer.data import classes, columns
from services.model.trainer.data.manifest import TEST, TRAIN, VALIDATION, Manifest, PartFiles, read_manifest
from services.model.trainer.data.windows import Cut, Starts, Windows, cut_starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What is learned from. `shape` is what the network must fit; `window` is what a user of the model gives."""

    parts: Mapping[str, Windows]
    features: tuple[str, ...]
    targets: tuple[str, ...]
    classes: tuple[str, ...]
    weights: Tensor | None
    window: int
    horizon: int
    shape: Shape
    digest: str

    @property
    def watched(self) -> str:
        """The part that is measured after each epoch; empty when there is none beside training."""
        return next((name for name in (VALIDATION, TEST) if name in self.parts), "")


def load(path: Path, spec: TrainingSpec) -> Dataset:
    """Reads all parts that the manifest at `path` names. Raises TrainingError: what, where and how to mend it."""
    manifest = read_manifest(path)
    if TRAIN not in manifest.parts:
        raise PartMissing(f"the dataset has no part 'train', only {', '.join(sorted(manifest.parts)) or 'none'}")
    return _Loader(manifest, spec).load()


class _Loader:
    def __init__(self, manifest: Manifest, spec: TrainingSpec) -> None:
        self._manifest, self._spec = manifest, spec
        self._kind = spec.objective.kind
        self._cut = wanted_cut(manifest, spec)
        self._columns = columns.choose(_schema(manifest.parts[TRAIN].rows), spec, manifest)
        self._classes: list[str] = []

    def load(self) -> Dataset:
        parts = {name: self._part(name) for name in (TRAIN, VALIDATION, TEST) if name in self._manifest.parts}
        parts = {name: windows for name, windows in parts.items() if len(windows) or name == TRAIN}
        if not len(parts[TRAIN]):
            raise self._too_short()
        chosen, cut, kind = self._columns, self._cut, self._kind
        weights = None
        if kind is ObjectiveKind.CLASSIFICATION:
            weights = classes.class_weights(self._spec.objective, self._classes, parts[TRAIN].truths())
        return Dataset(
            parts=parts,
            features=chosen.features,
            targets=chosen.targets,
            classes=tuple(self._classes),
            weights=weights,
            window=cut.length,
            horizon=cut.horizon,
            shape=Shape(cut.length - (kind is ObjectiveKind.ANOMALY), len(chosen.features), self._outputs()),
            digest=self._manifest.digest,
        )

    def _outputs(self) -> int:
        if self._kind is ObjectiveKind.CLASSIFICATION:
            return len(self._classes)
        return len(self._columns.targets) * max(self._cut.horizon, 1)

    def _part(self, name: str) -> Windows:
        files = self._manifest.parts[name]
        chosen = self._columns
        frame = _read(files.rows, [*dict.fromkeys((*chosen.features, *chosen.targets, *self._series_column()))])
        starts = self._starts(frame, files)
        inputs = torch.from_numpy(columns.floats(frame, chosen.features, name))
        truths = self._truths(frame, inputs, starts, name)
        length = self._cut.length
        if self._kind is ObjectiveKind.FORECASTING:
            offset, ahead = length, self._cut.horizon
        else:
            offset, ahead = length - 1, 0
        window = length - (self._kind is ObjectiveKind.ANOMALY)
        return Windows(inputs, truths, torch.from_numpy(starts), window=window, offset=offset, ahead=ahead)

    def _truths(self, frame: pl.DataFrame, inputs: Tensor, starts: Starts, name: str) -> Tensor:
        chosen = self._columns
        if self._kind is ObjectiveKind.CLASSIFICATION:
            column, rows = frame[chosen.targets[0]], starts + self._cut.length - 1
            if name == TRAIN:
                if not rows.size:
                    raise self._too_short()
                self._classes = classes.class_names(column, rows)
            return classes.class_numbers(column, self._classes, rows, name)
        if chosen.targets == chosen.features:
            return inputs
        return torch.from_numpy(columns.floats(frame, chosen.targets, name))

    def _series_column(self) -> tuple[str, ...]:
        series = self._manifest.series_column
        return (series,) if series and not self._as_cut() else ()

    def _as_cut(self) -> bool:
        """Whether the dataset's own index is what the spec wants."""
        manifest = self._manifest
        forecast = self._kind is ObjectiveKind.FORECASTING
        same = (manifest.length, manifest.stride) == (self._cut.length, self._cut.stride)
        return same and (manifest.horizon == self._cut.horizon or not forecast)

    def _starts(self, frame: pl.DataFrame, files: PartFiles) -> Starts:
        if not self._as_cut() or files.windows is None:
            series = self._manifest.series_column
            values = frame[series].to_numpy() if series and series in frame.columns else None
            return cut_starts(values, frame.height, self._cut)
        starts = _read(files.windows, ["start"])["start"].cast(pl.Int64).to_numpy().copy()
        end = frame.height - self._cut.length - self._cut.horizon
        if starts.size and (starts.min() < 0 or starts.max() > end):
            raise DataDamaged(
                f"{files.windows.name} names rows {starts.min()} to {starts.max()}, "
                f"but {files.rows.name} has {frame.height} rows"
            )
        return starts

    def _too_short(self) -> DataTooShort:
        cut = self._cut
        after = f" and {cut.horizon} rows after it" if cut.horizon else ""
        rows = _read(self._manifest.parts[TRAIN].rows, [self._columns.features[0]]).height
        return DataTooShort(
            f"no series of the training part ({rows} rows in all) has the {cut.length} rows of one window{after}: "
            "take a smaller spec.data.window, or more data"
        )


def wanted_cut(manifest: Manifest, spec: TrainingSpec) -> Cut:
    """The spec's window, else the dataset's. Raises WindowMissing when neither has one."""
    data, kind = spec.data, spec.objective.kind
    length = data.window or manifest.length
    if not length:
        raise WindowMissing(
            "the dataset was not cut into windows: set spec.data.window, or add a window step to its pipeline"
        )
    if kind is ObjectiveKind.ANOMALY and length < 2:  # noqa: PLR2004 - one row before the last
        raise WindowMissing(
            "the dataset's windows have 1 row, and anomaly foretells the last of several: set spec.data.window"
        )
    horizon = (data.horizon or manifest.horizon or 1) if kind is ObjectiveKind.FORECASTING else 0
    return Cut(length, data.stride or manifest.stride or length, horizon)


def _schema(path: Path) -> pl.Schema:
    try:
        return pl.Schema(pl.read_parquet_schema(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataDamaged(f"{path.name} of the dataset cannot be read: {error}") from error


def _read(path: Path, names: list[str]) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=names, memory_map=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataDamaged(f"{path.name} of the dataset cannot be read: {error}") from error
