"""How a query may go on, while it is typed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from services.doc.domain.search.errors import IndexNotReady
from services.doc.domain.search.plan import Title
from services.doc.domain.search.planner import Corpus
from services.doc.domain.search.ports import SearchIndex
from services.doc.domain.search.question import MAX_PREFIX, checked
from services.doc.domain.search.tokens import fold, pieces
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory

MAX_TYPED_WORDS = 12
"""The last ones count."""
_LAST = re.compile(r"[^\W_]+$")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The whole query; of a document when it is a title."""

    text: str
    title: Title | None = None


class Suggestions:
    """Titles first, then words."""

    def __init__(self, index: SearchIndex, standby: SearchIndex | None, directory: SpaceDirectory) -> None:
        self._index, self._standby, self._directory = index, standby, directory

    async def suggest(self, person: Person, typed: str, space: str, limit: int) -> Sequence[Suggestion]:
        """Raises ValidationError, SpaceNotFound."""
        half = _read(checked(typed, MAX_PREFIX, "prefix"))
        spaces = tuple(await self._directory.visible(person, space))
        if not spaces or not (half.words or half.prefix):
            return []
        try:
            return await _suggested(Corpus(self._index, person.tenant_id, spaces), half, limit)
        except IndexNotReady:
            if self._standby is None:
                raise
            return await _suggested(Corpus(self._standby, person.tenant_id, spaces), half, limit)


@dataclass(frozen=True, slots=True)
class _Half:
    """A query so far: its whole words and the one being typed, as indexes have them; and what stands before that."""

    words: Sequence[str]
    prefix: str
    before: str


def _read(typed: str) -> _Half:
    text = unicodedata.normalize("NFC", typed)
    words = [whole for whole, _ in pieces(fold(text))]
    last = _LAST.search(text)
    if last is None or not words:
        return _Half(words[-MAX_TYPED_WORDS:], "", text)
    return _Half(words[-MAX_TYPED_WORDS:-1], words[-1], text[: last.start()])


async def _suggested(corpus: Corpus, half: _Half, limit: int) -> Sequence[Suggestion]:
    index, tenant_id = corpus.index, corpus.tenant_id
    titles = await index.titles(tenant_id, corpus.spaces, half.words, half.prefix, limit)
    found = {each.text.lower(): Suggestion(each.text, each) for each in reversed(titles)}
    suggestions = list(dict.fromkeys(found[each.text.lower()] for each in titles))
    if half.prefix and len(suggestions) < limit:
        endings = await index.completions(tenant_id, corpus.spaces, half.prefix, limit)
        known = {each.text.lower() for each in suggestions}
        longer = [f"{half.before}{word}" for word in endings]
        suggestions += [Suggestion(each) for each in longer if each.lower() not in known]
    return suggestions[:limit]
