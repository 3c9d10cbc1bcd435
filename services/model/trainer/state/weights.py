"""Weights and optimizer state as named CPU tensors, and back; sharded ones (FSDP) are put together first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

Tensors = dict[str, Tensor]


def network_tensors(network: nn.Module) -> Tensors:
    """Copies of weights and buffers. With FSDP all processes must call it."""
    return _copies(network.state_dict())


def load_network(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The reverse. Raises RuntimeError when names or shapes differ, naming both."""
    own = network.state_dict()
    sharded = {name: _like(tensor, own[name]) for name, tensor in tensors.items() if name in own}
    network.load_state_dict({**tensors, **sharded})


def optimizer_tensors(network: nn.Module, optimizer: Optimizer) -> Tensors:
    """Copies of what the optimizer remembers of each weight, as "name/key"."""
    return _copies(
        {
            f"{name}/{key}": value
            for name, weight in network.named_parameters()
            for key, value in optimizer.state.get(weight, {}).items()
            if isinstance(value, Tensor)
        }
    )


def load_optimizer(network: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The reverse."""
    weights = dict(network.named_parameters())
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition("/")
        weight = weights[name]
        state: dict[str, Any] = optimizer.state[weight]
        state[key] = tensor.to(weight.device) if key == "step" else _like(tensor, weight.detach())


def all_finite(network: nn.Module) -> bool:
    """Whether every weight of this process is a number."""
    parts = [_local(weight.detach()).isfinite().all() for weight in network.parameters()]
    return bool(torch.stack(parts).all())  # one question to the device, not one a weight


def _copies(tensors: Mapping[str, Tensor]) -> Tensors:
    """On the CPU. What lies on a device comes over in one piece a type: each copy waits for the device."""
    whole = {name: _whole(tensor) for name, tensor in tensors.items()}
    copied = {name: tensor.clone() for name, tensor in whole.items() if tensor.device.type == "cpu"}
    kinds: dict[torch.dtype, list[str]] = {}
    for name, tensor in whole.items():
        if name not in copied:
            kinds.setdefault(tensor.dtype, []).append(name)
    for names in kinds.values():
        flat = torch.cat([whole[name].reshape(-1) for name in names]).cpu()
        parts = flat.split([whole[name].numel() for name in names])
        copied |= {
            name: part.reshape(whole[name].shape).clone() for name, part in zip(names, parts, strict=True)
        }  # parts of one storage cannot be written as they are
    return {name: copied[name] for name in tensors}


def _whole(tensor: Tensor) -> Tensor:
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach().contiguous()


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(tensor: Tensor, own: Tensor) -> Tensor:
    """`tensor` on the device, and in the shards, of `own`."""
    moved = tensor.to(own.device, copy=True)
    return distribute_tensor(moved, own.device_mesh, own.placements) if isinstance(own, DTensor) else moved
