"""Rules about links and pictures that need nothing but the page."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.doc.domain.spaces.space import Level
from services.doc.domain.validation.headings import quoted
from services.doc.domain.validation.page import Page
from services.doc.domain.validation.rule import Hit, Rule

_BARE = re.compile(r"https?://[^\s<>\"']+")
_REVERSED = re.compile(r"\(([^()\[\]]{1,200})\)\[([^\[\]\s^][^\[\]\s]{0,500})\]")
_ADDRESS = re.compile(r"://|[/#.]")
_TAIL = ".,;:!?)'\""


def bare_urls(page: Page) -> Iterator[Hit]:
    """An address stands in the text as it is."""
    for prose in page.prose:
        if prose.linked or "://" not in prose.text:
            continue
        for match in _BARE.finditer(prose.text):
            line, column = page.place(prose.at + len(prose.text[: match.start()].encode()))
            url = match[0].rstrip(_TAIL)
            yield Hit(
                line, column, f"{quoted(url)} is no link everywhere: write <{_short(url)}>, or [words]({_short(url)})"
            )


def empty_links(page: Page) -> Iterator[Hit]:
    """A link leads nowhere, or nobody can see it."""
    for link in page.links:
        if link.target.strip() in {"", "#"}:
            what = "the picture" if link.picture else f"the link {quoted(link.text)}" if link.text else "the link"
            yield Hit(*page.place(link.at), f"{what} has no address: write one between the brackets")
        elif not link.text and not link.picture and not link.shows_picture:
            yield Hit(*page.place(link.at), f"the link to {quoted(link.target)} has no words: write what is there")


def silent_pictures(page: Page) -> Iterator[Hit]:
    """A picture without a text in its place."""
    for link in page.links:
        if link.picture and not link.text:
            yield Hit(
                *page.place(link.at),
                f"the picture {quoted(link.target)} has no text for those who cannot see it: ![what it shows](...)",
            )


def reversed_links(page: Page) -> Iterator[Hit]:
    """(words)[address] instead of [words](address)."""
    if ")[" not in page.text.content:
        return
    for number, line in page.plain_lines():
        if ")[" not in line:
            continue
        for match in _REVERSED.finditer(line):
            if _ADDRESS.search(match[2]) and "`" not in line:
                yield Hit(
                    number, match.start() + 1,
                    f"this is no link: square brackets come first, [{_short(match[1])}]({_short(match[2])})",
                )  # fmt: skip


def _short(text: str) -> str:
    return quoted(text)[1:-1]


RULES = (
    Rule(
        name="no-bare-url",
        description="An address in the text is written as a link: not every reader makes one of it.",
        level=Level.WARN,
        look=bare_urls,
    ),
    Rule(
        name="no-empty-link",
        description="A link has words and an address.",
        level=Level.WARN,
        look=empty_links,
    ),
    Rule(
        name="no-reversed-link",
        description="A link is [words](address), not (words)[address].",
        level=Level.WARN,
        look=reversed_links,
    ),
    Rule(
        name="image-alt-text",
        description="A picture has a text for those who cannot see it, and for search.",
        level=Level.WARN,
        look=silent_pictures,
    ),
)
