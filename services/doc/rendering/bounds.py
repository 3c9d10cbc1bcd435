"""What no page that people read contains, and what parsers take too long for: refused before and between the steps."""

from __future__ import annotations

import re

from services.doc.domain.markdown.renderer import PageTooDeep

MAX_QUOTES = 50
"""Levels of quotation."""
MAX_ELEMENTS = 200
"""Elements within each other."""
MAX_FOOTNOTES = 20_000
"""References to footnotes: each is linked from the note, so that a page grows with their product."""
MAX_HEADINGS = 5_000
MAX_HTML = 48 * 1024 * 1024

_QUOTES = re.compile(rf"^(?:[ \t]*(?:(?:[-+*]|\d{{1,9}}[.)])[ \t]+)*>){{{MAX_QUOTES + 1}}}", re.MULTILINE)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)")
_UNCOUNTED = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",  # these have no end
    "p", "li", "dt", "dd", "td", "th", "tr", "thead", "tbody", "tfoot", "option", "colgroup",  # end by themselves
})  # fmt: skip


def check_text(content: str, headings: int) -> None:
    """Raises PageTooDeep, with the line."""
    if headings > MAX_HEADINGS:
        raise PageTooDeep(f"{headings} headings are more than {MAX_HEADINGS}: divide the page", field="content")
    if found := _QUOTES.search(content):
        line = content.count("\n", 0, found.start()) + 1
        raise PageTooDeep(f"line {line} quotes more than {MAX_QUOTES} levels deep", field="content", line=line)
    if (count := content.count("[^")) > MAX_FOOTNOTES:
        raise PageTooDeep(f"{count} references to footnotes are more than {MAX_FOOTNOTES}", field="content")


def check_html(html: str) -> None:
    """Raises PageTooDeep."""
    if len(html) > MAX_HTML:
        raise PageTooDeep(f"the page would become {len(html)} characters of HTML: divide it", field="content")
    if html.count("<") <= MAX_ELEMENTS:
        return
    depth = 0
    for closing, name in _TAG.findall(html):
        if name.lower() in _UNCOUNTED:
            continue
        depth = max(0, depth - 1) if closing else depth + 1
        if depth > MAX_ELEMENTS:
            raise PageTooDeep(f"more than {MAX_ELEMENTS} elements within each other", field="content")
