"""Builds a site: every page, the lists, the index, what search engines want to know; then looks at what was made."""

from __future__ import annotations

import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automesh.core.anchors import anchor_of
from automesh.core.errors import AutomationError
from services.doc.builder import search_index
from services.doc.builder.addresses import INDEX, OWN, href, html_path
from services.doc.builder.apart import Apart
from services.doc.builder.checks import Verdict, verdict
from services.doc.builder.files import HTML, File, Files
from services.doc.builder.job import Job
from services.doc.builder.layout import Layout
from services.doc.builder.navigation import Entry, Navigation
from services.doc.builder.pages import Page, Pages, read_pages, tags_of
from services.doc.domain.documents.path import key, target_of
from services.doc.rendering.html import MarkdownRenderer

NOT_FOUND = f"{OWN}404.html"
ROOT_MARK = "/~root~/"
"""Stands for the top of the site in the page for what is not there: who serves it knows where that is."""
_RELATIVE = re.compile(r'( (?:href|src|data-root)=")(?:\./|(?!#))')
"""In a page of which only the layout is: no text in it has a quotation mark that is not escaped."""
MAX_CHECKS = 200
TELL_EVERY, MAX_LANGUAGE = 50, 20
ENOUGH_TO_SHARE = 40
"""Pages that are worth a second process."""

Tell = Callable[[str, float], None]
"""Hears what is being done, and how much of all is (0 to 1)."""


