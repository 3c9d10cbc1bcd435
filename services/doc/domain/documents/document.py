"""Documents, revisions, and what somebody wants to write."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from automesh.core.errors import ValidationError

MAX_MESSAGE = 2000


class Change(StrEnum):
    """What a revision did."""

    CREATE = "CREATE"
    EDIT = "EDIT"
    RENAME = "RENAME"
    DELETE = "DELETE"
    RESTORE = "RESTORE"
    MERGE = "MERGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a document stands on a branch, without its content."""

    tenant_id: str
    space: str
    branch: str
    document_id: str
    revision_id: str
    path: str
    title: str
    tags: Sequence[str] = ()
    owner: str
    review_at: datetime | None = None
    size: int
    sha256: str
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A document with its content."""

    head: Head
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A state that a document once had."""

    revision_id: str
    document_id: str
    number: int
    """Parents have smaller numbers."""
    parents: Sequence[str]
    branch: str
    change: Change
    path: str
    title: str
    author: str
    co_authors: Sequence[str] = ()
    message: str
    created_at: datetime
    size: int
    sha256: str
    lines_added: int
    lines_removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A revision to be made, and where its branch's head is expected to be.

    `expected` is empty where the branch must not have the document yet: it begins with this write, or, when `merged` is
    given, it comes over from the branch that has this revision.
    """

    tenant_id: str
    space: str
    branch: str
    document_id: str
    revision_id: str
    expected: str
    change: Change
    path: str
    content: str
    author: str
    co_authors: Sequence[str] = ()
    message: str
    merged: str = ""
    """A second parent."""
    lines_added: int = 0
    lines_removed: int = 0
    deleted: bool = False
    request_id: str = ""
    fingerprint: bytes = b""

    def __post_init__(self) -> None:
        if len(self.message) > MAX_MESSAGE or "\x00" in self.message:
            raise ValidationError(f"a message has at most {MAX_MESSAGE} characters, none of them NUL", field="message")

    @property
    def parents(self) -> Sequence[str]:
        """The revisions that it comes from; none for one that begins a document."""
        return tuple(each for each in (self.expected, self.merged) if each)


def sha256_of(content: str) -> str:
    """The name of a body: 64 hexadecimal digits."""
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentQuery:
    """A page of documents by path; empty filters let everything pass. `after` is the last space and path before."""

    spaces: Sequence[str]
    """Those that are looked at: the caller finds all of them."""
    branch: str
    prefix: str = ""
    tag: str = ""
    owner: str = ""
    limit: int
    after: tuple[str, str] | None = None
