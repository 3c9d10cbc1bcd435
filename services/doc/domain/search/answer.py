"""What a search answers, and the same as bytes that a cache keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from services.doc.domain.search.plan import Hit
from services.doc.domain.search.snippet import Snippet

VERSION = "1"
"""Raise it when the same question to the same index is answered in another way, or kept in another form."""


@dataclass(frozen=True, slots=True)
class Result:
    """A document, and what of it to show."""

    hit: Hit
    snippet: Snippet


@dataclass(frozen=True, slots=True)
class Answer:
    """`more`: there is a page after this one."""

    results: Sequence[Result] = ()
    more: bool = False
    corrections: Mapping[str, str] = field(default_factory=dict)
    search_id: str = ""


def packed(answer: Answer) -> bytes:
    """All but the search that it was given to."""
    results = [[_fields(each.hit), each.snippet.text, list(each.snippet.marks)] for each in answer.results]
    return json.dumps([results, answer.more, dict(answer.corrections)]).encode()


def unpacked(value: bytes) -> Answer | None:
    """None for what was not packed here."""
    try:
        results, more, corrections = json.loads(value)
        return Answer([_result(*each) for each in results], bool(more), dict(corrections))
    except (ValueError, TypeError, KeyError):
        return None


def _fields(hit: Hit) -> Mapping[str, Any]:
    return {**asdict(hit), "changed_at": hit.changed_at.isoformat()}


def _result(fields: Mapping[str, Any], text: str, marks: Sequence[tuple[int, int]]) -> Result:
    hit = Hit(**{**fields, "changed_at": datetime.fromisoformat(fields["changed_at"])})
    return Result(hit, Snippet(text, [(start, end) for start, end in marks]))
