"""What comments need from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.doc.domain.comments.comment import Comment, Span
from services.doc.domain.notifications.notice import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A comment about to be kept."""

    comment_id: str
    tenant_id: str
    space: str
    document_id: str
    review_id: str
    thread_id: str
    branch: str
    span: Span | None
    quote: str
    text: str
    author: str
    mentions: Sequence[str]


@dataclass(frozen=True, slots=True)
class ReviewPlace:
    """Where a review is, and whose."""

    space: str
    author: str
    title: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the text of a comment is in a later revision."""

    comment_id: str
    revision_id: str
    start: int
    end: int
    lost: bool


class CommentStore(Protocol):
    """Comments. Anything of another tenant is not there. Every method may raise Unavailable."""

    async def add(self, draft: Draft, notices: Sequence[Notice], *, most: int) -> Comment:
        """With what it tells, in one transaction; its author and who is mentioned follow the document from then on.

        Raises TooManyComments.
        """
        ...

    async def get(self, tenant_id: str, comment_id: str) -> Comment:
        """Raises CommentNotFound."""
        ...

    async def all(
        self, tenant_id: str, *, document_id: str, review_id: str, branch: str, resolved: bool
    ) -> Sequence[Comment]:
        """Of a document on a branch, or of a review; with answers; by time."""
        ...

    async def change(self, comment: Comment, text: str, mentions: Sequence[str], notices: Sequence[Notice]) -> Comment:
        """An empty text removes it. Raises CommentNotFound."""
        ...

    async def resolve(self, tenant_id: str, comment_id: str, user: str) -> Comment:
        """By nobody: it is open again. Raises CommentNotFound."""
        ...

    async def move(self, tenant_id: str, moved: Sequence[Moved]) -> None:
        """Remembers where they are now."""
        ...

    async def thread(self, tenant_id: str, thread_id: str) -> Sequence[str]:
        """Who has said something in it."""
        ...

    async def review(self, tenant_id: str, review_id: str) -> ReviewPlace:
        """Raises ReviewNotFound."""
        ...
