"""Who wrote each line: the revision on the way from the first to the head after which it did not change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.doc.domain.documents.lines import equal_blocks, lines_of


@dataclass(frozen=True, slots=True)
class Origin:
    """`count` lines from `line` (from 1) came with a revision."""

    line: int
    count: int
    revision_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """A revision with its content, and those of its parents that are looked at."""

    revision_id: str
    parents: Sequence[str]
    content: str


def blame(steps: Iterable[Step]) -> list[Origin]:
    """Of the last step. Parents come before their children; one that is missing counts as empty."""
    lines: dict[str, list[str]] = {}
    origins: dict[str, list[str]] = {}
    last = ""
    for step in steps:
        own = lines_of(step.content)
        found = [step.revision_id] * len(own)
        for parent in reversed(step.parents):  # the first parent has the last word
            for block in equal_blocks(lines.get(parent, []), own):
                found[block.right : block.right + block.size] = origins[parent][block.left : block.left + block.size]
        lines[step.revision_id], origins[step.revision_id], last = own, found, step.revision_id
    return _ranges(origins.get(last, []))


def _ranges(revisions: Sequence[str]) -> list[Origin]:
    out: list[Origin] = []
    for number, revision in enumerate(revisions, start=1):
        if out and out[-1].revision_id == revision:
            out[-1] = Origin(out[-1].line, out[-1].count + 1, revision)
        else:
            out.append(Origin(number, 1, revision))
    return out
