"""Texts as lines, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel

MAX_CELLS = 2_000_000_000
"""Of the table that the longest common subsequence takes (one bit each): above it, the middle counts as rewritten."""


@dataclass(frozen=True, slots=True)
class Block:
    """Equal lines: `size` of them, from `left` on one side and from `right` on the other, both counted from 0."""

    left: int
    right: int
    size: int


def lines_of(text: str) -> list[str]:
    """The lines with their ends; only "\\n" ends a line. The last may have none."""
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def equal_blocks(left: Sequence[str], right: Sequence[str]) -> list[Block]:
    """A longest common subsequence of two sequences as blocks, in order and apart from each other."""
    head = _common(left, right)
    tail = _common(left[head:][::-1], right[head:][::-1])
    middle_left, middle_right = left[head : len(left) - tail], right[head : len(right) - tail]
    blocks = [Block(0, 0, head)] if head else []
    blocks += [Block(each.left + head, each.right + head, each.size) for each in _middle(middle_left, middle_right)]
    if tail:
        blocks.append(Block(len(left) - tail, len(right) - tail, tail))
    return _joined(blocks)


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _middle(left: Sequence[str], right: Sequence[str]) -> list[Block]:
    if not left or not right or len(left) * len(right) > MAX_CELLS:
        return []
    numbers: dict[str, int] = {}
    coded = [[numbers.setdefault(line, len(numbers)) for line in side] for side in (left, right)]
    return [
        Block(code.src_start, code.dest_start, code.src_end - code.src_start)
        for code in Indel.opcodes(*coded)
        if code.tag == "equal"
    ]


def _joined(blocks: Sequence[Block]) -> list[Block]:
    joined: list[Block] = []
    for block in blocks:
        last = joined[-1] if joined else None
        if last and (last.left + last.size, last.right + last.size) == (block.left, block.right):
            joined[-1] = Block(last.left, last.right, last.size + block.size)
        else:
            joined.append(block)
    return joined
