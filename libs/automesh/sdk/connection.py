"""The way to the services: as one of them, or as somebody's own program."""

from __future__ import annotations

from typing import Protocol

import grpc

from automesh.mesh.process import Mesh
from automesh.sdk.tokens import Credentials

Metadata = tuple[tuple[str, str], ...]


class Connection(Protocol):
    """What an agent or a client needs of the world."""

    def channel(self, service: str) -> grpc.aio.Channel:
        """The channel to a service; shared, closed by the connection."""
        ...

    async def metadata(self) -> Metadata:
        """What to send along with a call: says who calls."""
        ...


class MeshConnection:
    """Inside a service of the mesh: the certificate alone says who calls."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    def channel(self, service: str) -> grpc.aio.Channel:
        """A channel of the mesh."""
        return self._mesh.channel(service)

    async def metadata(self) -> Metadata:
        """Nothing."""
        return ()


class TokenConnection:
    """A program of its own: the certificate opens the connection, the token says on whose behalf it calls."""

    def __init__(self, mesh: Mesh, credentials: Credentials) -> None:
        self._mesh = mesh
        self._credentials = credentials

    def channel(self, service: str) -> grpc.aio.Channel:
        """A channel of the mesh."""
        return self._mesh.channel(service)

    async def metadata(self) -> Metadata:
        """The access token, renewed when it is about to end. Raises AutomationError when there is none."""
        return (("authorization", f"Bearer {await self._credentials.access_token()}"),)
