"""The learning rate of each step."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.model.domain.training.optimization import SCHEDULES, Optimization
from services.model.trainer.learning.schedule import PLATEAU_PATIENCE, Plateau, rate


def rates(steps: int, **plan: Any) -> list[float]:
    optimization = Optimization(learning_rate=0.5, **plan)
    return [rate(optimization, step, steps, Plateau()) for step in range(steps)]


def test_a_constant_rate_stays() -> None:
    assert set(rates(10)) == {0.5}


def test_a_warm_up_rises_to_the_rate_in_equal_steps() -> None:
    assert rates(6, warmup_steps=4) == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_cosine_begins_at_the_rate_and_falls_towards_zero() -> None:
    found = rates(100, schedule="cosine")
    assert found[0] == 0.5
    assert found[50] == pytest.approx(0.25)
    assert found[-1] < 0.001
    assert found == sorted(found, reverse=True)


def test_cosine_after_a_warm_up_begins_where_that_ends() -> None:
    found = rates(20, schedule="cosine", warmup_steps=10)
    assert found[:10] == sorted(found[:10])
    assert found[9] == found[10] == 0.5


@pytest.mark.torch
def test_one_cycle_is_the_one_that_torch_knows() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=50, cycle_momentum=False)
    wanted = []
    for _ in range(50):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(50, schedule="one_cycle") == pytest.approx(wanted, rel=1e-6)


def test_a_plateau_halves_the_rate_when_the_loss_has_not_fallen_for_long_enough() -> None:
    plateau = Plateau()
    for loss in [1.0, 0.9, *[0.9] * PLATEAU_PATIENCE]:
        plateau.see(loss)
        assert plateau.scale == 1.0
    plateau.see(0.95)
    assert plateau.scale == 0.5
    assert rate(Optimization(learning_rate=0.5, schedule="plateau"), 3, 10, plateau) == 0.25


def test_a_loss_that_falls_begins_the_patience_anew() -> None:
    plateau = Plateau()
    for loss in [1.0, 1.0, 1.0, 0.8, 0.8, 0.8]:
        plateau.see(loss)
    assert plateau.scale == 1.0


@given(
    schedule=st.sampled_from(sorted(SCHEDULES)),
    steps=st.integers(1, 300),
    warmup=st.integers(0, 400),
)
def test_no_rate_is_ever_negative_or_above_the_top(schedule: str, steps: int, warmup: int) -> None:
    found = rates(steps, schedule=schedule, warmup_steps=0 if schedule == "one_cycle" else warmup)
    assert len(found) == steps
    assert all(0 <= value <= 0.5 for value in found)
