"""Where a part of a text is after the text has changed. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.doc.domain.documents.lines import Block, equal_blocks, lines_of

MAX_WORDS = 5_000
"""Of changed lines that are compared word by word; longer ones count as rewritten."""
LEAST_LEFT = 0.5
"""So much of the text must be left where it was; with less of it, the text is looked for elsewhere."""
_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """Characters `start` to `end` (not included), from 0; `lost`: what was there is gone."""

    start: int
    end: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """`size` characters that both texts share."""

    left: int
    right: int
    size: int


class Shift:
    """The way from an old text to a new one, for any number of places."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new
        self._kept = list(_kept(old, new))
        self._starts = [each.left for each in self._kept]

    def of(self, start: int, end: int, quote: str) -> Place:
        """Where it is now: where all of it is left, or went as the only one of its kind; else where most of it is left;
        else where the very same text is nearest; else lost."""
        parts = list(self._parts(start, end))
        left = sum(size for _, size in parts)
        if left < end - start and self._old.count(quote) == self._new.count(quote) == 1:
            return self._at(self._new.index(quote), len(quote))
        if left and left >= LEAST_LEFT * (end - start):
            return Place(parts[0][0], parts[-1][0] + parts[-1][1])
        near = self._where(start)
        again = _nearest(self._new, quote, near) if quote.strip() else -1
        if again >= 0:
            return self._at(again, len(quote))
        return Place(near, near, lost=True)

    @staticmethod
    def _at(start: int, size: int) -> Place:
        return Place(start, start + size)

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """First character in the new text, and how many, of all that is left."""
        at = max(bisect_right(self._starts, start) - 1, 0)
        for each in self._kept[at:]:
            if each.left >= end:
                return
            first, last = max(each.left, start), min(each.left + each.size, end)
            if first < last:
                yield each.right + first - each.left, last - first

    def _where(self, position: int) -> int:
        """Where a character was, seen from what stood before it."""
        at = bisect_right(self._starts, position) - 1
        if at < 0:
            return 0
        each = self._kept[at]
        return each.right + min(position - each.left, each.size)


def _nearest(text: str, quote: str, near: int) -> int:
    """The first character of the occurrence nearest to a position; -1 for none."""
    before = text.rfind(quote, 0, near + len(quote))
    after = text.find(quote, near)
    found = [each for each in (before, after) if each >= 0]
    return min(found, key=lambda each: abs(each - near)) if found else -1


def _kept(old: str, new: str) -> Iterator[_Kept]:
    left, right = lines_of(old), lines_of(new)
    offset = other = at = there = 0
    for block in [*equal_blocks(left, right), Block(len(left), len(right), 0)]:
        removed, added = left[at : block.left], right[there : block.right]
        yield from _kept_words("".join(removed), "".join(added), offset, other)
        offset, other = offset + _size(removed), other + _size(added)
        same = _size(left[block.left : block.left + block.size])
        if same:
            yield _Kept(offset, other, same)
        offset, other = offset + same, other + same
        at, there = block.left + block.size, block.right + block.size


def _kept_words(removed: str, added: str, offset: int, other: int) -> Iterator[_Kept]:
    one, two = _WORD.findall(removed), _WORD.findall(added)
    if not one or not two or max(len(one), len(two)) > MAX_WORDS:
        return
    starts, ends = _starts(one), _starts(two)
    for block in equal_blocks(one, two):
        size = starts[block.left + block.size] - starts[block.left]
        yield _Kept(offset + starts[block.left], other + ends[block.right], size)


def _starts(words: Sequence[str]) -> list[int]:
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    return starts


def _size(lines: Sequence[str]) -> int:
    return sum(map(len, lines))
