"""What search needs from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.doc.domain.search.page import IndexedPage
from services.doc.domain.search.plan import Hit, IndexStatus, Plan, Title
from services.doc.domain.search.spelling import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What became of some documents of a tenant."""

    tenant_id: str
    pages: Sequence[IndexedPage] = ()
    gone: Sequence[str] = ()
    """Documents that are not to be found any more."""
    gone_numbers: Sequence[int] = ()
    """The same by their numbers."""


class Sink(Protocol):
    """Takes the documents of a tenant while its index is built anew."""

    async def add(self, pages: Sequence[IndexedPage]) -> None:
        """Some of them, each once."""
        ...

    async def catch_up(self, update: Update, sequence: int) -> None:
        """What changed meanwhile: it is now at that sequence."""
        ...


class FollowingIndex(Protocol):
    """The side of an index that follows the documents."""

    async def position(self) -> int | None:
        """The last change that it knows of; None before it ever began."""
        ...

    async def begin(self, sequence: int, tenants: Sequence[str]) -> None:
        """Starts over at that change: all of these tenants are to be built anew."""
        ...

    async def apply(self, updates: Sequence[Update], *, since: int, sequence: int) -> bool:
        """Goes from one position to the next; False when somebody else has done it."""
        ...

    async def numbers(self, tenant_id: str, space: str) -> frozenset[int]:
        """The documents that it has of a space."""
        ...

    async def unbuilt(self) -> Sequence[str]:
        """Tenants whose index is to be built anew: it never was, or it is damaged."""
        ...

    def build(self, tenant_id: str, sequence: int) -> AbstractAsyncContextManager[Sink | None]:
        """Builds one anew; it takes the place of the old one when the block ends well. None: somebody else does."""
        ...


class SearchIndex(FollowingIndex, Protocol):
    """Finds documents. Whatever it tells is of the spaces that it is given only.

    Raises IndexNotReady while it cannot answer for a tenant.
    """

    @property
    def engine(self) -> str:
        """Its name."""
        ...

    def edition(self, tenant_id: str) -> object | None:
        """Changes when answers may change; None: they must not be remembered."""
        ...

    async def contents(self, tenant_id: str) -> str | None:
        """Stands for all that it has of a tenant: whatever says the same answers the same. None: nothing does."""
        ...

    async def search(self, tenant_id: str, plan: Plan, *, offset: int, limit: int) -> Sequence[Hit]:
        """A page of what fits, best first."""
        ...

    async def frequencies(self, tenant_id: str, spaces: Sequence[str], tokens: Sequence[str]) -> Mapping[str, int]:
        """In how many sections, about, each token is; 0 exactly for those that are nowhere in the spaces."""
        ...

    async def vocabulary(self, tenant_id: str, spaces: Sequence[str]) -> Vocabulary:
        """The words of the spaces as they are written; it may be some seconds old."""
        ...

    async def titles(
        self, tenant_id: str, spaces: Sequence[str], words: Sequence[str], prefix: str, limit: int
    ) -> Sequence[Title]:
        """Documents whose titles have all the words and one that begins with the prefix (all folded and in
        lower case: see tokens.fold)."""
        ...

    async def completions(self, tenant_id: str, spaces: Sequence[str], prefix: str, limit: int) -> Sequence[str]:
        """Words that begin so, the most frequent first."""
        ...

    async def status(self, tenant_id: str, spaces: Sequence[str]) -> IndexStatus:
        """How far it has come; only the sections of the spaces are counted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A search that somebody made. `query` is in lower case; `space` is empty for all."""

    search_id: str
    tenant_id: str
    space: str
    person: str
    query: str
    results: int


class SearchLog(Protocol):
    """Counts searches."""

    def searched(self, search: Searched) -> None:
        """Returns at once and never fails: the searcher is waiting."""
        ...


class Embeddings(Protocol):
    """Documents by what they mean. There is none until the model service serves embeddings."""

    async def nearest(self, tenant_id: str, spaces: Sequence[str], query: str, limit: int) -> Sequence[str]:
        """Ids of documents near the query, the nearest first. The index still asks whether the caller finds them."""
        ...
