"""Puts network, optimizer and step together as the spec, the device and the number of processes want them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, AdamW, Optimizer

from services.model.domain.training.architecture import Plugin
from services.model.domain.training.optimization import Optimization
from services.model.domain.training.spec import TrainingSpec
from services.model.networks.build import build
from services.model.trainer.data.dataset import Dataset
from services.model.trainer.data.manifest import TRAIN
from services.model.trainer.learning import precision
from services.model.trainer.learning.criterion import Criterion
from services.model.trainer.learning.graph_stepping import GraphStepping
from services.model.trainer.learning.stepping import EagerStepping, Stepping
from services.model.trainer.ranks import Place, Ranks
from services.model.trainer.state import generators, weights
from services.model.trainer.state.checkpoint import Checkpoint

MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Assembly:
    """`network` has the weights; `called` is what is called: wrapped, where several processes share the work."""

    network: nn.Module
    called: nn.Module
    optimizer: Optimizer
    stepping: Stepping
    criterion: Criterion
    precision: str


def assemble(
    spec: TrainingSpec, dataset: Dataset, device: torch.device, ranks: Ranks, checkpoint: Checkpoint | None
) -> Assembly:
    """Everything in the state of `checkpoint`, generators included, or fresh under the spec's seed."""
    optimization = spec.optimization
    torch.manual_seed(spec.seed % 2**63)  # equal weights on all ranks
    network = build(spec.architecture, dataset.shape).to(device)
    generators.seed_all(spec.seed, ranks.place.rank)
    called = _share(network, spec, device, ranks.place)
    ranks.keep(called)
    recorded = _recordable(spec, device, ranks.place)
    optimizer = _optimizer(network, optimization, device, recorded=recorded)
    if checkpoint is not None:
        weights.load_network(network, checkpoint.model)
        weights.load_optimizer(network, optimizer, checkpoint.optimizer)
    criterion = Criterion(spec.objective, None if dataset.weights is None else dataset.weights.to(device))
    chosen = precision.choose(optimization.precision, device)
    network.train()
    windows = dataset.parts[TRAIN]
    stepping: Stepping
    if recorded:
        batch = min(optimization.batch_size, len(windows))
        stepping = GraphStepping(
            network, optimizer, criterion, windows, batch=batch, precision=chosen, clip_norm=optimization.clip_norm
        )
    else:
        stepping = EagerStepping(
            called, optimizer, criterion, windows, precision=chosen, clip_norm=optimization.clip_norm
        )
    if checkpoint is not None:
        _go_on(stepping, checkpoint, device, ranks.place.rank)
    return Assembly(network, called, optimizer, stepping, criterion, chosen)


def _go_on(stepping: Stepping, checkpoint: Checkpoint, device: torch.device, rank: int) -> None:
    own = {
        name.removeprefix(f"{rank}."): tensor
        for name, tensor in checkpoint.generators.items()
        if name.startswith(f"{rank}.")
    }
    if own:  # a rank that was not there before keeps its fresh seed
        generators.restore(own, device)
    stepping.losses.fill_(checkpoint.state.loss_sum)


def _share(network: nn.Module, spec: TrainingSpec, device: torch.device, place: Place) -> nn.Module:
    if place.world == 1:
        return network
    if spec.resources.strategy == "fsdp":
        mesh = init_device_mesh(device.type, (place.world,))
        for block in getattr(network, "blocks", ()):
            fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def _recordable(spec: TrainingSpec, device: torch.device, place: Place) -> bool:
    """Whether a step can be one CUDA graph (see GraphStepping). Plug-ins may do what cannot be recorded."""
    optimization = spec.optimization
    return (
        device.type == "cuda"
        and place.world == 1
        and optimization.accumulate == 1
        and optimization.optimizer != "sgd"
        and not isinstance(spec.architecture, Plugin)
    )


def _optimizer(network: nn.Module, optimization: Optimization, device: torch.device, *, recorded: bool) -> Optimizer:
    rate, decay = optimization.learning_rate, optimization.weight_decay
    if optimization.optimizer == "sgd":
        return SGD(network.parameters(), lr=rate, weight_decay=decay, momentum=MOMENTUM, fused=True)
    kind = AdamW if optimization.optimizer == "adamw" else Adam
    if recorded:
        tensor = torch.tensor(rate, device=device)
        return kind(network.parameters(), lr=tensor, weight_decay=decay, fused=True, capturable=True)
    return kind(network.parameters(), lr=rate, weight_decay=decay, fused=True)
