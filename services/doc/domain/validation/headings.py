"""Rules about headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from automesh.core.anchors import anchor_of
from services.doc.domain.spaces.space import Level
from services.doc.domain.validation.page import Page
from services.doc.domain.validation.rule import Hit, Rule

SHOWN = 60
"""Characters of a text that a message quotes."""
_NUMBERED = re.compile(r"-\d+$")


def quoted(text: str) -> str:
    """A text within a message, cut where it is long."""
    return f'"{text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."}"'


def increments(page: Page) -> Iterator[Hit]:
    """A heading is at most one level below the one before."""
    before = 0
    for heading in page.text.outline.headings:
        if before and heading.level > before + 1:
            yield Hit(
                heading.line, 0,
                f"the heading {quoted(heading.text)} is of level {heading.level}, the one before of level {before}: "
                f"make it level {before + 1}",
            )  # fmt: skip
        before = heading.level


def duplicates(page: Page) -> Iterator[Hit]:
    """Two headings would have the same anchor."""
    for heading in page.text.outline.headings:
        if not _NUMBERED.search(heading.anchor):  # the outline numbers the second of the same
            continue
        wanted = anchor_of(heading.text)
        if heading.anchor != wanted:
            yield Hit(
                heading.line, 0,
                f'the heading {quoted(heading.text)} is there already and has "#{wanted}": name this one differently ('
                f'its "#{heading.anchor}" changes when headings above it do)',
            )  # fmt: skip


def single_title(page: Page) -> Iterator[Hit]:
    """One heading of level 1."""
    titles = [heading for heading in page.text.outline.headings if heading.level == 1]
    for heading in titles[1:]:
        yield Hit(
            heading.line, 0,
            f"{quoted(heading.text)} is a second heading of level 1, after line {titles[0].line}: make it level 2, or "
            "a page of its own",
        )  # fmt: skip


def empty(page: Page) -> Iterator[Hit]:
    """A heading says something."""
    for heading in page.text.outline.headings:
        if not heading.text:
            yield Hit(heading.line, 0, "the heading is empty: write one, or remove its #")


RULES = (
    Rule(
        name="heading-increment",
        description="Headings go down one level at a time, so that readers and screen readers find their way.",
        level=Level.WARN,
        look=increments,
    ),
    Rule(
        name="duplicate-heading-id",
        description="No two headings of a page make the same anchor: a link could mean either.",
        level=Level.WARN,
        look=duplicates,
    ),
    Rule(
        name="single-title",
        description="A page has one heading of level 1, its title.",
        level=Level.WARN,
        look=single_title,
    ),
    Rule(
        name="no-empty-heading",
        description="A heading has words.",
        level=Level.WARN,
        look=empty,
    ),
)
