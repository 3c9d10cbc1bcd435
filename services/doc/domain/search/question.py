"""What somebody typed, as words and phrases; and what somebody asks for in all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.search.tokens import STOP_WORDS, known_tokens, runs

MAX_QUERY, MAX_WORDS, MAX_PREFIX = 1_000, 64, 100
MAX_PHRASES, MAX_PHRASE_TOKENS = 8, 32
_PHRASE = re.compile(r'"([^"]+)"')
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """Empty filters let everything pass."""

    query: str
    space: str = ""
    tag: str = ""
    author: str = ""
    since: datetime | None = None
    before: datetime | None = None
    offset: int = 0
    limit: int = 10


@dataclass(frozen=True, slots=True)
class Question:
    """`words` as they stand in the text, each once; `phrases` as their tokens."""

    text: str
    words: Sequence[str]
    phrases: Sequence[tuple[str, ...]] = ()


def parse(query: str) -> Question:
    """Raises ValidationError for an empty, a too long, and a control character. Stop words count where there is nothing
    else, and in phrases. Whatever else was typed is looked for: there is no syntax to get wrong."""
    text = checked(query, MAX_QUERY, "query")
    if not text.strip():
        raise ValidationError("query is empty: say what to look for", field="query")
    phrases = [tuple(token for run in runs(each) for token in known_tokens(run)) for each in _PHRASE.findall(text)]
    every = list(dict.fromkeys(runs(text)))
    words = [run for run in every if run.lower() not in STOP_WORDS] or every
    return Question(text, words, tuple(phrase[:MAX_PHRASE_TOKENS] for phrase in phrases if phrase)[:MAX_PHRASES])


def checked(text: str, most: int, field: str) -> str:
    """Raises ValidationError for what no query has."""
    if len(text) > most:
        raise ValidationError(f"{field} has {len(text)} characters; at most {most} are allowed", field=field)
    if found := _CONTROL.search(text):
        raise ValidationError(f"{field} has the control character {found.group()!r}", field=field)
    return text
