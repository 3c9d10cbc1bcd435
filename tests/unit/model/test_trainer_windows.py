"""Windows of a part: cut inside series, taken without copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from services.model.trainer.data.windows import Cut, Windows, cut_starts

pytestmark = pytest.mark.torch


@given(
    lengths=st.lists(st.integers(1, 30), max_size=6),
    length=st.integers(1, 12),
    stride=st.integers(1, 12),
    horizon=st.integers(0, 5),
)
def test_windows_are_cut_inside_series_and_nowhere_else(
    lengths: list[int], length: int, stride: int, horizon: int
) -> None:
    series = np.repeat(np.arange(len(lengths)), lengths)
    wanted, first = [], 0
    for rows in lengths:
        wanted += [first + start for start in range(0, rows, stride) if start + length + horizon <= rows]
        first += rows
    assert cut_starts(series, len(series), Cut(length, stride, horizon)).tolist() == wanted


def test_without_a_series_column_all_rows_are_one_series() -> None:
    assert cut_starts(None, 10, Cut(4, 3, 0)).tolist() == [0, 3, 6]


def test_texts_tell_series_apart_too() -> None:
    series = np.array(["a", "a", "b", "b", "b"], dtype=object)
    assert cut_starts(series, 5, Cut(2, 1, 0)).tolist() == [0, 2, 3]


def make(ahead: int = 0) -> tuple[Windows, torch.Tensor]:
    rows = torch.arange(60, dtype=torch.float32).reshape(20, 3)
    starts = torch.tensor([0, 1, 7, 12])
    windows = Windows(rows, rows, starts, window=5, offset=5 if ahead else 4, ahead=ahead)
    return windows, rows


def test_a_batch_has_the_rows_of_its_windows_and_the_truth_at_their_last_row() -> None:
    windows, rows = make()
    inputs, truth = windows.batch(torch.tensor([2, 0]))
    assert torch.equal(inputs, torch.stack([rows[7:12], rows[0:5]]))
    assert torch.equal(truth, torch.stack([rows[11], rows[4]]))


def test_a_forecast_has_the_rows_after_its_window_as_truth() -> None:
    windows, rows = make(ahead=3)
    _, truth = windows.batch(torch.tensor([3, 1]))
    assert torch.equal(truth, torch.stack([rows[17:20], rows[6:9]]))


def test_overlapping_windows_share_the_memory_of_their_rows() -> None:
    windows, rows = make()
    assert windows._inputs.data_ptr() == rows.data_ptr()
    assert windows._inputs.untyped_storage().nbytes() == rows.untyped_storage().nbytes()


def test_the_truths_of_all_windows_come_in_order() -> None:
    windows, rows = make()
    assert torch.equal(windows.truths(), rows[[4, 5, 11, 16]])
    assert len(windows) == 4
