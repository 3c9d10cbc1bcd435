"""The figures of a space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from automesh.core.errors import ValidationError

DEFAULT_DAYS, MAX_DAYS = 30, 730
DEFAULT_ENTRIES, MAX_ENTRIES = 20, 1000


@dataclass(frozen=True, slots=True)
class DayCount:
    """One day, UTC."""

    day: date
    views: int = 0
    robot_views: int = 0
    searches: int = 0
    edits: int = 0


@dataclass(frozen=True, slots=True)
class DocumentCount:
    """A count of a document."""

    document_id: str
    path: str
    title: str
    count: int


@dataclass(frozen=True, slots=True)
class QueryCount:
    """A count of a query."""

    query: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StalePage:
    """A page whose time for a review has come."""

    document_id: str
    path: str
    title: str
    owner: str
    updated_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """See automesh.doc.v1.GetSpaceStatisticsResponse."""

    days: Sequence[DayCount]
    most_read: Sequence[DocumentCount]
    most_edited: Sequence[DocumentCount]
    without_results: Sequence[QueryCount]
    without_clicks: Sequence[QueryCount]
    stale: Sequence[StalePage]
    broken_links: Sequence[DocumentCount]
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who has read a document."""

    user: str
    last_day: date
    confirmed_revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which figures: of the last `days` days, `entries` of each list at most; 0 means the default."""

    days: int = 0
    entries: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.days <= MAX_DAYS:
            raise ValidationError(f"days {self.days} is not between 1 and {MAX_DAYS}", field="days")
        if self.entries < 0:
            raise ValidationError(f"page_size {self.entries} is negative", field="page_size")

    @property
    def span(self) -> int:
        """In days."""
        return self.days or DEFAULT_DAYS

    @property
    def limit(self) -> int:
        """Of each list."""
        return min(self.entries or DEFAULT_ENTRIES, MAX_ENTRIES)
