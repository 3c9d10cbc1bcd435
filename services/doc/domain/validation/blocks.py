"""Rules about code, tables, lists and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.doc.domain.spaces.space import Level
from services.doc.domain.validation.page import CodeBlock, Page, Table
from services.doc.domain.validation.rule import Hit, Rule

DEEPEST_LIST = 6
DROPPED = frozenset(
    {
        *("script", "style", "iframe", "frame", "frameset", "object", "embed", "applet", "portal", "template", "slot"),
        *("form", "input", "button", "select", "textarea", "dialog", "link", "meta", "base"),
        *("svg", "math", "video", "audio", "source", "track", "canvas"),
    }
)
"""Elements that published pages are shown without."""
_NAME = re.compile(r"<([a-zA-Z][a-zA-Z0-9-]{0,40})")
_HANDLER = re.compile(r"[\s\"'/](on[a-z]{3,20})\s{0,20}=", re.IGNORECASE)
_SCHEME = re.compile(r"(javascript|vbscript|data)\s*:", re.IGNORECASE)
_SCHEME_VALUE = re.compile(r"=\s{0,20}[\"']?\s{0,20}(javascript|vbscript|data)\s{0,20}:", re.IGNORECASE)
_BLANKS = re.compile(r"[\s\x00-\x20]+")
_PIPE = re.compile(r"(?<!\\)\|")
_MARGIN = re.compile(r"^[\s>]*")


def without_language(page: Page) -> Iterator[Hit]:
    """A fence that does not say what is behind it."""
    for block in page.code:
        if block.fenced and not block.info:
            line, _ = page.place(block.at)
            yield Hit(line, 0, "the block of code has no language: write it behind the fence, for example ```text")


def unclosed(page: Page) -> Iterator[Hit]:
    """A fence to which nothing belongs: the rest of the page is code."""
    for block in page.code:
        if block.fenced and not _closed(page, block):
            line, _ = page.place(block.at)
            yield Hit(line, 0, "the block of code never ends: close it with a fence like its first line's")


def _closed(page: Page, block: CodeBlock) -> bool:
    lines = page.source_of(block).rstrip().split("\n")
    mark = lines[0].lstrip()[:1]
    last = _MARGIN.sub("", lines[-1]).rstrip()
    return len(lines) > 1 and len(last) >= len("```") and set(last) == {mark}


def shapes(page: Page) -> Iterator[Hit]:
    """Rows with more or fewer cells than the head."""
    for table in page.tables:
        yield from _misshapen(page, table)


def _misshapen(page: Page, table: Table) -> Iterator[Hit]:
    first, _ = page.place(table.at)
    for number, line in enumerate(page.source_of(table).split("\n")):
        row = _MARGIN.sub("", line).rstrip()
        if not row or number == 1:  # the line below the head has as many cells as the head, else there is no table
            continue
        cells = _cells(row)
        if cells != table.columns:
            yield Hit(
                first + number, 0,
                f"the row has {cells} cells, the head of its table {table.columns}: "
                + ("cells beyond those are not shown" if cells > table.columns else "the others are empty")
                + "; write | within a cell as \\|",
            )  # fmt: skip


def _cells(row: str) -> int:
    pipes = len(_PIPE.findall(row))
    return pipes + 1 - row.startswith("|") - (row.endswith("|") and not row.endswith("\\|") and len(row) > 1)


def nesting(page: Page) -> Iterator[Hit]:
    """Lists within lists within lists."""
    depth, at = page.deepest
    if depth > DEEPEST_LIST:
        line, _ = page.place(at)
        yield Hit(
            line, 0,
            f"lists are nested {depth} levels deep, more than {DEEPEST_LIST}: use headings, or another page",
        )  # fmt: skip


def html(page: Page) -> Iterator[Hit]:
    """Any element of HTML; comments are none."""
    for piece in page.html:
        if match := _NAME.search(piece.text):
            at = piece.at + len(piece.text[: match.start()].encode())
            yield Hit(*page.place(at), f"<{match[1]}> is HTML: write it in Markdown")


def unsafe(page: Page) -> Iterator[Hit]:
    """What could run in a reader's browser."""
    for piece in page.html:
        wrong = _unsafe_in(piece.text)
        if wrong:
            yield Hit(*page.place(piece.at), f"{wrong} is left out where the page is shown: remove it")
    for link in page.links:
        if match := _SCHEME.match(_BLANKS.sub("", link.target[:100])):
            yield Hit(
                *page.place(link.at),
                f'addresses with "{match[1].lower()}:" are left out where the page is shown: remove it',
            )


def _unsafe_in(html: str) -> str:
    for match in _NAME.finditer(html):
        if match[1].lower() in DROPPED:
            return f"<{match[1].lower()}>"
    if handler := _HANDLER.search(html):
        return handler[1].lower()
    scheme = _SCHEME_VALUE.search(html)
    return f'"{scheme[1].lower()}:"' if scheme else ""


RULES = (
    Rule(
        name="code-fence-language",
        description="A fenced block of code names its language, for colours and for those who search.",
        level=Level.WARN,
        look=without_language,
    ),
    Rule(
        name="unclosed-fence",
        description="A fenced block of code ends with a fence: without one the rest of the page is code.",
        level=Level.WARN,
        look=unclosed,
    ),
    Rule(
        name="table-shape",
        description="Every row of a table has as many cells as its head.",
        level=Level.WARN,
        look=shapes,
    ),
    Rule(
        name="list-depth",
        description=f"Lists are nested {DEEPEST_LIST} levels deep at most.",
        level=Level.WARN,
        look=nesting,
    ),
    Rule(
        name="no-html",
        description="A page is Markdown throughout; HTML comments are allowed.",
        level=Level.OFF,
        look=html,
    ),
    Rule(
        name="unsafe-html",
        description="No scripts, forms, embedded pages, event handlers, javascript: or data: links: none is shown.",
        level=Level.WARN,
        look=unsafe,
    ),
)
