"""Everything of one replica. Nothing happens before `open`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from automesh.mesh.loops import running
from automesh.mesh.server import Bound
from services.doc.engine.analytics import open_analytics
from services.doc.engine.attachments import open_attachments
from services.doc.engine.collaboration import open_collaboration
from services.doc.engine.core import Core, Outside
from services.doc.engine.documents import open_documents
from services.doc.engine.drafts import open_drafts
from services.doc.engine.editing import open_editing
from services.doc.engine.jobs import open_jobs
from services.doc.engine.options import Options
from services.doc.engine.part import OpenPart
from services.doc.engine.publishing import open_publishing
from services.doc.engine.reviews import open_reviews
from services.doc.engine.search import open_search
from services.doc.engine.templates import open_templates
from services.doc.engine.validation import open_validation

PARTS: Sequence[OpenPart] = (
    open_documents,
    open_attachments,
    open_drafts,
    open_analytics,
    open_validation,
    open_search,
    open_templates,
    open_collaboration,
    open_reviews,
    open_jobs,
    open_editing,
    open_publishing,
)


class DocEngine:
    """The parts, opened in their order and closed in the other."""

    def __init__(self, outside: Outside, options: Options) -> None:
        self.core = Core(outside, options)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Sequence[Bound]]:
        """Runs the loops while it is open; yields the servicers."""
        async with AsyncExitStack() as stack:
            parts = [await stack.enter_async_context(part(self.core)) for part in PARTS]
            loops = {name: step for part in parts for name, step in part.loops.items()}
            await stack.enter_async_context(running(loops))
            yield [bound for part in parts for bound in part.bounds]
