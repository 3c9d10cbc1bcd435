"""What people ask of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automesh.core.errors import ValidationError
from services.doc.domain.documents.document import Document
from services.doc.domain.spaces.space import MAIN
from services.doc.domain.validation.checks import Finding

MAX_REQUEST_ID = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document to be made. `title` becomes its first heading when the text has no title of its own."""

    space: str
    path: str
    content: str
    branch: str = MAIN
    title: str = ""
    message: str = ""
    co_authors: Sequence[str] = ()
    request_id: str = ""

    def __post_init__(self) -> None:
        check_request_id(self.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A revision to be made. None and empty leave things as they are."""

    document_id: str
    expected: str
    """The head that the writer has read."""
    branch: str = MAIN
    content: str | None = None
    path: str = ""
    message: str = ""
    merged: str = ""
    """A second parent."""
    merge_if_clean: bool = False
    co_authors: Sequence[str] = ()
    request_id: str = ""

    def __post_init__(self) -> None:
        check_request_id(self.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A document to be brought back: out of the trash, or to an earlier revision."""

    document_id: str
    expected: str
    branch: str = MAIN
    revision_id: str = ""
    path: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a write."""

    document: Document
    findings: Sequence[Finding] = ()
    merged: bool = False
    """It was merged with what others had written meanwhile."""


def check_request_id(request_id: str) -> None:
    """What somebody calls a write, so that it is done once only. Raises ValidationError."""
    if len(request_id) > MAX_REQUEST_ID or "\x00" in request_id:
        raise ValidationError(
            f"a request_id has at most {MAX_REQUEST_ID} characters, none of them NUL", field="request_id"
        )
