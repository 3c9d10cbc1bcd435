"""A text as it comes in: checked, and read for all that is derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import PurePosixPath

from automesh.core.errors import ValidationError
from services.doc.domain.documents import front_matter
from services.doc.domain.documents.front_matter import FrontMatter
from services.doc.domain.errors import PageTooLarge
from services.doc.domain.markdown.outline import Outline, outline

MAX_TITLE, MAX_TAGS, MAX_TAG = 300, 50, 100


@dataclass(frozen=True, slots=True)
class Text:
    """Content and what is derived from it."""

    content: str
    front_matter: FrontMatter
    outline: Outline
    title: str
    tags: Sequence[str]
    owner: str
    """As front matter says; empty when it does not."""
    review_at: datetime | None
    has_title: bool = True
    """It says its title itself, in front matter or by a heading."""


def read(content: str, path: str, *, max_bytes: int) -> Text:
    """Raises PageTooLarge, ValidationError for control characters and for front matter that is not understood."""
    check(content, max_bytes)
    matter = front_matter.read(content)
    found = outline(content)
    return Text(
        content=content,
        front_matter=matter,
        outline=found,
        title=(matter.text("title") or found.first_heading or _named(path))[:MAX_TITLE],
        tags=tuple(tag[:MAX_TAG] for tag in matter.texts("tags")[:MAX_TAGS]),
        owner=matter.text("owner")[:MAX_TITLE],
        review_at=_moment(matter.text("review")),
        has_title=bool(matter.text("title") or found.first_heading),
    )


def check(content: str, max_bytes: int) -> None:
    """Raises PageTooLarge, or ValidationError for what no text has."""
    size = len(content.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise PageTooLarge(
            f"the page has {size} bytes; at most {max_bytes} are allowed (doc_max_page_bytes): divide it into several",
            field="content",
            size=size,
            limit=max_bytes,
        )
    if (at := content.find("\x00")) >= 0:
        line = content.count("\n", 0, at) + 1
        raise ValidationError(f"line {line} has a NUL character: a document is text", field="content")


def _named(path: str) -> str:
    stem = PurePosixPath(path).stem.replace("-", " ").replace("_", " ").strip()
    return stem[:1].upper() + stem[1:] if stem else path


def _moment(text: str) -> datetime | None:
    try:
        day = datetime.fromisoformat(text) if len(text) > len("2026-01-01") else date.fromisoformat(text)
    except ValueError:
        return None
    moment = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)  # noqa: DTZ001 - set below
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
