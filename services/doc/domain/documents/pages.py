"""Documents as HTML, for those who show them beside the API."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from services.doc.domain.caching.rendered import CachedRenderer
from services.doc.domain.documents.document import Document, Head
from services.doc.domain.documents.pace import Lane
from services.doc.domain.documents.path import SUFFIX, target_of
from services.doc.domain.markdown.outline import Heading, outline
from services.doc.domain.spaces.space import MAIN


@dataclass(frozen=True, slots=True)
class Page:
    """The body of a page: safe HTML without scripts, styles, or anything that loads from elsewhere by itself."""

    html: str
    headings: Sequence[Heading]


class PageMaker:
    """Makes pages whose links lead to where the API has documents and attachments."""

    def __init__(self, renderer: CachedRenderer, lane: Lane) -> None:
        self._renderer, self._lane = renderer, lane

    async def render(self, document: Document, *, revision_id: str = "") -> Page:
        """Bounded in time; does not block. With a revision, its attachments are those of then. Raises PageTooDeep."""
        return await self._lane.turn(len(document.content), self._page, document, revision_id)

    async def _page(self, document: Document, revision_id: str) -> Page:
        head = document.head
        html = await self._renderer.render(
            document.content,
            scope=f"{head.tenant_id}/{head.space}/{head.branch}/{head.path}",
            resolve=lambda link: address(head, link, revision_id=revision_id),
        )
        found = await asyncio.to_thread(outline, document.content)
        return Page(html, found.headings)


def address(head: Head, link: str, *, revision_id: str = "") -> str | None:
    """Where the API has what a relative link leads to; None for one that leads out of the space."""
    target = target_of(link, head.path)
    if target is None:
        return None
    path, anchor = target
    kind = "docs" if path.lower().endswith(SUFFIX) else "attachments"
    asked = {"branch": head.branch} if head.branch != MAIN else {}
    if revision_id and kind == "attachments":
        asked["revision_id"] = revision_id
    query = f"?{urlencode(asked)}" if asked else ""
    return f"/api/v1/spaces/{head.space}/{kind}/{quote(path)}{query}{f'#{quote(anchor)}' if anchor else ''}"
