"""What an index is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What must hold besides the words. `spaces` are those that the caller finds: nothing else may be looked at."""

    spaces: tuple[str, ...]
    tag: str = ""
    author: str = ""
    since: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Tokens to be looked for, and where."""

    filters: Filters
    terms: tuple[str, ...]
    written: tuple[str, ...] = ()
    """The same words as they were typed, in lower case."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Tokens that are worth more side by side."""
    phrases: tuple[tuple[str, ...], ...] = ()
    """Each must occur as it stands."""
    exact: int = 0
    """A title or heading with just these words is what was meant (page.exact_of)."""
    nearest: tuple[str, ...] = ()
    """Documents that are near by what they mean, the nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A document that was found, with its best section."""

    document_id: str
    space: str
    path: str
    title: str
    tags: Sequence[str]
    changed_at: datetime
    heading: str
    anchor: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Title:
    """Of a document, to be suggested."""

    text: str
    document_id: str
    space: str
    path: str


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How far an index has come with the documents of some spaces."""

    engine: str
    sequence: int
    sections: int
    rebuilding: bool = False
