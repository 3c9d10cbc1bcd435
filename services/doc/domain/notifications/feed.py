"""What people do with their feeds, and what they follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from automesh.core.errors import Exhausted, ValidationError
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.errors import document_not_found
from services.doc.domain.notifications.notice import Notification
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MAIN

MAX_FOLLOWED = 10_000
"""Of one person."""


class TooManyFollowed(Exhausted):
    """The person follows as much as may be."""

    reason = "TOO_MANY_FOLLOWED"


class FeedStore(Protocol):
    """Feeds and follows. Every method may raise Unavailable."""

    async def list(self, person: Person, *, unseen: bool, limit: int, before: int | None) -> Sequence[Notification]:
        """A page, the latest first; nothing of spaces that the person does not find any more."""
        ...

    async def mark_seen(self, person: Person, sequence: int) -> None:
        """Everything up to it."""
        ...

    async def follow(self, person: Person, space: str, document_id: str, *, stop: bool, most: int) -> bool:
        """From now on, or no longer; False when they follow `most` already."""
        ...

    async def prune(self, keep_days: int, most: int, limit: int) -> int:
        """Forgets what is old, and what is beyond `most` of one person (a bounded number at once); how many."""
        ...


class Feeds:
    """Of people."""

    def __init__(self, store: FeedStore, directory: SpaceDirectory, reader: DocumentReader) -> None:
        self._store, self._directory, self._reader = store, directory, reader

    async def list(self, person: Person, *, unseen: bool, limit: int, before: int | None) -> Sequence[Notification]:
        """A page, the latest first."""
        return await self._store.list(person, unseen=unseen, limit=limit, before=before)

    async def mark_seen(self, person: Person, sequence: int) -> None:
        """Raises ValidationError."""
        if sequence < 0:
            raise ValidationError(f"sequence {sequence} is negative", field="sequence")
        await self._store.mark_seen(person, sequence)

    async def follow(self, person: Person, space: str, document_id: str, *, stop: bool) -> None:
        """A document, or a whole space. Raises SpaceNotFound, DocumentNotFound, TooManyFollowed."""
        await self._directory.find(person, space)
        if document_id and not stop:
            head = await self._reader.head(person, document_id, MAIN)
            if head.space != space:
                raise document_not_found(document_id, MAIN)
        if not await self._store.follow(person, space, document_id, stop=stop, most=MAX_FOLLOWED):
            raise TooManyFollowed(f"you follow {MAX_FOLLOWED} documents and spaces already: stop following some first")
