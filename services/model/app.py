"""Wires the model service: the ground it stands on, then its parts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from services.model.engine.ground import open_ground
from services.model.settings import Settings


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """See automesh.mesh.process.run."""
    async with open_ground(settings, mesh):
        bounds: list[Bound] = []
        yield bounds
