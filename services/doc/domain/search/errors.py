"""What can go wrong with search."""

from __future__ import annotations

from automesh.core.errors import Kind
from services.doc.domain.errors import DocError


class IndexNotReady(DocError):
    """The index cannot answer for this tenant now: it is being built."""

    kind = Kind.UNAVAILABLE
    reason = "INDEX_NOT_READY"


class IndexDamaged(IndexNotReady):
    """Files of the index are gone or cut: it is built anew from the documents."""

    reason = "INDEX_DAMAGED"


def being_built() -> IndexNotReady:
    """With what to do."""
    return IndexNotReady("the search index is being built: try again in a moment")
