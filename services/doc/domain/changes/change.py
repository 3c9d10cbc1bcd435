"""A line of the outbox, and how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNote:
    """Something on a branch "main" is not as it was: read its head for what it is now."""

    sequence: int
    tenant_id: str
    space: str
    document_id: str
    """Empty: the space itself, its members or its visibility, or that it is gone."""
    revision_id: str
    """The revision that was written; empty for a space."""
    time: datetime


class Changes(Protocol):
    """The outbox. Kept for days: whoever was away for longer begins anew from the documents themselves."""

    async def after(self, sequence: int, limit: int) -> Sequence[ChangeNote]:
        """The next lines, of all tenants, by sequence. A line that is seen has none before it that is not seen yet."""
        ...

    async def latest(self) -> int:
        """The last sequence that is seen; 0 when there is none."""
        ...

    async def oldest(self) -> int:
        """The first sequence that is kept; 0 when there is none."""
        ...

    async def prune(self, keep_days: int) -> int:
        """Forgets old lines (a bounded number at once); how many."""
        ...
