"""What drafts need from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from services.doc.domain.drafts.draft import Draft, NewDraft


class DraftStore(Protocol):
    """Drafts of people. What is returned from `save` survives a crash. Nobody finds those of another."""

    async def save(self, tenant_id: str, user: str, draft: NewDraft, *, most: int) -> Draft:
        """Keeps it in the place of the version that was read, unless it is what is kept already.

        Raises DraftChanged, TooManyDrafts, SpaceNotFound.
        """
        ...

    async def get(self, tenant_id: str, user: str, draft_id: str) -> Draft:
        """Raises DraftNotFound."""
        ...

    async def list(
        self, tenant_id: str, user: str, spaces: Sequence[str], *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Draft]:
        """A page of those in these spaces, the latest first; without contents."""
        ...

    async def delete(self, tenant_id: str, user: str, draft_id: str) -> None:
        """One that is not there is no error."""
        ...

    async def expire(self, keep_for: timedelta, limit: int) -> int:
        """Forgets those that were not saved for so long, of everybody; how many."""
        ...
