"""Looks at a site as readers would, before they do: is the home there, do links lead somewhere, does search find?"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from services.doc.builder import search_index
from services.doc.builder.addresses import INDEX, OWN
from services.doc.builder.files import HTML, Files
from services.doc.builder.pages import Page

_HREF = re.compile(r'<(?:a|link|script|img)\b[^>]*? (?:href|src)="([^"]*)"')
_ID = re.compile(r' (?:id|name)="([^"]*)"')
_TRIED = 5
"""Titles that search is asked for."""


@dataclass(slots=True)
class Verdict:
    """Without a `failure` the site may be shown; `checks` is what should be mended nevertheless."""

    failure: str = ""
    checks: list[str] = field(default_factory=list)


def verdict(files: Files, pages: Sequence[Page]) -> Verdict:
    """Looks at every link of every page."""
    made = Verdict()
    if not pages:
        made.failure = "the branch has no documents that could be published"
    elif INDEX not in files:
        made.failure = "the site has no home page"
    else:
        made.failure = _ask_search(files, pages)
        made.checks = _broken(files)
    return made


def _broken(files: Files) -> list[str]:
    contents = files.contents
    pages = {path: contents[path].decode() for path, file in files if file.content_type == HTML and path in contents}
    anchors = {path: frozenset(map(html.unescape, _ID.findall(text))) for path, text in pages.items()}
    known = {path for path, _ in files}
    found: list[str] = []
    for path, text in pages.items():
        if path.startswith(f"{OWN}404"):
            continue
        for link in dict.fromkeys(_HREF.findall(text)):
            problem = _problem(html.unescape(link), path, known, anchors)
            if problem:
                found.append(f"{path}: the link {link[:200]!r} leads to {problem}")
    return found


def _problem(link: str, source: str, known: set[str], anchors: dict[str, frozenset[str]]) -> str:
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", link):
        return ""
    way, _, anchor = link.partition("#")
    target = source
    if way:
        folder = posixpath.dirname(source)
        target = posixpath.normpath(posixpath.join(folder, unquote(way)))
        if target == ".":
            target = INDEX
        elif way.endswith(("/", "..", ".")):
            target = f"{target}/{INDEX}"
    if target not in known:
        return "a page that is not there"
    if anchor and target in anchors and unquote(anchor) not in anchors[target]:
        return f"a place that is not in {target}"
    return ""


def _ask_search(files: Files, pages: Sequence[Page]) -> str:
    contents = files.contents
    for page in pages[:_TRIED]:
        if not search_index.words_of(page.title):
            continue
        if page.file not in search_index.found(contents, page.title):
            return f"search does not find {page.title!r}"
    return ""
