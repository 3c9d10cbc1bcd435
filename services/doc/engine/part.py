"""A part of the service: its servicers, and the loops that it keeps running."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from automesh.mesh.loops import Step
from automesh.mesh.server import Bound

if TYPE_CHECKING:
    from services.doc.engine.core import Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one part adds."""

    bounds: Sequence[Bound] = ()
    loops: Mapping[str, Step] = field(default_factory=dict)


OpenPart = Callable[["Core"], AbstractAsyncContextManager[Part]]
"""Wires a part: opens what only it needs, yields it, closes what it opened."""
