"""What branches need from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.doc.domain.branches.branch import Branch, Sides, Work


class BranchStore(Protocol):
    """Branches of spaces. Every method may raise Unavailable."""

    async def add(self, tenant_id: str, space: str, branch: str, base: str, created_by: str) -> Branch:
        """Where `base` stands now. Raises BranchTaken, BranchNotFound for the base."""
        ...

    async def get(self, tenant_id: str, space: str, branch: str) -> Branch:
        """Its documents need not be counted, nor their changes be seen in `updated_at`. Raises BranchNotFound."""
        ...

    async def list(
        self, tenant_id: str, space: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Branch]:
        """A page, the latest change first."""
        ...

    async def differing(
        self, tenant_id: str, space: str, branch: str, base: str, *, limit: int, after: str
    ) -> Sequence[Sides]:
        """A page, by document id, of the documents that have other heads on the two branches."""
        ...

    async def work(self, tenant_id: str, branches: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Work]:
        """What was done on each of the branches, named by space and branch; those that are not there are left out."""
        ...

    async def delete(self, tenant_id: str, space: str, branch: str) -> None:
        """One that is not there is no error. Raises BranchInUse while a review is open for it."""
        ...
