"""Weights and optimizer state as named CPU tensors, and back; sharded ones (FSDP) are put together first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

Tensors = dict[str, Tensor]


def network_tensors(network: nn.Module) -> Tensors:
    """Copies of weights and buffers. With FSDP all processes must call it."""
    return {name: _whole(tensor) for name, tensor in network.state_dict().items()}


def load_network(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The reverse. Raises RuntimeError when names or shapes differ, naming both."""
    own = network.state_dict()
    sharded = {name: _like(tensor, own[name]) for name, tensor in tensors.items() if name in own}
    network.load_state_dict({**tensors, **sharded})


def optimizer_tensors(network: nn.Module, optimizer: Optimizer) -> Tensors:
    """Copies of what the optimizer remembers of each weight, as "name/key"."""
    return {
        f"{name}/{key}": _whole(value)
        for name, weight in network.named_parameters()
        for key, value in optimizer.state.get(weight, {}).items()
        if isinstance(value, Tensor)
    }


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
    parts = [_local(weight.detach()) for weight in network.parameters()]
    return all(bool(part.isfinite().all()) for part in parts)


def _whole(tensor: Tensor) -> Tensor:
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach().to("cpu", copy=True).contiguous()


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(tensor: Tensor, own: Tensor) -> Tensor:
    """`tensor` on the device, and in the shards, of `own`."""
    moved = tensor.to(own.device, copy=True)
    return distribute_tensor(moved, own.device_mesh, own.placements) if isinstance(own, DTensor) else moved
