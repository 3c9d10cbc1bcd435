"""Which numbers to compute with, and the context that does it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

FAST_CUDA = (8, 0)
"""Compute capability from which bf16 has units of its own."""


def choose(wanted: str, device: torch.device) -> str:
    """ "fp32" or "bf16"; auto takes bf16 where the hardware has instructions for it."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= FAST_CUDA else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def computing(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context of a forward pass; may be entered again and again."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
