"""What changed between two texts: as a patch, side by side, and down to the words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from services.doc.domain.documents.lines import Block, equal_blocks, lines_of

MAX_WORDS = 2_000
"""Of a line; longer ones are shown as changed from end to end."""
_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)
_NO_NEWLINE = "\\ No newline at end of file\n"


class RowKind(StrEnum):
    """What happened to a row."""

    EQUAL = "equal"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (not included), from 0."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line on either side; line numbers count from 1, 0 means none. A GAP stands for `left_line` equal rows."""

    kind: RowKind
    left_line: int = 0
    left: str = ""
    right_line: int = 0
    right: str = ""
    left_changes: Sequence[Span] = ()
    right_changes: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines [left, left_end) became [right, right_end), from 0."""

    left: int
    left_end: int
    right: int
    right_end: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Lines of one side only."""

    added: int
    removed: int


def counts(left: str, right: str) -> Counts:
    """How many lines came and went."""
    hunks = list(_hunks(lines_of(left), lines_of(right)))
    return Counts(
        added=sum(each.right_end - each.right for each in hunks),
        removed=sum(each.left_end - each.left for each in hunks),
    )


def unified(left: str, right: str, *, left_name: str, right_name: str, context: int = 3) -> str:
    """The patch that `diff -u` and `git apply` know; empty for equal texts."""
    old, new = lines_of(left), lines_of(right)
    out: list[str] = []
    for group in _groups(list(_hunks(old, new)), context):
        first, last = group[0], group[-1]
        start, other = max(first.left - context, 0), max(first.right - context, 0)
        end, other_end = min(last.left_end + context, len(old)), min(last.right_end + context, len(new))
        out.append(f"@@ -{_range(start, end)} +{_range(other, other_end)} @@\n")
        at = start
        for hunk in group:
            out += [_line(" ", line) for line in old[at : hunk.left]]
            out += [_line("-", line) for line in old[hunk.left : hunk.left_end]]
            out += [_line("+", line) for line in new[hunk.right : hunk.right_end]]
            at = hunk.left_end
        out += [_line(" ", line) for line in old[at:end]]
    return f"--- {left_name}\n+++ {right_name}\n{''.join(out)}" if out else ""


def rows(left: str, right: str, *, words: bool = False, context: int | None = 3) -> list[Row]:
    """Both texts beside each other. Without `context` nothing is left out."""
    old, new = lines_of(left), lines_of(right)
    out: list[Row] = []
    at, right_at = 0, 0
    for hunk in _hunks(old, new):
        out += _equal(old, at, hunk.left, right_at)
        out += _changed(old[hunk.left : hunk.left_end], new[hunk.right : hunk.right_end], hunk, words=words)
        at, right_at = hunk.left_end, hunk.right_end
    out += _equal(old, at, len(old), right_at)
    return out if context is None else _folded(out, context)


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[_Hunk]:
    at, right_at = 0, 0
    for block in [*equal_blocks(old, new), Block(len(old), len(new), 0)]:
        if (block.left, block.right) != (at, right_at):
            yield _Hunk(at, block.left, right_at, block.right)
        at, right_at = block.left + block.size, block.right + block.size


def _groups(hunks: Sequence[_Hunk], context: int) -> list[list[_Hunk]]:
    groups: list[list[_Hunk]] = []
    for hunk in hunks:
        if groups and hunk.left - groups[-1][-1].left_end <= 2 * context:
            groups[-1].append(hunk)
        else:
            groups.append([hunk])
    return groups


def _range(start: int, end: int) -> str:
    size = end - start
    first = start + 1 if size else start
    return f"{first}" if size == 1 else f"{first},{size}"


def _line(mark: str, line: str) -> str:
    return f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n{_NO_NEWLINE}"


def _equal(old: Sequence[str], start: int, end: int, right: int) -> list[Row]:
    texts = [line.rstrip("\n") for line in old[start:end]]
    return [Row(RowKind.EQUAL, start + number + 1, text, right + number + 1, text) for number, text in enumerate(texts)]


def _changed(old: Sequence[str], new: Sequence[str], hunk: _Hunk, *, words: bool) -> Iterator[Row]:
    for number, (left, right) in enumerate(zip_longest(old, new)):
        left_line, right_line = hunk.left + number + 1, hunk.right + number + 1
        if left is None:
            yield Row(RowKind.ADDED, right_line=right_line, right=right.rstrip("\n"))
        elif right is None:
            yield Row(RowKind.REMOVED, left_line=left_line, left=left.rstrip("\n"))
        else:
            one, other = left.rstrip("\n"), right.rstrip("\n")
            spans = _words(one, other) if words else ((), ())
            yield Row(RowKind.CHANGED, left_line, one, right_line, other, *spans)


def _words(left: str, right: str) -> tuple[Sequence[Span], Sequence[Span]]:
    one, other = _WORD.findall(left), _WORD.findall(right)
    if max(len(one), len(other)) > MAX_WORDS:
        return [Span(0, len(left))], [Span(0, len(right))]
    hunks = list(_hunks(one, other))
    return (
        _spans(one, [(hunk.left, hunk.left_end) for hunk in hunks]),
        _spans(other, [(hunk.right, hunk.right_end) for hunk in hunks]),
    )


def _spans(words: Sequence[str], ranges: Sequence[tuple[int, int]]) -> list[Span]:
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    return [Span(starts[start], starts[end]) for start, end in ranges if start < end]


def _folded(rows: Sequence[Row], context: int) -> list[Row]:
    """Equal rows further than `context` from a change are left out."""
    changed = [number for number, row in enumerate(rows) if row.kind is not RowKind.EQUAL]
    near = {at for number in changed for at in range(number - context, number + context + 1)}
    out: list[Row] = []
    for number, row in enumerate(rows):
        if number in near:
            out.append(row)
        elif out and out[-1].kind is RowKind.GAP:
            out[-1] = Row(RowKind.GAP, out[-1].left_line + 1)
        else:
            out.append(Row(RowKind.GAP, 1))
    return out