class Builder:
    """Of one site."""

    def __init__(self, folder: Path, job: Job, tell: Tell) -> None:
        self._folder, self._job, self._tell = folder, job, tell
        self.files = Files()
        self._renderer = MarkdownRenderer()

    def build(self) -> dict[str, Any]:
        """The result, but for the files' contents."""
        self._tell("reading the pages", 0.0)
        found = read_pages(self._folder, self._job)
        self._attachments = {key(file.path): file for file in self._job.files}
        self._navigation = navigation = Navigation(found.pages, self._job.title)
        tags = tags_of(found.pages)
        layout = Layout(self._job, navigation, self.files, has_tags=bool(tags))
        index = Apart(lambda: search_index.write_index(found.pages))
        self._write_pages(found, navigation, layout)
        for entry in list(navigation.unlisted):
            self._write_list(entry, navigation, layout)
        self._write_tags(tags, navigation, layout)
        self._write_missing(navigation, layout)
        self._tell("making the search index", 0.7)
        self.files.take(index.result())
        self._write_sitemap(found)
        for file in self._job.files:
            if not self.files.put(file.path, File(file.sha256, file.size, file.content_type)):
                found.checks.append(f"{file.path}: left out, the site has a file of its own at this address")
        self._write_moved(found, layout)
        self._tell("checking", 0.85)
        return self._result(found, verdict(self.files, found.pages))

    def _write_pages(self, found: Pages, navigation: Navigation, layout: Layout) -> None:
        contents = self._contents(found)
        for number, page in enumerate(found.pages):
            if number % TELL_EVERY == 0:
                self._tell(f"page {number + 1} of {len(found.pages)}", 0.05 + 0.65 * number / len(found.pages))
            content, checks = next(contents)
            found.checks += checks
            titled = any(heading.level == 1 for heading in page.outline.headings)
            told = {
                "title": page.title,
                "description": page.description,
                "heading": "" if titled else page.title,
                "lang": _language(page),
                "trail": navigation.trail(page.file),
                "contents": _contents(page),
                "tags": [{"label": tag, "href": href(tag_file(tag), page.file)} for tag in page.source.tags],
                "updated": page.source.updated,
            }
            self.files.add(page.file, layout.page(page.file, told, content), HTML, document=page.source.path)

    def _contents(self, found: Pages) -> Iterator[tuple[str, Sequence[str]]]:
        """Of each page its HTML and what was noticed, in order; half of them are made beside this process."""
        middle = len(found.pages) // 2 if len(found.pages) >= ENOUGH_TO_SHARE else len(found.pages)
        beside = Apart(lambda: [self._content(page, found) for page in found.pages[middle:]])
        for page in found.pages[:middle]:
            yield self._content(page, found)
        yield from beside.result()

    def _content(self, page: Page, found: Pages) -> tuple[str, Sequence[str]]:
        broken: dict[str, None] = {}

        def resolve(target: str) -> str | None:
            address = self._address(target, page, found)
            if address is None:
                broken[target] = None
            return address

        try:
            made = self._renderer.render_outlined(page.content, page.outline, resolve=resolve)
        except AutomationError as error:
            plain = f"<pre>{html.escape(page.content)}</pre>"
            return plain, [f"{page.source.path}: shown as plain text, for {error.message}"]
        return made, [f"{page.source.path}: the link {target[:200]!r} leads nowhere" for target in broken]

    def _address(self, target: str, page: Page, found: Pages) -> str | None:
        led = target_of(target, page.source.path)
        if led is None:
            return None
        path, anchor = led
        there = found.by_path.get(key(path))
        if there is not None:
            return href(there.file, page.file, anchor)
        attachment = self._attachments.get(key(path))
        if attachment is not None:
            return href(attachment.path, page.file)
        folder = self._navigation.folder(path)
        return href(folder.file, page.file, anchor) if folder else None

    def _write_list(self, entry: Entry, navigation: Navigation, layout: Layout) -> None:
        rows = [
            _row(href(child.file, entry.file), child.label, child.page.description if child.page else "")
            for child in entry.children
            if child.label
        ]
        content = f'<ul class="list">{"".join(rows)}</ul>' if rows else "<p>There is nothing here yet.</p>"
        self.files.add(
            entry.file, layout.page(entry.file, _told(entry.label, navigation.trail(entry.file)), content), HTML
        )

    def _write_tags(self, tags: Mapping[str, Sequence[Page]], navigation: Navigation, layout: Layout) -> None:
        if not tags:
            return
        overview = f"{OWN}tags/{INDEX}"
        rows = []
        for tag, pages in tags.items():
            file = tag_file(tag)
            items = "".join(_row(href(page.file, file), page.title, page.description) for page in pages)
            told = _told(tag, [navigation.root, Entry("", overview, "Tags")])
            tree = navigation.closed(file)
            self.files.add(file, layout.page(file, told, f'<ul class="list">{items}</ul>', tree=tree), HTML)
            rows.append(_row(href(file, overview), tag, f"{len(pages)} page{'s' if len(pages) != 1 else ''}"))
        told = _told("Tags", [navigation.root])
        tree = navigation.closed(overview)
        self.files.add(overview, layout.page(overview, told, f'<ul class="list">{"".join(rows)}</ul>', tree=tree), HTML)

    def _write_missing(self, navigation: Navigation, layout: Layout) -> None:
        words = "<p>There is no page at this address. It may have moved: look for it by its words, or begin anew.</p>"
        told = _told("Not found", [])
        tree = navigation.closed(INDEX)
        page = layout.page(INDEX, told, words, tree=tree).decode()
        # Whoever asked may be anywhere in the site: relative addresses would lead astray.
        self.files.add(NOT_FOUND, _RELATIVE.sub(rf"\1{ROOT_MARK}", page).encode(), HTML)

    def _write_moved(self, found: Pages, layout: Layout) -> None:
        for moved in self._job.moved:
            there = found.by_path.get(key(moved.to))
            file = html_path(moved.path)
            if there is not None and not moved.path.startswith(OWN) and there.file != file:
                self.files.add(file, layout.moved(file, there.file, there.title), HTML, location=there.file)

    def _write_sitemap(self, found: Pages) -> None:
        if not self._job.url:
            return
        rows = [
            f"<url><loc>{html.escape(self._job.url + href(page.file, INDEX).removeprefix('./'))}</loc>"
            f"<lastmod>{page.source.updated}</lastmod></url>"
            for page in found.pages
        ]
        body = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{"".join(rows)}</urlset>'
        self.files.add("sitemap.xml", f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode(), "application/xml")
        told = f"User-agent: *\nAllow: /\nSitemap: {self._job.url}sitemap.xml\n"
        self.files.add("robots.txt", told.encode(), "text/plain; charset=utf-8")

    def _result(self, found: Pages, checked: Verdict) -> dict[str, Any]:
        described = self.files.described()
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        checks = [*found.checks, *checked.checks]
        if len(checks) > MAX_CHECKS:
            checks = [*checks[:MAX_CHECKS], f"... and {len(checks) - MAX_CHECKS} more"]
        return {
            "digest": digest,
            "pages": len(found.pages),
            "files": described,
            "checks": checks,
            "failure": checked.failure,
        }


def tag_file(tag: str) -> str:
    """Where the pages of a tag are listed; tags that look alike in an address are told apart."""
    name = unicodedata.normalize("NFC", anchor_of(tag))  # as addresses are read
    if name != tag:
        name = f"{name or 'tag'}-{hashlib.sha256(tag.encode()).hexdigest()[:6]}"
    return f"{OWN}tags/{name}.html"


def _contents(page: Page) -> list[dict[str, Any]]:
    return [
        {"level": heading.level, "href": heading.anchor, "text": heading.text}
        for heading in page.outline.headings
        if heading.level in {2, 3} and heading.anchor
    ]


def _language(page: Page) -> str:
    said = page.matter.text("lang")
    return said if said.replace("-", "").isalnum() and len(said) <= MAX_LANGUAGE else "en"


def _told(title: str, trail: Sequence[Entry]) -> dict[str, Any]:
    return {
        "title": title,
        "description": "",
        "heading": title,
        "lang": "en",
        "trail": trail,
        "contents": [],
        "tags": [],
        "updated": "",
    }


def _row(address: str, label: str, words: str) -> str:
    said = f"<p>{html.escape(words)}</p>" if words else ""
    return f'<li><a href="{html.escape(address)}">{html.escape(label)}</a>{said}</li>'
