"""What analytics need from outside. Every method may raise Unavailable while what stands behind it is away.

Days are UTC's. Anything of another tenant is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from services.doc.domain.analytics.events import SearchDone
from services.doc.domain.analytics.figures import Figures, Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody, known by a hash of the day only, at a path or a document."""

    tenant_id: str
    space: str
    path: str = ""
    document_id: str = ""
    visitor: bytes
    robot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FiguresQuery:
    """Of a space, from the day `since` to `today`. `everywhere`: with searches of all spaces."""

    tenant_id: str
    space: str
    since: date
    today: date
    now: datetime
    review_after: timedelta
    limit: int
    everywhere: bool


class ViewStore(Protocol):
    """Who reads what."""

    async def read(
        self, tenant_id: str, space: str, document_id: str, user: str, day: date, *, confirmed: str = ""
    ) -> None:
        """Counts a person once a day, and keeps what they have confirmed."""
        ...

    async def visited(self, visits: Sequence[Visit], day: date) -> None:
        """Counts each visitor once a document and day. A path without a document is nothing."""
        ...

    async def salt(self, day: date) -> bytes:
        """The salt of that day: the same for all who ask, and gone when the day is over."""
        ...

    async def readers(
        self, tenant_id: str, document_id: str, *, limit: int, before: tuple[date, str] | None
    ) -> Sequence[Reader]:
        """A page, who read it last first."""
        ...


class SearchStore(Protocol):
    """What is looked for."""

    async def searched(self, searches: Sequence[SearchDone]) -> None:
        """Writes them down; one that is there already is no error."""
        ...

    async def clicked(self, tenant_id: str, search_id: str, document_id: str, rank: int, now: datetime) -> None:
        """The first click of a search counts."""
        ...


class FiguresStore(Protocol):
    """What has been counted."""

    async def figures(self, query: FiguresQuery) -> Figures:
        """All of them, of one moment."""
        ...


class RollUp(Protocol):
    """Keeps what is counted small. Each method does a bounded piece and says whether there may be more to do."""

    async def forget_persons(self) -> bool:
        """Of spaces that store none."""
        ...

    async def forget_days(self, today: date) -> bool:
        """Salts of days that are over, and hashes made with them."""
        ...

    async def fold_searches(self, before: datetime) -> bool:
        """Searches become counts of queries by the day."""
        ...

    async def fold_days(self, before: date) -> bool:
        """Counts by the day become counts by the month, and a point a day of the space."""
        ...

    async def trim_queries(self, today: date, keep: int, *, folded: date) -> bool:
        """Of each space and day that is over, or month before `folded`, the queries that count most stay.

        The others become one without a name.
        """
        ...

    async def forget(self, before: date) -> bool:
        """What is older than any figure shows, and what belongs to spaces that are gone."""
        ...
