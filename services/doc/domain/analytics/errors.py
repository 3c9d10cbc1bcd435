"""What can go wrong with analytics."""

from __future__ import annotations

from services.doc.domain.errors import DocError


class AnonymousAnalytics(DocError):
    """The space stores no person: nobody can say who has read what."""

    reason = "ANONYMOUS_ANALYTICS"


def anonymous(space: str) -> AnonymousAnalytics:
    """With who may change that."""
    return AnonymousAnalytics(
        f"the space {space} stores no person with what is read: its owners can change its rule anonymous_analytics",
        space=space,
    )
