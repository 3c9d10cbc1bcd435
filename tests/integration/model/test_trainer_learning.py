"""The loop learns, stops when it should, and goes on exactly where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from automesh.core.errors import ValidationError
from services.model.domain.training.errors import PartMissing, TrainingDiverged
from services.model.trainer.state.saver import folders
from tests.integration.model.lessons import Lesson, lesson, same
from tests.integration.model.training_folder import TRANSFORMER, Folder, curve, of_kind, rows

pytestmark = pytest.mark.torch
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "lstm": {},
    "both_ways": {"architecture": {"lstm": {"hidden": 6, "layers": 2, "dropout": 0.3, "bidirectional": True}}},
    "transformer": {"architecture": TRANSFORMER},
    "attention_dropout": {"architecture": {"transformer": {"hidden": 8, "heads": 2, "attention_dropout": 0.2}}},
}
CLASSES: dict[str, Any] = {"data": {"targets": ["kind"]}, "objective": {"kind": "OBJECTIVE_KIND_CLASSIFICATION"}}
FORECAST = {
    "data": {"targets": [], "features": ["x0", "x1"], "window": 6, "stride": 2, "horizon": 3},
    "objective": {"kind": "OBJECTIVE_KIND_FORECASTING", "loss": "huber"},
}
ANOMALY = {"data": {"targets": []}, "objective": {"kind": "OBJECTIVE_KIND_ANOMALY", "loss": "mae"}}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_lowers_the_loss(tmp_path: Path, name: str, precision: str) -> None:
    plan = {"epochs": 12, "precision": precision}
    Folder(path=tmp_path).lay(ARCHITECTURES[name] | {"optimization": plan})
    done = lesson(tmp_path)
    losses = curve(done.lines, "val/loss")
    assert len(losses) == 12
    assert losses[-1] < 0.5 * losses[0]
    assert curve(done.lines, "train/loss")[-1] < 0.5 * curve(done.lines, "train/loss")[0]


@pytest.mark.parametrize(
    ("spec", "metric", "bound"),
    [(CLASSES, "val/accuracy", 0.75), (FORECAST, "val/r2", 0.5), (ANOMALY, "val/r2", 0.5)],
    ids=["classification", "forecasting", "anomaly"],
)
def test_every_objective_is_learned(tmp_path: Path, spec: dict[str, Any], metric: str, bound: float) -> None:
    Folder(path=tmp_path, parts={"train": rows(120, 1), "validation": rows(40, 2)}).lay(
        spec | {"optimization": {"epochs": 25}}
    )
    assert max(curve(lesson(tmp_path).lines, metric)) > bound


def test_balanced_classes_find_the_rare_one(tmp_path: Path) -> None:
    def rare(seed: int) -> pl.DataFrame:
        frame = rows(160, seed)
        return frame.with_columns(kind=pl.when(pl.col("y") > 0.55).then(pl.lit("rare")).otherwise(pl.lit("plain")))

    spec = CLASSES | {"optimization": {"epochs": 8}}
    found = {}
    kinds: dict[str, dict[str, float]] = {"equal": {}, "balanced": {"balanced": 1}}
    for name, weights in kinds.items():
        objective: dict[str, Any] = {**CLASSES["objective"], "class_weights": weights}
        Folder(path=tmp_path / name, parts={"train": rare(1), "validation": rare(2)}).lay(
            spec | {"objective": objective}
        )
        done = lesson(tmp_path / name)
        assert done.loop is not None
        windows = done.loop._dataset.parts["validation"]
        inputs, truth = windows.batch(torch.arange(len(windows)))
        done.loop._assembly.network.eval()
        chosen = done.loop._assembly.network(inputs).argmax(1)
        found[name] = float((chosen == 1)[truth == 1].float().mean())
    assert found["balanced"] > found["equal"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_same_seed_gives_the_same_weights_and_another_one_others(tmp_path: Path, name: str) -> None:
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        Folder(path=tmp_path / folder).lay(ARCHITECTURES[name] | {"seed": seed, "optimization": {"epochs": 1}})
    a, b, c = (lesson(tmp_path / folder).weights for folder in "abc")
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("step", [1, 4, 5, 6, 9, 11])
def test_a_training_that_was_stopped_goes_on_bit_by_bit(tmp_path: Path, name: str, step: int) -> None:
    plan = {"epochs": 4, "schedule": "cosine", "warmup_steps": 2, "clip_norm": 1.0, "early_stopping": {"patience": 9}}
    for folder in ("whole", "cut"):
        Folder(path=tmp_path / folder).lay(ARCHITECTURES[name] | {"optimization": plan})
    whole = lesson(tmp_path / "whole")
    cut = lesson(tmp_path / "cut", stop_after=step)
    assert cut.loop is None
    assert of_kind(cut.lines, "checkpoint")[-1]["step"] == step
    rest = lesson(tmp_path / "cut")
    assert same(whole.weights, rest.weights)
    assert whole.loop is not None
    assert rest.loop is not None
    assert whole.loop.best is not None
    assert rest.loop.best is not None
    assert same(dict(whole.loop.best), dict(rest.loop.best))
    timeless = [(p.name, p.value, p.step, p.epoch) for p in whole.loop.state.history if "second" not in p.name]
    assert [(p.name, p.value, p.step, p.epoch) for p in rest.loop.state.history if "second" not in p.name] == timeless


def test_a_checkpoint_that_came_with_the_job_is_gone_on_from(tmp_path: Path) -> None:
    whole = Folder(path=tmp_path / "whole").lay({"optimization": {"epochs": 4}})
    cut = Folder(path=tmp_path / "cut").lay({"optimization": {"epochs": 4}})
    lesson(cut.path, stop_after=5)
    other = Folder(path=tmp_path / "other").lay({"optimization": {"epochs": 4}}, checkpoint="checkpoint")
    (cut.path / "out" / "checkpoints" / "000005").rename(other.path / "in" / "checkpoint")
    rest = lesson(other.path)
    assert min(point["step"] for line in of_kind(rest.lines, "points") for point in line["points"]) > 5
    assert same(lesson(whole.path).weights, rest.weights)


def last_step(done: Lesson) -> int:
    assert done.loop is not None
    return max(point.step for point in done.loop.state.history)


def test_accumulated_batches_learn_as_one_big_batch(tmp_path: Path) -> None:
    still = {"architecture": {"lstm": {"hidden": 8, "layers": 2, "dropout": 0}}}
    for folder, batch, accumulate in (("big", 16, 1), ("small", 4, 4), ("uneven", 6, 3)):
        plan = {"epochs": 2, "batch_size": batch, "accumulate": accumulate, "precision": "fp32", "optimizer": "sgd"}
        Folder(path=tmp_path / folder).lay(still | {"optimization": plan})
    big, small = (lesson(tmp_path / folder) for folder in ("big", "small"))
    for name, tensor in big.weights.items():
        assert torch.allclose(tensor, small.weights[name], atol=1e-6), name
    assert last_step(big) == last_step(small) == last_step(lesson(tmp_path / "uneven")) == 6


def test_early_stopping_ends_the_training_and_keeps_the_best_weights(tmp_path: Path) -> None:
    plan = {"epochs": 60, "learning_rate": 0.03, "early_stopping": {"patience": 2, "min_delta": 0.001}}
    Folder(path=tmp_path).lay({"optimization": plan})
    done = lesson(tmp_path)
    losses = curve(done.lines, "val/loss")
    assert len(losses) < 60
    assert done.loop is not None
    assert done.loop.state.best is not None
    assert done.loop.state.best.value == min(losses)
    assert done.loop.best is not None
    assert not same(dict(done.loop.best), done.weights)


def test_a_plateau_lowers_the_rate(tmp_path: Path) -> None:
    Folder(path=tmp_path).lay({"optimization": {"epochs": 30, "learning_rate": 0.05, "schedule": "plateau"}})
    found = curve(lesson(tmp_path).lines, "lr")
    assert found[0] == 0.05
    assert found[-1] in {0.05 / 2**halvings for halvings in range(1, 8)}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_goes_on_bit_by_bit(tmp_path: Path, optimizer: str) -> None:
    plan = {"epochs": 2, "optimizer": optimizer, "weight_decay": 0.01}
    for folder in ("whole", "cut"):
        Folder(path=tmp_path / folder).lay({"optimization": plan})
    lesson(tmp_path / "cut", stop_after=4)
    assert same(lesson(tmp_path / "whole").weights, lesson(tmp_path / "cut").weights)


def test_a_rate_that_is_far_too_large_ends_the_training_with_advice(tmp_path: Path) -> None:
    Folder(path=tmp_path).lay(
        {"optimization": {"epochs": 40, "learning_rate": 1e5, "optimizer": "sgd", "precision": "fp32"}}
    )
    with pytest.raises(
        TrainingDiverged, match=r"smaller spec.optimization.learning_rate than 100000, set clip_norm"
    ) as caught:
        lesson(tmp_path)
    kept = [int(path.name) for path in folders(tmp_path / "out")]
    said = f"the checkpoint of step {max(kept)} has the last good weights" if kept else "no good weights to keep"
    assert said in caught.value.message


def test_checkpoints_are_kept_as_asked_the_last_ones_and_the_best(tmp_path: Path) -> None:
    Folder(path=tmp_path).lay(
        {"optimization": {"epochs": 6, "learning_rate": 0.05}, "checkpointing": {"every_steps": 2, "keep_last": 2}}
    )
    done = lesson(tmp_path)
    assert done.loop is not None
    assert done.loop.state.best is not None
    told = [line["step"] for line in of_kind(done.lines, "checkpoint")]
    assert set(told) >= {2, 3, 4, 6, 8, 9, 12, 18}
    left = {int(path.name) for path in folders(tmp_path / "out")}
    assert left == {16, 18, done.loop.state.best.step}


def test_without_a_validation_part_the_test_part_is_watched(tmp_path: Path) -> None:
    Folder(path=tmp_path, parts={"train": rows(40, 1), "test": rows(12, 3)}).lay()
    assert len(curve(lesson(tmp_path).lines, "val/loss")) == 3


def test_with_a_training_part_alone_the_training_loss_is_watched(tmp_path: Path) -> None:
    Folder(path=tmp_path, parts={"train": rows(40, 1)}).lay()
    done = lesson(tmp_path)
    assert curve(done.lines, "val/loss") == []
    assert done.loop is not None
    assert done.loop.state.best is not None
    assert done.loop.state.best.name == "train/loss"


def test_early_stopping_by_a_part_that_is_not_there_is_refused(tmp_path: Path) -> None:
    Folder(path=tmp_path, parts={"train": rows(40, 1)}).lay({"optimization": {"early_stopping": {}}})
    with pytest.raises(PartMissing, match="add a split step to its pipeline, or watch 'train/loss'"):
        lesson(tmp_path)


def test_early_stopping_by_a_metric_that_never_comes_is_refused(tmp_path: Path) -> None:
    Folder(path=tmp_path).lay({"optimization": {"early_stopping": {"metric": "val/accuracy"}}})
    with pytest.raises(ValidationError, match="not one of train/loss, val/loss, val/mae, val/r2, val/rmse"):
        lesson(tmp_path)


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Folder(path=tmp_path).lay()
    (tmp_path / "out" / "checkpoints").write_text("a file where a folder should be")
    done = lesson(tmp_path)
    assert len(curve(done.lines, "val/loss")) == 3
    assert of_kind(done.lines, "checkpoint") == []
    assert "CHECKPOINT_NOT_WRITTEN" in capsys.readouterr().err


def test_bf16_and_fp32_learn_equally_well(tmp_path: Path) -> None:
    best = {}
    for precision in ("fp32", "bf16"):
        folder = Folder(path=tmp_path / precision, parts={"train": rows(200, 1), "validation": rows(60, 2)})
        folder.lay({"optimization": {"epochs": 15, "precision": precision}})
        best[precision] = min(curve(lesson(folder.path).lines, "val/loss"))
    assert best["bf16"] == pytest.approx(best["fp32"], rel=0.3)
    assert np.isfinite(best["bf16"])
