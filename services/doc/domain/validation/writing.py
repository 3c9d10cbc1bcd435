"""Rules about lines and letters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from services.doc.domain.documents.merge import MIDDLE, OURS, THEIRS
from services.doc.domain.spaces.space import Level
from services.doc.domain.validation.page import Page
from services.doc.domain.validation.rule import Hit, Rule

LONGEST_LINE = 120
LARGEST_PAGE = 200 * 1024
HARD_BREAK = 2
_WORD = re.compile(r"[A-Za-z]{3,40}")


def trailing_whitespace(page: Page) -> Iterator[Hit]:
    """Blanks at the end; two of them are a line break."""
    for number, line in page.plain_lines():
        kept = line.rstrip()
        if len(kept) == len(line) or (kept and line[len(kept) :] == " " * HARD_BREAK):
            continue
        yield Hit(number, len(kept) + 1, "the line ends with blanks: remove them")


def hard_tabs(page: Page) -> Iterator[Hit]:
    """Tabs, outside code."""
    if "\t" not in page.text.content:
        return
    for number, line in page.plain_lines():
        at = line.find("\t")
        if at >= 0:
            yield Hit(number, at + 1, "the line has a tab, which is wide here and narrow there: use spaces")


def long_lines(page: Page) -> Iterator[Hit]:
    """Lines that could be broken earlier."""
    for number, line in page.plain_lines():
        if len(line) > LONGEST_LINE and " " in line[LONGEST_LINE:].rstrip() and not line.lstrip().startswith("|"):
            yield Hit(
                number,
                LONGEST_LINE + 1,
                f"the line has {len(line)} characters, more than {LONGEST_LINE}: break it earlier",
            )


def merge_markers(page: Page) -> Iterator[Hit]:
    """What a merge left for people to decide. Blocks of code in the language diff may show some."""
    if OURS not in page.text.content or THEIRS not in page.text.content:
        return
    shown = {
        number
        for block in page.code
        if block.info.split(" ")[0].lower() == "diff"
        for number in range(page.place(block.at)[0], page.place(block.end)[0] + 1)
    }
    begin, middle = 0, False
    for number, line in enumerate(page.lines, start=1):
        if number in shown or not line.startswith((OURS, MIDDLE, THEIRS)):
            continue
        if _marks(line, OURS):
            begin, middle = number, False
        elif begin and line.rstrip() == MIDDLE:
            middle = True
        elif begin and middle and _marks(line, THEIRS):
            yield Hit(
                begin, 0,
                f"two changes of the same lines, down to line {number}, are not decided: keep what is right, and "
                f"remove the lines with {OURS}, {MIDDLE} and {THEIRS}",
            )  # fmt: skip
            begin = 0


def _marks(line: str, marker: str) -> bool:
    return line.startswith(marker) and line[len(marker) : len(marker) + 1] in {"", " ", "\r"}


def size(page: Page) -> Iterator[Hit]:
    """A page that takes long to read, to load and to edit."""
    if len(page.source) > LARGEST_PAGE:
        yield Hit(
            0, 0,
            f"the page has {len(page.source) // 1024} KiB, more than {LARGEST_PAGE // 1024}: divide it into several",
        )  # fmt: skip


def spelling(page: Page) -> Iterator[Hit]:
    """Words that are usually typed wrong, unless the space takes them for right."""
    wrong = misspellings()
    suspects = wrong.keys() & {word.lower() for word in set(_WORD.findall(page.text.content))}
    if suspects:
        suspects -= {word.lower() for word in page.words}
    if not suspects:
        return
    for prose in page.prose:
        for match in _WORD.finditer(prose.text):
            word = match[0].lower()
            if word in suspects:
                line, column = page.place(prose.at + len(prose.text[: match.start()].encode()))
                yield Hit(
                    line, column,
                    f'"{match[0]}" is spelt "{wrong[word]}", unless the space takes it for right (rules.words)',
                )  # fmt: skip


@cache
def misspellings() -> Mapping[str, str]:
    """Wrong words with the right ones, in small letters: misspellings.txt beside this module."""
    lines = files(__package__).joinpath("misspellings.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {pair[0]: pair[1] for pair in pairs}


RULES = (
    Rule(
        name="trailing-whitespace",
        description="No line ends with blanks, but for the two that break it.",
        level=Level.WARN,
        look=trailing_whitespace,
    ),
    Rule(
        name="no-hard-tabs",
        description="Spaces instead of tabs, outside code.",
        level=Level.WARN,
        look=hard_tabs,
    ),
    Rule(
        name="line-length",
        description=f"Lines have at most {LONGEST_LINE} characters, outside code and tables.",
        level=Level.OFF,
        look=long_lines,
    ),
    Rule(
        name="unresolved-merge-markers",
        description=f"No {OURS}, {MIDDLE}, {THEIRS} of a merge is left to decide, but in blocks of code named diff.",
        level=Level.REFUSE,
        look=merge_markers,
    ),
    Rule(
        name="page-size",
        description=f"A page has at most {LARGEST_PAGE // 1024} KiB: larger ones are slow to read and to edit.",
        level=Level.WARN,
        look=size,
    ),
    Rule(
        name="spelling",
        description="Words that are usually typed wrong; rules.words of a space says which are right there.",
        level=Level.WARN,
        look=spelling,
    ),
)
