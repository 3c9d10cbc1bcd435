"""One order out of several: sections, whole pages, what others call a page, and what is near by meaning.

All but the last are BM25 scores of the same words, so that they add up. The weights were chosen on manuals of four
projects and checked on those of four others (bench/docs_search.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

POOL = 120
"""Sections, pages and links that are looked at; so many documents are found at most."""
MORE_SECTIONS, MORE_WEIGHT = 3, 0.03
"""What the next sections of a page add to its best one."""
ALL_WEIGHT, ANY_WEIGHT, LINK_WEIGHT = 0.3, 0.3, 0.25
PAIR_BOOST, PAIR_SLOP, WRITTEN_BOOST = 0.4, 2, 0.5
TITLE_BONUS, HEADING_BONUS = 0.3, 0.2
MEANING_WEIGHT = 0.5
MEANING_HALF = 10
"""At this place in the order of meaning a page gets half of what the first gets."""


class SectionHit(NamedTuple):
    """`section` tells the engine which one it is."""

    page: int
    section: int
    score: float
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the rankings found, pages by their numbers (page.number_of), each list the best first."""

    sections: Sequence[SectionHit] = ()
    all_words: Sequence[tuple[int, float]] = ()
    """Pages with all words."""
    any_word: Sequence[tuple[int, float]] = ()
    links: Mapping[int, float] = field(default_factory=dict)
    """Pages by the best text that links to them."""
    exact_titles: Set[int] = frozenset()
    nearest: Sequence[int] = ()


class Ranked(NamedTuple):
    """A page, and its best section where one was found."""

    page: int
    section: int | None
    score: float


def fuse(found: Candidates) -> Sequence[Ranked]:
    """Best first; what scores the same always comes in the same order."""
    scores, best = _of_sections(found.sections)
    weighted = ((found.all_words, ALL_WEIGHT), (found.any_word, ANY_WEIGHT), (found.links.items(), LINK_WEIGHT))
    for pages, weight in weighted:
        for page, score in pages:
            scores[page] += weight * score
    top = max(scores.values(), default=1.0)
    for place, page in enumerate(found.nearest):
        scores[page] += MEANING_WEIGHT * top * MEANING_HALF / (MEANING_HALF + place)
    for page, hit in best.items():
        if hit.exact and page not in found.exact_titles:
            scores[page] *= 1 + HEADING_BONUS
    for page in found.exact_titles & scores.keys():
        scores[page] *= 1 + TITLE_BONUS
    ordered = sorted(scores.items(), key=lambda each: (-each[1], each[0]))[:POOL]
    return [Ranked(page, best[page].section if page in best else None, score) for page, score in ordered]


def _of_sections(hits: Sequence[SectionHit]) -> tuple[dict[int, float], Mapping[int, SectionHit]]:
    """A page's best section and a little of the next; one with the very heading is the one to show."""
    scores: dict[int, float] = defaultdict(float)
    best: dict[int, SectionHit] = {}
    seen: dict[int, int] = defaultdict(int)
    for hit in hits:
        if not seen[hit.page]:
            scores[hit.page], best[hit.page] = hit.score, hit
        elif seen[hit.page] <= MORE_SECTIONS:
            scores[hit.page] += MORE_WEIGHT * hit.score
        seen[hit.page] += 1
        if hit.exact and not best[hit.page].exact:
            best[hit.page] = hit
    return scores, best
