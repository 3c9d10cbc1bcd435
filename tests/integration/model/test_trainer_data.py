"""Bad data is refused: what, where, and how to mend it. Good data becomes the windows that were meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

torch = pytest.importorskip("torch")

from services.model.domain.training.errors import TrainingError
from services.model.networks.build import check_fit
from services.model.networks.shape import Shape
from services.model.trainer.data.dataset import Dataset, load
from services.model.trainer.job import read_job
from tests.integration.model.training_folder import WINDOW, Folder, rows

pytestmark = pytest.mark.torch
CLASSES: dict[str, Any] = {"data": {"targets": ["kind"]}, "objective": {"kind": "OBJECTIVE_KIND_CLASSIFICATION"}}
FORECASTING = {"kind": "OBJECTIVE_KIND_FORECASTING"}
ANOMALY = {"data": {"targets": []}, "objective": {"kind": "OBJECTIVE_KIND_ANOMALY"}}


def loaded(folder: Folder, spec: dict[str, Any] | None = None) -> Dataset:
    job = read_job(folder.lay(spec).path)
    return load(job.manifest, job.spec)


def changed(**columns: pl.Expr) -> dict[str, pl.DataFrame]:
    """All parts, the training part with these columns."""
    return {"train": rows(40, 1).with_columns(**columns), "test": rows(12, 3)}


BAD: dict[str, tuple[dict[str, pl.DataFrame], dict[str, Any], str, str]] = {
    "unknown feature": (
        {},
        {"data": {"features": ["x0", "x9"]}},
        "COLUMN_MISSING",
        r"features: .* no column 'x9'; it has series, step, x0",
    ),
    "unknown target": ({}, {"data": {"targets": ["z"]}}, "COLUMN_MISSING", "targets: .* no column 'z'"),
    "text as feature": (
        {},
        {"data": {"features": ["kind"]}},
        "FEATURE_NOT_NUMERIC",
        "features: column 'kind' is String, not a number",
    ),
    "text as target": ({}, {"data": {"targets": ["kind"]}}, "FEATURE_NOT_NUMERIC", "targets: column 'kind' is String"),
    "null": (
        changed(x1=pl.when(pl.int_range(pl.len()) == 17).then(None).otherwise(pl.col("x1"))),
        {},
        "DATA_NOT_FINITE",
        "column 'x1' of part 'train' has 1 rows with null, NaN or infinity, the first in row 17: add a fill",
    ),
    "NaN": (
        changed(y=pl.when(pl.int_range(pl.len()) > 470).then(float("nan")).otherwise(pl.col("y"))),
        {},
        "DATA_NOT_FINITE",
        "column 'y' of part 'train' has 9 rows .* first in row 471",
    ),
    "too large for float32": (
        changed(x0=pl.lit(1e300)),
        {},
        "DATA_NOT_FINITE",
        "column 'x0' of part 'train' has 480 rows",
    ),
    "window too long": (
        {},
        {"data": {"window": 200}},
        "DATA_TOO_SHORT",
        r"no series of the training part \(480 rows in all\) has the 200 rows of one window: take a smaller",
    ),
    "horizon too long": (
        {},
        {"data": {"targets": [], "horizon": 9}, "objective": FORECASTING},
        "DATA_TOO_SHORT",
        "the 12 rows of one window and 9 rows after it",
    ),
    "no rows": ({"train": rows(0, 1)}, {}, "DATA_TOO_SHORT", r"\(0 rows in all\)"),
    "one class": (changed(kind=pl.lit("same")), CLASSES, "ONE_CLASS_ONLY", "column 'kind' has the class 'same' alone"),
    "a class that training lacks": (
        {"train": rows(40, 1), "test": rows(12, 3).with_columns(kind=pl.lit("new"))},
        CLASSES,
        "CLASS_UNKNOWN",
        "column 'kind' of part 'test' has the class 'new' in row 11, which the training part does not have",
    ),
    "weight of no class": (
        {},
        CLASSES | {"objective": {**CLASSES["objective"], "class_weights": {"huge": 2}}},
        "CLASS_UNKNOWN",
        "class_weights: there is no class 'huge' in the training part; there are high, low, mid",
    ),
    "class missing": (
        changed(kind=pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise(pl.col("kind"))),
        CLASSES,
        "DATA_NOT_FINITE",
        "1 rows without a class, the first in row 5",
    ),
    "no training part": ({"test": rows(12, 3)}, {}, "PART_MISSING", "no part 'train', only test"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_refused_with_the_place_and_the_remedy(tmp_path: Path, name: str) -> None:
    parts, spec, reason, text = BAD[name]
    with pytest.raises(TrainingError, match=text) as caught:
        loaded(Folder(path=tmp_path, parts=parts), spec)
    assert (caught.value.reason, caught.value.retryable) == (reason, False)


def test_a_measure_taken_for_a_class_is_refused(tmp_path: Path) -> None:
    many = rows(10_050, 1)
    with pytest.raises(TrainingError, match=r"has \d+ classes, more than 10000: is it a measure") as caught:
        loaded(Folder(path=tmp_path, parts={"train": many}), CLASSES | {"data": {"targets": ["y"]}})
    assert caught.value.reason == "TOO_MANY_CLASSES"


def test_data_that_was_never_cut_needs_a_window_in_the_spec(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"set spec.data.window, or add a window step") as caught:
        loaded(Folder(path=tmp_path, window=None))
    assert caught.value.reason == "WINDOW_MISSING"
    dataset = loaded(Folder(path=tmp_path / "cut", window=None), {"data": {"window": 5, "stride": 2}})
    assert len(dataset.parts["train"]) == 40 * 4


def test_anomaly_needs_rows_before_the_last(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="windows have 1 row, and anomaly"):
        loaded(Folder(path=tmp_path, window={"length": 1, "stride": 1, "horizon": 0}), ANOMALY)


@pytest.mark.parametrize("damage", ["gone", "cut", "index"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    folder = Folder(path=tmp_path).lay()
    path = tmp_path / "in" / "data" / "train.parquet"
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path = path.with_name("train.windows.parquet")
        pl.DataFrame({"start": [0, 9999]}).write_parquet(path)
    job = read_job(folder.path)
    with pytest.raises(TrainingError, match=path.name) as caught:
        load(job.manifest, job.spec)
    assert (caught.value.reason, caught.value.retryable) == ("DATA_DAMAGED", True)


def test_a_manifest_that_is_none_is_told(tmp_path: Path) -> None:
    job = read_job(Folder(path=tmp_path).lay().path)
    job.manifest.write_text(json.dumps({"parts": "none"}))
    with pytest.raises(TrainingError, match=r"manifest.json of the dataset cannot be read"):
        load(job.manifest, job.spec)


def test_the_index_of_the_dataset_is_used_as_it_is(tmp_path: Path) -> None:
    folder = Folder(path=tmp_path).lay()
    path = tmp_path / "in" / "data" / "train.windows.parquet"
    pl.DataFrame({"start": [3, 100]}).write_parquet(path)
    job = read_job(folder.path)
    assert load(job.manifest, job.spec).parts["train"].starts.tolist() == [3, 100]


def test_another_window_cuts_anew_inside_each_series(tmp_path: Path) -> None:
    dataset = loaded(Folder(path=tmp_path), {"data": {"window": 5, "stride": 3}})
    assert dataset.parts["train"].starts.tolist() == [
        12 * series + first for series in range(40) for first in (0, 3, 6)
    ]
    assert dataset.shape == Shape(5, 3, 1)


def test_features_are_all_numbers_but_series_time_and_targets(tmp_path: Path) -> None:
    dataset = loaded(Folder(path=tmp_path))
    assert (dataset.features, dataset.targets) == (("x0", "x1", "x2"), ("y",))


def test_named_features_go_in_in_their_order(tmp_path: Path) -> None:
    dataset = loaded(Folder(path=tmp_path), {"data": {"features": ["x2", "x0"]}})
    inputs, truth = dataset.parts["test"].batch(torch.tensor([1]))
    frame = rows(12, 3)[WINDOW : 2 * WINDOW]
    assert inputs[0].tolist() == [list(row) for row in frame.select("x2", "x0").iter_rows()]
    assert truth.tolist() == [[frame["y"][-1]]]


def test_a_forecast_of_one_target_may_see_its_past(tmp_path: Path) -> None:
    window = {"length": 6, "stride": 6, "horizon": 2}
    dataset = loaded(Folder(path=tmp_path, window=window), {"objective": FORECASTING})
    assert dataset.features == ("x0", "x1", "x2", "y")
    assert (dataset.horizon, dataset.shape.outputs) == (2, 2)
    _, truth = dataset.parts["test"].batch(torch.tensor([0]))
    assert truth.flatten().tolist() == rows(12, 3)["y"][6:8].to_list()


def test_numbers_as_classes_are_ordered_by_size(tmp_path: Path) -> None:
    numbers = {"train": rows(40, 1).with_columns(kind=pl.int_range(pl.len()) // WINDOW % 12)}
    dataset = loaded(Folder(path=tmp_path, parts=numbers), CLASSES)
    assert dataset.classes == tuple(str(number) for number in range(12))


def test_balanced_weights_have_a_mean_of_one_over_the_windows(tmp_path: Path) -> None:
    dataset = loaded(
        Folder(path=tmp_path), CLASSES | {"objective": {**CLASSES["objective"], "class_weights": {"balanced": 1}}}
    )
    assert dataset.weights is not None
    labels = dataset.parts["train"].truths()
    assert float(dataset.weights[labels].mean()) == pytest.approx(1.0, rel=1e-5)
    counts = torch.bincount(labels).float()
    assert torch.allclose(dataset.weights * counts, (dataset.weights * counts).mean().expand(3), rtol=1e-4)


def test_a_network_that_does_not_fit_the_data_is_refused_with_both_shapes() -> None:
    shape = Shape(window=5, features=3, outputs=2)
    with pytest.raises(TrainingError, match=r"'mine' makes \[2, 5, 2\] of \[2, 5, 3\], but the data needs \[2, 2\]"):
        check_fit(torch.nn.Linear(3, 2), "mine", shape)
    with pytest.raises(TrainingError, match=r"'mine' does not take \[2, 5, 3\]"):
        check_fit(torch.nn.Linear(4, 2), "mine", shape)
