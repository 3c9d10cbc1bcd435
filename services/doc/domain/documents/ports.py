"""What documents need from outside. Every method may raise Unavailable while what stands behind it is away.

Times inside a store come from its own clock, so that replicas cannot disagree. Anything of another tenant is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.doc.domain.documents.document import Document, DocumentQuery, Head, Revision, Write
from services.doc.domain.documents.graph import Graph
from services.doc.domain.documents.text import Text


class DocumentStore(Protocol):
    """Documents with their revisions. A write is one transaction: content, revision, head, links, and its change."""

    async def write(self, write: Write, text: Text) -> Head:
        """Makes the revision and moves the head to it.

        Raises StaleHead when the head is another (with that one), DocumentNotFound, PathTaken, BranchNotFound,
        SpaceNotFound, RequestReused. The same request_id and fingerprint return what they made before.
        """
        ...

    async def head(self, tenant_id: str, document_id: str, branch: str) -> Head:
        """Raises DocumentNotFound."""
        ...

    async def at_path(self, tenant_id: str, space: str, branch: str, path: str) -> Head:
        """The document at the path, else the one that left it last. Raises DocumentNotFound."""
        ...

    async def list(self, tenant_id: str, query: DocumentQuery) -> Sequence[Head]:
        """A page by space and path."""
        ...

    async def trash(
        self, tenant_id: str, space: str, branch: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Head]:
        """A page, what was deleted last first."""
        ...

    async def content(self, tenant_id: str, sha256: str) -> str:
        """A body. Raises ContentDamaged when it is not what its hash says."""
        ...

    async def contents(self, tenant_id: str, sha256: Sequence[str]) -> Mapping[str, str]:
        """Several bodies at once."""
        ...

    async def revision(self, tenant_id: str, document_id: str, revision_id: str) -> Revision:
        """Raises RevisionNotFound."""
        ...

    async def revisions(self, tenant_id: str, revision_ids: Sequence[str]) -> Sequence[Revision]:
        """Several, in the order of the ids; those that are not there are left out."""
        ...

    async def history(
        self, tenant_id: str, space: str, *, document_id: str, since: datetime | None, after: str, limit: int
    ) -> Sequence[Revision]:
        """Revisions of a space, or of one document of it, the newest first, from after the revision `after`."""
        ...

    async def write_all(self, writes: Sequence[tuple[Write, Text]]) -> Sequence[Head]:
        """Several writes in one transaction, all or none: merges of reviews, imports, restores.

        Raises as `write` does; at most 1,000 at once. One may take a path that another gives up.
        """
        ...

    async def purge(self, limit: int) -> int:
        """Forgets documents that were in the trash longer than their spaces keep them; how many."""
        ...

    async def sweep(self, limit: int) -> int:
        """Forgets bodies to which nothing refers any more; how many were looked at."""
        ...

    async def forget_requests(self, keep_days: int) -> int:
        """Forgets old request ids (a bounded number at once): their writes are repeated no more; how many."""
        ...

    async def graph(self, tenant_id: str, document_id: str) -> Graph:
        """How its revisions hang together, on all branches."""
        ...

    async def graphs(self, tenant_id: str, document_ids: Sequence[str]) -> Mapping[str, Graph]:
        """The same for several at once; empty graphs of those that are not there."""
        ...

    async def document(self, tenant_id: str, document_id: str, branch: str) -> Document:
        """Head and content in one call. Raises DocumentNotFound."""
        ...
