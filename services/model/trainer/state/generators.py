"""The random generators that a network draws from: torch on each device, Python and numpy (plug-ins may)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int, rank: int) -> None:
    """Different on each rank, so that dropout differs. Weights are drawn before, under the seed alone."""
    mixed = (seed * 1_000_003 + rank) % 2**63
    torch.manual_seed(mixed)
    random.seed(mixed)
    np.random.seed(mixed % 2**32)


def capture(device: torch.device) -> dict[str, Tensor]:
    """Their state, by name."""
    numpy: Any = np.random.get_state()
    _, keys, position, has_gauss, gauss = numpy
    _, numbers, waiting = random.getstate()
    found = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*keys.tolist(), position, has_gauss, gauss], dtype=torch.float64),
        "python": torch.tensor([*numbers, waiting is not None, waiting or 0.0], dtype=torch.float64),
    }
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Goes on where `capture` was called."""
    torch.set_rng_state(state["torch"].contiguous())
    *keys, position, has_gauss, gauss = state["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), int(position), int(has_gauss), gauss))
    *numbers, waits, waiting = state["python"].tolist()
    random.setstate((3, tuple(int(number) for number in numbers), waiting if waits else None))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].contiguous(), device)
