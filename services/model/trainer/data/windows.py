"""Windows of a part: strided views over its rows and the first row of each. A batch is the first copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Starts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cut:
    """How series are cut: rows that go in, rows from one window to the next, rows that must follow."""

    length: int
    stride: int
    horizon: int


def cut_starts(series: NDArray[np.generic] | None, rows: int, cut: Cut) -> Starts:
    """First rows of all whole windows, inside each run of equal `series` (None: all rows are one)."""
    firsts = np.zeros(1, dtype=np.int64)
    if series is not None and rows:
        firsts = np.concatenate([firsts, np.flatnonzero(series[1:] != series[:-1]) + 1])
    ends = np.append(firsts[1:], rows)
    need = cut.length + cut.horizon
    pieces = [
        np.arange(first, end - need + 1, cut.stride, dtype=np.int64)
        for first, end in zip(firsts, ends, strict=True)
        if end - first >= need
    ]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)


class Windows:
    """Inputs [n, window, features] and truths of a part, resident on one device."""

    def __init__(
        self, inputs: Tensor, truths: Tensor, starts: Tensor, *, window: int, offset: int, ahead: int = 0
    ) -> None:
        """`inputs` [rows, features] and `truths` [rows, ...] are contiguous.

        The truth of a window lies `offset` rows behind its first row; `ahead` > 0 takes so many rows from there.
        """
        self.starts = starts
        self._window, self._offset, self._ahead = window, offset, ahead
        self._rows = (inputs, truths)
        self._inputs = _sliding(inputs, window)
        self._truths = _sliding(truths, ahead) if ahead else truths

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of the windows with these numbers [b], and their truths."""
        starts = self.starts[numbers]
        return self._inputs[starts], self._truths[starts + self._offset]

    def truths(self) -> Tensor:
        """The truths of all windows, in order."""
        return self._truths[self.starts + self._offset]

    def to(self, device: torch.device) -> Windows:
        """The same on another device."""
        inputs, truths = (rows.to(device) for rows in self._rows)
        return Windows(
            inputs, truths, self.starts.to(device), window=self._window, offset=self._offset, ahead=self._ahead
        )


def _sliding(rows: Tensor, length: int) -> Tensor:
    """[rows, n] -> [rows - length + 1, length, n], without a copy."""
    count, width = rows.shape
    return rows.as_strided((max(count - length + 1, 0), length, width), (width, width, 1))
