"""How a query may go on, while it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.doc.domain.search.errors import IndexNotReady
from services.doc.domain.search.plan import Title
from services.doc.domain.search.planner import Corpus
from services.doc.domain.search.ports import SearchIndex
from services.doc.domain.search.question import MAX_PREFIX, checked
from services.doc.domain.search.tokens import parts
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory

MAX_TYPED_WORDS = 12


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
        text = checked(typed, MAX_PREFIX, "prefix")
        spaces = tuple(await self._directory.visible(person, space))
        words = parts(text)[:MAX_TYPED_WORDS]
        if not spaces or not words:
            return []
        whole, prefix = (words, "") if text[-1:].isspace() else (words[:-1], words[-1])
        try:
            corpus = Corpus(self._index, person.tenant_id, spaces)
            return await _suggested(corpus, text, whole, prefix, limit)
        except IndexNotReady:
            if self._standby is None:
                raise
            return await _suggested(Corpus(self._standby, person.tenant_id, spaces), text, whole, prefix, limit)


async def _suggested(corpus: Corpus, text: str, whole: Sequence[str], prefix: str, limit: int) -> Sequence[Suggestion]:
    index, tenant_id = corpus.index, corpus.tenant_id
    titles = await index.titles(tenant_id, corpus.spaces, whole, prefix, limit)
    found = {each.text.lower(): Suggestion(each.text, each) for each in reversed(titles)}
    suggestions = list(dict.fromkeys(found[each.text.lower()] for each in titles))
    if prefix and len(suggestions) < limit:
        before = text[: text.lower().rfind(prefix)]
        endings = await index.completions(tenant_id, corpus.spaces, prefix, limit)
        known = {each.text.lower() for each in suggestions}
        suggestions += [Suggestion(f"{before}{word}") for word in endings if f"{before}{word}".lower() not in known]
    return suggestions[:limit]
