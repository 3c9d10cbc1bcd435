"""The order of windows: repeatable, different each epoch, fair over ranks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from services.model.trainer.data.sampler import Sampler

pytestmark = pytest.mark.torch


def test_an_epoch_has_every_window_once_in_an_order_of_its_own() -> None:
    sampler = Sampler(100, 7, rank=0, ranks=1)
    first, second = sampler.order(0).tolist(), sampler.order(1).tolist()
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


def test_the_same_seed_gives_the_same_order_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    assert torch.equal(Sampler(50, 7, rank=0, ranks=1).order(3), Sampler(50, 7, rank=0, ranks=1).order(3))
    assert not torch.equal(Sampler(50, 7, rank=0, ranks=1).order(3), Sampler(50, 8, rank=0, ranks=1).order(3))
    assert torch.equal(torch.get_rng_state(), before)


@given(windows=st.integers(1, 200), ranks=st.integers(1, 7), seed=st.integers(-(2**63), 2**63 - 1))
def test_ranks_share_all_windows_and_have_equally_many(windows: int, ranks: int, seed: int) -> None:
    shares = [Sampler(windows, seed, rank=rank, ranks=ranks).order(2).tolist() for rank in range(ranks)]
    assert {len(share) for share in shares} == {-(-windows // ranks)}
    assert {number for share in shares for number in share} == set(range(windows))
    assert sum(map(len, shares)) - windows < ranks
