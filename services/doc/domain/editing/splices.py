"""The few changes that make one text of another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.doc.domain.documents.lines import Block, equal_blocks, lines_of

MAX_WORDS = 5_000
_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Splice:
    """Characters `start` to `end` (not included; of the old text, from 0) become `text`."""

    start: int
    end: int
    text: str


def splices(old: str, new: str) -> list[Splice]:
    """In order, apart from each other: by lines, and inside changed lines by words."""
    found: list[Splice] = []
    for change in _changes(lines_of(old), lines_of(new)):
        before, after = old[change.start : change.end], change.text
        one, other = _WORD.findall(before), _WORD.findall(after)
        if not before or not after or max(len(one), len(other)) > MAX_WORDS:
            found.append(change)
            continue
        found += [
            Splice(change.start + each.start, change.start + each.end, each.text) for each in _changes(one, other)
        ]
    return found


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Splice]:
    at = right = offset = 0
    for block in [*equal_blocks(old, new), Block(len(old), len(new), 0)]:
        removed = sum(len(part) for part in old[at : block.left])
        if (at, right) != (block.left, block.right):
            yield Splice(offset, offset + removed, "".join(new[right : block.right]))
        offset += removed + sum(len(part) for part in old[block.left : block.left + block.size])
        at, right = block.left + block.size, block.right + block.size
