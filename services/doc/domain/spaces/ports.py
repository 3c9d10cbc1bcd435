"""What spaces need from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import NewSpace, Space


class SpaceStore(Protocol):
    """Spaces with members and rules. Anything of another tenant is not there."""

    async def add(self, tenant_id: str, space: NewSpace, created_by: str) -> Space:
        """With an empty branch "main". Raises SpaceTaken."""
        ...

    async def get(self, tenant_id: str, space: str) -> Space:
        """Raises SpaceNotFound."""
        ...

    async def counted(self, tenant_id: str, space: str) -> Space:
        """The same with its documents counted."""
        ...

    async def list(self, person: Person, *, limit: int, after: str) -> Sequence[Space]:
        """A page of those that the person finds, by name."""
        ...

    async def visible(self, person: Person) -> Sequence[str]:
        """The names of all that the person finds."""
        ...

    async def replace(self, tenant_id: str, space: NewSpace, edition: int) -> Space:
        """Raises SpaceNotFound, or SpaceChanged when it is at another edition."""
        ...

    async def delete(self, tenant_id: str, space: str, *, force: bool) -> None:
        """With everything in it when forced. Raises SpaceNotFound, SpaceNotEmpty."""
        ...
