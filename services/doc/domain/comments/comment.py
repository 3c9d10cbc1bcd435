"""A comment: what somebody says, and where in the text they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.spaces.space import MAIN

MAX_TEXT, MAX_QUOTE, MAX_MENTIONS = 20_000, 10_000, 20
MAX_COMMENTS = 2_000
"""Of one document on one branch, or of one review."""
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_MENTION = re.compile(r"(?<![\w@./-])@([a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (not included) of a revision, from 0."""

    revision_id: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValidationError(
                f"characters {self.start} to {self.end} are no part of a text: start counts from 0, end is the one "
                "after the last",
                field="anchor",
            )
        if self.end - self.start > MAX_QUOTE:
            raise ValidationError(
                f"{self.end - self.start} characters are too many to comment on at once; at most {MAX_QUOTE}",
                field="anchor",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Where the quoted text is in the head of the branch; `lost`: it is gone, and was there."""

    revision_id: str
    start: int
    end: int
    quote: str
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewComment:
    """What somebody wants to say; checked here."""

    text: str
    document_id: str = ""
    review_id: str = ""
    thread_id: str = ""
    span: Span | None = None
    branch: str = MAIN

    def __post_init__(self) -> None:
        check_text(self.text)
        if not (self.document_id or self.review_id or self.thread_id):
            raise ValidationError("say on which document, or in which review", field="document_id")
        if self.span is not None and (self.thread_id or not self.document_id):
            raise ValidationError("only what begins a thread on a document has an anchor", field="anchor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """As it is kept. `span` is what was looked at; `anchor` where that is now."""

    comment_id: str
    tenant_id: str
    space: str
    document_id: str
    review_id: str
    thread_id: str
    branch: str
    span: Span | None = None
    anchor: Anchor | None = None
    text: str
    """Empty: it was removed."""
    author: str
    mentions: Sequence[str]
    resolved_by: str
    created_at: datetime
    updated_at: datetime


def check_text(text: str) -> str:
    """Raises ValidationError."""
    if not text.strip() or len(text) > MAX_TEXT or "\x00" in text:
        raise ValidationError(f"a comment has 1 to {MAX_TEXT} characters, none of them NUL", field="text")
    if len(set(mentions(text))) > MAX_MENTIONS:
        raise ValidationError(f"a comment mentions at most {MAX_MENTIONS} people", field="text")
    return text


def mentions(text: str) -> Sequence[str]:
    """Names behind "@", each once; not those in code, nor in addresses of mail."""
    return list(dict.fromkeys(name.lower() for name in _MENTION.findall(_CODE.sub(" ", text))))
