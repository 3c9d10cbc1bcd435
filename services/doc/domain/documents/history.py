"""Looking for a text in what documents once said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.documents.document import Revision

SHORTEST, LONGEST = 2, 200
HISTORY_STEPS = 500
"""Revisions that one call looks at."""
_MAX_LINE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """The text is taken as it is. `after` is the last revision that was looked at."""

    text: str
    space: str = ""
    document_id: str = ""
    ignore_case: bool = False
    since: datetime | None = None
    limit: int = 50
    after: str = ""

    def __post_init__(self) -> None:
        if not SHORTEST <= len(self.text) <= LONGEST:
            raise ValidationError(f"look for {SHORTEST} to {LONGEST} characters, not {len(self.text)}", field="text")
        if not self.space and not self.document_id:
            raise ValidationError("say in which space, or in which document", field="space")


@dataclass(frozen=True, slots=True)
class HistoryHit:
    """A revision after which the text stands there more or less often than before."""

    revision: Revision
    before: int
    after: int
    line: str


def occurrences(revision: Revision, before: str, after: str, query: HistoryQuery) -> HistoryHit | None:
    """None when it stands there as often as before."""
    text = query.text.casefold() if query.ignore_case else query.text
    counts = [_fold(side, query).count(text) for side in (before, after)]
    if counts[0] == counts[1]:
        return None
    side = after if counts[1] > counts[0] else before
    line = next((line for line in side.split("\n") if text in _fold(line, query)), "")
    return HistoryHit(revision, counts[0], counts[1], line.strip()[:_MAX_LINE])


def _fold(text: str, query: HistoryQuery) -> str:
    return text.casefold() if query.ignore_case else text
