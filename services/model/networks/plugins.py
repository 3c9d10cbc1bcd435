"""Networks of installed packages, through the entry point group `automesh.models`. No code ever comes over the wire.

An entry point names a callable `(features: int, window: int, outputs: int, config: Mapping[str, Any]) -> nn.Module`;
the module maps [batch, window, features] to [batch, outputs].
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from torch import nn

from services.model.domain.training.architecture import Plugin
from services.model.domain.training.errors import PluginFailed, PluginUnknown
from services.model.networks.shape import Shape

GROUP = "automesh.models"


def build_plugin(plugin: Plugin, shape: Shape) -> nn.Module:
    """The module. Raises PluginUnknown when no package offers it, PluginFailed when it cannot be made."""
    found = _find(plugin.name)
    try:
        module = found.load()(
            features=shape.features, window=shape.window, outputs=shape.outputs, config=dict(plugin.config)
        )
    except Exception as error:  # somebody else's code: anything may come
        raise PluginFailed(
            f"the plug-in {plugin.name!r} ({found.value}) failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise PluginFailed(
            f"the plug-in {plugin.name!r} ({found.value}) made a {type(module).__name__}, not a torch.nn.Module"
        )
    return module


def _find(name: str) -> EntryPoint:
    offered = entry_points(group=GROUP)
    if name not in offered.names:
        names = ", ".join(sorted(offered.names)) or "none"
        raise PluginUnknown(
            f"no installed package offers the architecture {name!r} (entry point group {GROUP}; there are: {names}): "
            "install its package where trainings run"
        )
    return offered[name]
