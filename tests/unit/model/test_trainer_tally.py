"""Metrics, held against formulas written out."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from services.model.domain.training.objective import Objective, ObjectiveKind
from services.model.trainer.learning.criterion import Criterion
from services.model.trainer.learning.tally import ClassTally, ValueTally, higher_is_better, metric_names, tally_for

pytestmark = pytest.mark.torch
CPU = torch.device("cpu")


def test_values_are_measured_over_batches_as_over_all_at_once() -> None:
    generator = torch.Generator().manual_seed(1)
    output, truth = (torch.randn(30, 2, generator=generator) for _ in range(2))
    tally = ValueTally(CPU)
    for first in range(0, 30, 7):
        rows = slice(first, first + 7)
        tally.add(output[rows], truth[rows], (output[rows] - truth[rows]).square().mean(1))
    wrong = output - truth
    assert tally.metrics() == pytest.approx(
        {
            "loss": float(wrong.square().mean()),
            "mae": float(wrong.abs().mean()),
            "rmse": float(wrong.square().mean().sqrt()),
            "r2": float(1 - wrong.square().sum() / (truth - truth.mean()).square().sum()),
        },
        rel=1e-5,
    )


def test_nothing_is_explained_where_all_truths_are_equal() -> None:
    tally = ValueTally(CPU)
    tally.add(torch.zeros(4, 1), torch.ones(4, 1), torch.ones(4))
    assert math.isnan(tally.metrics()["r2"])


def test_classes_are_counted_by_truth_and_choice() -> None:
    tally = ClassTally(3, CPU)
    scores = torch.eye(3)[[0, 0, 1, 2, 1]]
    tally.add(scores, torch.tensor([0, 1, 1, 2, 2]), torch.full((5,), 2.0))
    table = tally.confusion()
    assert table is not None
    assert table.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    found = tally.metrics()
    assert found["accuracy"] == pytest.approx(0.6)
    assert found["f1"] == pytest.approx((2 / 3 + 0.5 + 2 / 3) / 3)
    assert found["loss"] == 2.0


def test_with_very_many_classes_no_table_is_kept() -> None:
    tally = ClassTally(2000, CPU)
    tally.add(torch.zeros(2, 2000), torch.tensor([0, 1]), torch.zeros(2))
    assert tally.confusion() is None
    assert tally.metrics() == {"loss": 0.0, "accuracy": 0.5}


@pytest.mark.parametrize("kind", list(ObjectiveKind))
def test_what_is_promised_is_measured(kind: ObjectiveKind) -> None:
    assert set(tally_for(kind, 3, CPU).metrics()) == set(metric_names(kind))


def test_more_is_better_for_shares_of_what_is_right_alone() -> None:
    assert [name for name in ("val/accuracy", "val/f1", "val/r2", "val/loss", "val/mae") if higher_is_better(name)] == [
        "val/accuracy",
        "val/f1",
        "val/r2",
    ]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_a_loss_is_the_one_that_torch_knows(loss: str) -> None:
    output, truth = torch.randn(6, 4), torch.randn(6, 2, 2)
    known = {"mse": torch.nn.MSELoss, "mae": torch.nn.L1Loss, "huber": torch.nn.HuberLoss}[loss]()
    losses = Criterion(Objective(loss=loss), None)(output, truth)
    assert losses.shape == (6,)
    assert float(losses.mean()) == pytest.approx(float(known(output, truth.flatten(1))), rel=1e-5)


def test_class_weights_scale_the_loss_of_their_class() -> None:
    objective = Objective(kind=ObjectiveKind.CLASSIFICATION)
    output, truth = torch.randn(3, 2), torch.tensor([0, 1, 1])
    plain = Criterion(objective, None)(output, truth)
    assert torch.allclose(
        Criterion(objective, torch.tensor([0.5, 2.0]))(output, truth), plain * torch.tensor([0.5, 2.0, 2.0])
    )
