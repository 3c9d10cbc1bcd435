"""Three-way merges of revisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.doc.domain.documents.document import Head
from services.doc.domain.documents.merge import Conflict, merge
from services.doc.domain.documents.pace import paced
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.errors import StaleHead


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOutcome:
    """Two sides brought together; revisions are empty where there is none."""

    base: str
    ours: str
    theirs: str
    content: str
    conflicts: Sequence[Conflict]

    @property
    def clean(self) -> bool:
        """Nobody has to decide anything."""
        return not self.conflicts


class StaleWrite(StaleHead):
    """With both writes brought together."""

    def __init__(self, head: Head, expected: str, outcome: MergeOutcome) -> None:
        super().__init__(head, expected)
        self.outcome = outcome


class Merger:
    """Merges what is sent, and what is kept."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def onto(self, tenant_id: str, document_id: str, *, expected: str, content: str, head: str) -> MergeOutcome:
        """A text that was made from the revision `expected`, and the head that is there now."""
        graph = await self._documents.graph(tenant_id, document_id)
        base = graph.ancestor(expected, head) if expected else ""
        found = await self._documents.revisions(tenant_id, [each for each in (base, head) if each])
        bodies = await self._documents.contents(tenant_id, [each.sha256 for each in found])
        texts = {each.revision_id: bodies[each.sha256] for each in found}
        merged = await paced(len(content), merge, texts.get(base, ""), content, texts[head])
        return MergeOutcome(base=base, ours="", theirs=head, content=merged.content, conflicts=merged.conflicts)

    async def between(self, tenant_id: str, document_id: str, ours: str, theirs: str) -> MergeOutcome:
        """Two revisions. Raises RevisionNotFound."""
        mine = await self._documents.revision(tenant_id, document_id, ours)
        content = await self._documents.content(tenant_id, mine.sha256)
        found = await self.onto(tenant_id, document_id, expected=ours, content=content, head=theirs)
        return MergeOutcome(base=found.base, ours=ours, theirs=theirs, content=found.content, conflicts=found.conflicts)
