"""From a question to a plan: which words there are, which were mistyped, which of too many count."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from services.doc.domain.search.page import number_of
from services.doc.domain.search.plan import Filters, Plan
from services.doc.domain.search.ports import Embeddings, SearchIndex
from services.doc.domain.search.question import MAX_WORDS, Question
from services.doc.domain.search.spelling import SHORTEST, Vocabulary
from services.doc.domain.search.tokens import known_tokens, pieces

MAX_PAIRS = 12
MAX_CORRECTED = 8
NEAREST = 50


@dataclass(slots=True)
class _Reading:
    """Tokens of the words in their order, and what became of those that nobody has written."""

    tokens: dict[str, None] = field(default_factory=dict)
    written: dict[str, None] = field(default_factory=dict)
    corrections: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Corpus:
    """What of an index somebody may know of."""

    index: SearchIndex
    tenant_id: str
    spaces: Sequence[str]

    async def frequencies(self, tokens: Sequence[str]) -> Mapping[str, int]:
        """See SearchIndex."""
        return await self.index.frequencies(self.tenant_id, self.spaces, tokens)


class Planned(NamedTuple):
    """`corrections`: what is looked for instead of what; `settled`: of words as the index has them now."""

    plan: Plan
    corrections: Mapping[str, str]
    settled: bool


class Planner:
    """Makes plans. `embeddings` is what knows documents by their meaning; None: nothing does."""

    def __init__(self, embeddings: Embeddings | None = None) -> None:
        self._embeddings = embeddings

    async def plan(self, corpus: Corpus, question: Question, filters: Filters) -> Planned:
        """Reads the question."""
        known = await corpus.frequencies(list(dict.fromkeys(_tokens(question.words))))
        reading = _Reading()
        unknown = {word for word in question.words if _is_unknown(word, known)}
        vocabulary = await corpus.index.vocabulary(corpus.tenant_id, corpus.spaces) if unknown else None
        for word in _rarest(question.words, known):
            reading.tokens |= dict.fromkeys(known_tokens(word))
            reading.written[word.lower()] = None
            if vocabulary is not None and word in unknown:
                await _correct(corpus, word, known, vocabulary, reading)
        terms = tuple(token for token in reading.tokens if known.get(token, 1)) or tuple(reading.tokens)
        plan = Plan(
            filters=filters,
            terms=terms,
            written=tuple(reading.written),
            pairs=tuple(pairwise(terms))[:MAX_PAIRS],
            phrases=tuple(question.phrases),
            exact=number_of(" ".join(terms)) if terms else 0,
            nearest=await self._nearest(corpus, question),
        )
        settled = vocabulary is None or vocabulary.edition == corpus.index.edition(corpus.tenant_id)
        return Planned(plan, reading.corrections, settled)

    async def _nearest(self, corpus: Corpus, question: Question) -> tuple[str, ...]:
        if self._embeddings is None:
            return ()
        return tuple(await self._embeddings.nearest(corpus.tenant_id, corpus.spaces, question.text, NEAREST))


async def _correct(
    corpus: Corpus, word: str, known: Mapping[str, int], vocabulary: Vocabulary, reading: _Reading
) -> None:
    """Of an identifier the parts that are nowhere; of a CamelCase word the whole, before what it is made of."""
    for whole, humps in pieces(word):
        if not await _corrected(corpus, whole, known, vocabulary, reading):
            for hump in humps:
                await _corrected(corpus, hump, known, vocabulary, reading)


async def _corrected(
    corpus: Corpus, part: str, known: Mapping[str, int], vocabulary: Vocabulary, reading: _Reading
) -> bool:
    """Whether another word was meant, which is looked for as well."""
    if part in reading.corrections:
        return True
    if len(part) < SHORTEST or len(reading.corrections) >= MAX_CORRECTED:
        return False
    if any(known.get(each, 0) for each in known_tokens(part)):
        return False
    near = await asyncio.to_thread(vocabulary.nearest, part)
    there = await corpus.frequencies([known_tokens(each)[0] for each in near])
    found = next((each for each in near if there.get(known_tokens(each)[0], 0)), None)
    if found is None:
        return False
    reading.corrections[part] = found
    reading.written[found] = None
    reading.tokens |= dict.fromkeys(known_tokens(found))
    return True


def _tokens(words: Sequence[str]) -> Iterator[str]:
    return (token for word in words for token in known_tokens(word))


def _is_unknown(word: str, known: Mapping[str, int]) -> bool:
    """The whole of it is nowhere."""
    tokens = known_tokens(word)
    return bool(tokens) and not known.get(tokens[0], 0)


def _rarest(words: Sequence[str], known: Mapping[str, int]) -> Sequence[str]:
    """As many as count, in the order in which they were typed."""
    if len(words) <= MAX_WORDS:
        return words

    def frequency(word: str) -> int:
        return min((known.get(token, 0) for token in known_tokens(word)), default=0)

    kept = set(sorted(words, key=frequency)[:MAX_WORDS])
    return [word for word in words if word in kept]
