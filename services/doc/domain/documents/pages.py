"""Documents as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from automesh.core.errors import Unavailable
from services.doc.domain.documents.document import Document
from services.doc.domain.markdown.outline import Heading


@dataclass(frozen=True, slots=True)
class Page:
    """The body of a page: safe HTML without scripts, styles, or anything that loads from elsewhere by itself."""

    html: str
    headings: Sequence[Heading]


class PageRenderer(Protocol):
    """Makes pages of documents; links between documents lead to where the API shows them."""

    async def render(self, document: Document) -> Page:
        """Bounded in time; does not block."""
        ...


class NoPages:
    """A PageRenderer that makes none."""

    async def render(self, document: Document) -> Page:
        raise Unavailable("this installation does not make pages")
