"""Makes networks from their definition."""

from __future__ import annotations

import torch
from torch import nn

from services.model.domain.training.architecture import Architecture, Lstm, Plugin, Transformer
from services.model.domain.training.errors import ShapeMismatch
from services.model.networks.lstm import LstmNetwork
from services.model.networks.plugins import build_plugin
from services.model.networks.shape import Shape
from services.model.networks.transformer import TransformerNetwork


def build(architecture: Architecture, shape: Shape) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    It maps [batch, window, features] to [batch, outputs].
    """
    match architecture:
        case Lstm():
            return LstmNetwork(architecture, shape)
        case Transformer():
            return TransformerNetwork(architecture, shape)
        case Plugin():
            module = build_plugin(architecture, shape)
            check_fit(module, architecture.name, shape)
            return module


def check_fit(module: nn.Module, name: str, shape: Shape) -> None:
    """Raises ShapeMismatch, naming both shapes, unless `module` takes and gives what the data needs."""
    given, wanted = (2, shape.window, shape.features), (2, shape.outputs)
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            found = tuple(module(torch.zeros(given)).shape)
    except RuntimeError as error:
        raise ShapeMismatch(f"{name!r} does not take {list(given)}, which is what the data gives: {error}") from error
    finally:
        module.train(was_training)
    if found != wanted:
        raise ShapeMismatch(f"{name!r} makes {list(found)} of {list(given)}, but the data needs {list(wanted)}")
