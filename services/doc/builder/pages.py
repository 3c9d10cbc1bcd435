"""The pages of a site: documents, read and put in their places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from automesh.core.errors import AutomationError
from services.doc.builder.addresses import OWN, html_path
from services.doc.builder.job import PAGES, Job, SourcePage
from services.doc.domain.documents import front_matter
from services.doc.domain.documents.front_matter import FrontMatter
from services.doc.domain.documents.path import key
from services.doc.domain.markdown.outline import Outline, outline

MAX_DESCRIPTION = 160
NO_ORDER = 1_000_000_000.0


@dataclass(frozen=True, slots=True)
class Page:
    """A document with its place in the site."""

    source: SourcePage
    file: str
    content: str
    matter: FrontMatter
    outline: Outline

    @property
    def title(self) -> str:
        """What stands at its top."""
        return self.source.title

    @property
    def label(self) -> str:
        """What stands in the navigation: `nav` of the front matter, else the title. Empty: it is left out there."""
        named = self.matter.values.get("nav")
        return "" if named is False else self.matter.text("nav") or self.title

    @property
    def order(self) -> float:
        """`order` of the front matter; pages without one come after those with one."""
        value = self.matter.values.get("order")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else NO_ORDER

    @property
    def description(self) -> str:
        """For search engines: `description` of the front matter, else how the text begins."""
        if said := self.matter.text("description"):
            return said[:MAX_DESCRIPTION]
        for section in self.outline.sections[:3]:
            if text := re.sub(r"\s+", " ", section.text).strip():
                return text if len(text) <= MAX_DESCRIPTION else f"{text[: MAX_DESCRIPTION - 1].rstrip()}…"
        return ""


@dataclass(slots=True)
class Pages:
    """All pages, by their order in the job, and what was noticed while they were read."""

    pages: list[Page] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    by_path: dict[str, Page] = field(default_factory=dict)
    """By the key of the document's path."""


def read_pages(folder: Path, job: Job) -> Pages:
    """Leaves out, and says so, what cannot have a place."""
    found = Pages()
    taken: dict[str, str] = {}
    ordered = sorted(enumerate(job.pages), key=lambda each: each[1].path)
    for number, source in ordered:
        content = (folder / PAGES / str(number)).read_text(encoding="utf-8")
        matter = _matter(source, content, found.checks)
        if matter.values.get("publish") is False:
            continue
        file = html_path(source.path)
        if source.path.startswith(OWN):
            found.checks.append(f"{source.path}: left out, for names that begin with {OWN} are the site's own")
        elif key(file) in taken:
            found.checks.append(f"{source.path}: left out, for {taken[key(file)]} is at the same address")
        else:
            taken[key(file)] = source.path
            page = Page(source, file, content, matter, outline(content))
            found.pages.append(page)
            found.by_path[key(source.path)] = page
    return found


def tags_of(pages: Sequence[Page]) -> Mapping[str, Sequence[Page]]:
    """Pages by tag, tags in the order of the alphabet."""
    tagged: dict[str, list[Page]] = {}
    for page in pages:
        for tag in page.source.tags:
            tagged.setdefault(tag, []).append(page)
    return {
        tag: sorted(tagged[tag], key=lambda page: page.title.casefold()) for tag in sorted(tagged, key=str.casefold)
    }


def _matter(source: SourcePage, content: str, checks: list[str]) -> FrontMatter:
    try:
        return front_matter.read(content)
    except AutomationError as error:
        checks.append(f"{source.path}: {error.message}")
        return FrontMatter()
