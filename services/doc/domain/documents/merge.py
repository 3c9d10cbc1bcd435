"""Three-way merge of texts by lines (diff3: Khanna, Kunal, Pierce, "A Formal Investigation of Diff3", 2007)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.doc.domain.documents.lines import Block, equal_blocks, lines_of

OURS, MIDDLE, THEIRS = "<<<<<<<", "=======", ">>>>>>>"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Lines that both sides changed in different ways; `line` of the merged text, from 1, where its marker stands."""

    line: int
    base: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Merged:
    """Both sides brought together; clean without conflicts."""

    content: str
    conflicts: Sequence[Conflict]

    @property
    def clean(self) -> bool:
        """Nobody has to decide anything."""
        return not self.conflicts


@dataclass(frozen=True, slots=True)
class _Chunk:
    base: Sequence[str]
    ours: Sequence[str]
    theirs: Sequence[str]

    def agreed(self) -> Sequence[str] | None:
        """The outcome, when there can be only one."""
        if self.ours in (self.theirs, self.base):
            return self.theirs
        return self.ours if self.theirs == self.base else None


def merge(base: str, ours: str, theirs: str, *, our_name: str = "yours", their_name: str = "theirs") -> Merged:
    """What `base` becomes when both changes are made; conflicts stand between markers that carry the names."""
    out: list[str] = []
    conflicts: list[Conflict] = []
    for chunk in _chunks(lines_of(base), lines_of(ours), lines_of(theirs)):
        agreed = chunk.agreed()
        if agreed is not None:
            out += agreed
            continue
        head, tail = _ends(chunk.ours, chunk.theirs)
        ours_only, theirs_only = (
            chunk.ours[head : len(chunk.ours) - tail],
            chunk.theirs[head : len(chunk.theirs) - tail],
        )
        out += chunk.ours[:head]
        conflicts.append(Conflict(len(out) + 1, "".join(chunk.base), "".join(ours_only), "".join(theirs_only)))
        out += [
            f"{OURS} {our_name}\n",
            *_ended(ours_only),
            f"{MIDDLE}\n",
            *_ended(theirs_only),
            f"{THEIRS} {their_name}\n",
        ]
        out += chunk.ours[len(chunk.ours) - tail :]
    return Merged("".join(out), conflicts)


def _chunks(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> Iterator[_Chunk]:
    """Alternately what all three share, and what lies between."""
    at_base = at_ours = at_theirs = 0
    for start, end, in_ours, in_theirs in _shared(equal_blocks(base, ours), equal_blocks(base, theirs)):
        yield _Chunk(base[at_base:start], ours[at_ours:in_ours], theirs[at_theirs:in_theirs])
        yield _Chunk(base[start:end], base[start:end], base[start:end])
        at_base, at_ours, at_theirs = end, in_ours + end - start, in_theirs + end - start
    yield _Chunk(base[at_base:], ours[at_ours:], theirs[at_theirs:])


def _shared(ours: Sequence[Block], theirs: Sequence[Block]) -> Iterator[tuple[int, int, int, int]]:
    """Lines of the base that both sides kept: first and last (not included) there, and the first on either side."""
    one = other = 0
    while one < len(ours) and other < len(theirs):
        mine, their = ours[one], theirs[other]
        start, end = max(mine.left, their.left), min(mine.left + mine.size, their.left + their.size)
        if start < end:
            yield start, end, mine.right + start - mine.left, their.right + start - their.left
        if mine.left + mine.size <= their.left + their.size:
            one += 1
        else:
            other += 1


def _ends(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, int]:
    """How many lines are the same at the beginning and at the end."""
    shortest = min(len(ours), len(theirs))
    head = next((at for at in range(shortest) if ours[at] != theirs[at]), shortest)
    rest = shortest - head
    tail = next((at for at in range(rest) if ours[-1 - at] != theirs[-1 - at]), rest)
    return head, tail


def _ended(lines: Sequence[str]) -> list[str]:
    """With an end on the last line, so that a marker begins its own."""
    return [*lines[:-1], lines[-1] if lines[-1].endswith("\n") else f"{lines[-1]}\n"] if lines else []
