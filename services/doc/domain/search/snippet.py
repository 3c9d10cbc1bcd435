"""Some of a section's text, with the places that fit."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from services.doc.domain.search.tokens import RUN, fold, known_tokens

LENGTH = 220
"""Characters."""
MAX_LOOKED_AT = 8_192
MAX_MARKS = 20
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Snippet:
    """`marks` are pairs of positions in the text, counted in characters."""

    text: str
    marks: Sequence[tuple[int, int]] = ()


def snippet(text: str, terms: Set[str]) -> Snippet:
    """The stretch with the most different words that were looked for; the beginning where there is none."""
    flat = _SPACE.sub(" ", text[:MAX_LOOKED_AT]).strip()
    found = _matches(flat, terms)
    start = _start(flat, found)
    end = min(len(flat), start + LENGTH)
    if end < len(flat):
        end = flat.rfind(" ", start + LENGTH // 2, end) if " " in flat[start + LENGTH // 2 : end] else end
    before, after = "… " if start else "", " …" if end < len(flat) else ""
    shift = len(before) - start
    marks = [(first + shift, last + shift) for first, last, _ in found if start <= first and last <= end]
    return Snippet(f"{before}{flat[start:end]}{after}", marks[:MAX_MARKS])


def _matches(flat: str, terms: Set[str]) -> list[tuple[int, int, str]]:
    """Where words of the text are words that were looked for: from, to, which."""
    folded = fold(flat)
    if len(folded) != len(flat):  # what was folded has other positions
        folded = flat
    found = []
    for match in RUN.finditer(folded):
        hit = next((token for token in known_tokens(match.group()) if token in terms), None)
        if hit is not None:
            found.append((match.start(), match.end(), hit))
    return found


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
