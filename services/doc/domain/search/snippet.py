"""Some of a section's text, with the places that fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from services.doc.domain.search.tokens import CJK, RUN, SHORTEST_STEMMED, fold, known_tokens

LENGTH = 220
"""Characters."""
MAX_LOOKED_AT = 4_096
MAX_MARKS = 20
MAX_PLACES = 16
"""Of one word in one text."""
MAX_WORD = 80
_FOREIGN = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Snippet:
    """`marks` are pairs of positions in the text, counted in characters, one after the other."""

    text: str
    marks: Sequence[tuple[int, int]] = ()


def snippet(text: str, terms: Set[str]) -> Snippet:
    """The stretch of a text (of single spaces) with the most different words that were looked for, or its beginning."""
    flat = text[:MAX_LOOKED_AT]
    found = _matches(flat, terms)
    start = _start(flat, found)
    end = min(len(flat), start + LENGTH)
    if end < len(flat):
        end = flat.rfind(" ", start + LENGTH // 2, end) if " " in flat[start + LENGTH // 2 : end] else end
    before, after = "… " if start else "", " …" if end < len(flat) else ""
    shift = len(before) - start
    marks = [(first + shift, last + shift) for first, last, _ in found if start <= first and last <= end]
    return Snippet(f"{before}{flat[start:end]}{after}", _joined(marks)[:MAX_MARKS])


def _matches(flat: str, terms: Set[str]) -> list[tuple[int, int, str]]:
    """Where words of the text are words that were looked for: from, to, which. Only words that may fit are read."""
    folded, foreign = _plain(flat), not flat.isascii()
    words = {_word_at(flat, at) for term in terms for at in _places(folded, _beginning(term))}
    found: list[tuple[int, int, str]] = []
    for start, end in sorted(words):
        if end - start > MAX_WORD or (foreign and CJK.search(flat, start, end)):  # no spaces between words
            found += [(at, at + len(term), term) for term in terms for at in _places(folded[start:end], term, start)]
            continue
        for match in RUN.finditer(flat, start, end):
            hit = next((token for token in known_tokens(fold(match.group())) if token in terms), None)
            if hit is not None:
                found.append((match.start(), match.end(), hit))
    return sorted(found)


def _joined(marks: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Those that overlap as one: pairs of characters do, where there are no spaces."""
    apart: list[tuple[int, int]] = []
    for start, end in marks:
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def _beginning(term: str) -> str:
    """What all words with that stem begin with: stems change the last letter at most."""
    return term[:-1] if len(term) > SHORTEST_STEMMED else term


def _places(text: str, wanted: str, shift: int = 0) -> Iterator[int]:
    at = text.find(wanted)
    for _ in range(MAX_PLACES):
        if at < 0:
            return
        yield at + shift
        at = text.find(wanted, at + 1)


def _word_at(flat: str, at: int) -> tuple[int, int]:
    end = flat.find(" ", at)
    return flat.rfind(" ", 0, at) + 1, len(flat) if end < 0 else end


def _plain(flat: str) -> str:
    """Without accents and in lower case, each character still where it was."""
    return (flat if flat.isascii() else _FOREIGN.sub(_one, flat)).lower()


def _one(match: re.Match[str]) -> str:
    folded = fold(match.group())[:1]
    return folded if len(folded.lower()) == 1 else match.group()


def _start(flat: str, found: Sequence[tuple[int, int, str]]) -> int:
    if not found or len(flat) <= LENGTH:
        return 0
    best, best_count = found[0][0], 0
    for at, (first, _, _) in enumerate(found):
        inside = {
            token for begin, last, token in found[at : at + MAX_MARKS] if last - first <= LENGTH - 40 and begin >= first
        }
        if len(inside) > best_count:
            best, best_count = first, len(inside)
    if best + LENGTH // 4 < LENGTH:
        return 0
    lead = max(0, best - 40)
    return flat.find(" ", lead, best) + 1 or best
