"""How readers move through a site: the tree of folders, the way down to a page, what comes before and after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from services.doc.builder.addresses import INDEX, folder_of, href
from services.doc.builder.pages import NO_ORDER, Page

SMALL = 150
"""A site of so many entries shows its whole tree on every page; a larger one the branches around the page."""
MOST_SHOWN = 200
"""Entries of one folder; the folder's own page has all of them."""


@dataclass(slots=True)
class Entry:
    """A line of the navigation: a page, or a folder with a page of its own."""

    name: str
    file: str
    label: str
    order: float = NO_ORDER
    folder: str = ""
    """With its slash; empty for a page."""
    children: list[Entry] = field(default_factory=list)
    page: Page | None = None


class Navigation:
    """The tree of a site. `root` is its home."""

    def __init__(self, pages: Sequence[Page], title: str) -> None:
        self.root = Entry("", INDEX, title)
        self._folders: dict[str, Entry] = {"": self.root}
        self._drawn: dict[str, str] = {}
        for page in pages:
            self._add(page)
        self._adopt(self.root)
        _sort(self.root)
        self._small = sum(1 for _ in _walk(self.root)) <= SMALL
        self.sequence = [entry for entry in _walk(self.root) if entry.page is not None and entry.page.label]
        self._position = {entry.file: number for number, entry in enumerate(self.sequence)}

    @property
    def unlisted(self) -> Iterator[Entry]:
        """Folders without a page of their own: they need one that lists what is in them."""
        return (entry for entry in self._folders.values() if entry.page is None)

    def trail(self, file: str) -> list[Entry]:
        """The folders above a page, the home first; without the page itself."""
        folder, trail = folder_of(file), [self.root]
        trail += [self._folders[folder[: match.end()]] for match in re.finditer("/", folder)]
        return [entry for entry in trail if entry.file != file]

    def neighbours(self, file: str) -> tuple[Entry | None, Entry | None]:
        """The pages before and after, in the order of the tree."""
        at = self._position.get(file)
        if at is None:
            return None, None
        return self.sequence[at - 1] if at else None, self.sequence[at + 1] if at + 1 < len(self.sequence) else None

    def html(self, file: str) -> str:
        """The tree as the page `file` shows it."""
        folder = folder_of(file)
        if folder not in self._drawn:
            self._drawn[folder] = self._list(self.root, f"{folder}x", folder)
        here = f'href="{href(file, file)}"'
        return self._drawn[folder].replace(here, f'{here} aria-current="page"', 1)

    def closed(self, file: str) -> str:
        """The same for a page outside of the tree."""
        return self._list(self.root, file, "")

    def folder(self, path: str) -> Entry | None:
        """The folder at a path without its slash; None: there is none."""
        return self._folders.get(f"{path}/" if path else "")

    def _add(self, page: Page) -> None:
        folder = self._folder(folder_of(page.file))
        if page.file.rpartition("/")[2] == INDEX:
            folder.page, folder.order = page, page.order
            if folder is not self.root:
                folder.label = page.label or page.title
            return
        name = page.source.path.rpartition("/")[2]
        folder.children.append(Entry(name, page.file, page.label, page.order, page=page))

    def _folder(self, folder: str) -> Entry:
        if folder not in self._folders:
            name = folder[:-1].rpartition("/")[2]
            words = name.replace("-", " ").replace("_", " ")
            entry = Entry(name, f"{folder}{INDEX}", words[:1].upper() + words[1:], folder=folder)
            self._folders[folder] = entry
            self._folder(folder_of(folder[:-1])).children.append(entry)
        return self._folders[folder]

    def _adopt(self, entry: Entry) -> None:
        """A page guides.md beside a folder guides/ names the folder, and tells where it comes."""
        by_name = {child.file: child for child in entry.children if not child.folder}
        for child in entry.children:
            if child.folder:
                beside = by_name.get(f"{child.folder[:-1]}.html")
                if child.page is None and beside is not None and beside.label:
                    child.label, child.order = beside.label, beside.order
                self._adopt(child)

    def _list(self, entry: Entry, source: str, open_folder: str) -> str:
        shown = [child for child in entry.children if child.label]
        lines = [self._item(child, source, open_folder) for child in shown[:MOST_SHOWN]]
        if len(shown) > MOST_SHOWN:
            lines.append(f'<li><a href="{href(entry.file, source)}">All {len(shown)} …</a></li>')
        return f"<ul>{''.join(lines)}</ul>" if lines else ""

    def _item(self, entry: Entry, source: str, open_folder: str) -> str:
        link = f'<a href="{escape(href(entry.file, source))}">{escape(entry.label)}</a>'
        if not entry.folder:
            return f"<li>{link}</li>"
        here = open_folder.startswith(entry.folder)
        if not here and not self._small:
            return f"<li>{link}</li>"
        overview = f'<li><a href="{escape(href(entry.file, source))}">Overview</a></li>'
        inside = f"<ul>{overview}{self._list(entry, source, open_folder).removeprefix('<ul>') or '</ul>'}"
        return f"<li><details{' open' if here else ''}><summary>{escape(entry.label)}</summary>{inside}</details></li>"


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts 2-b before 10-a."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,15})", name.casefold())
    ]


def _sort(entry: Entry) -> None:
    entry.children.sort(key=lambda child: (child.order, natural(child.name)))
    for child in entry.children:
        _sort(child)


def _walk(entry: Entry) -> Iterator[Entry]:
    yield entry
    for child in entry.children:
        yield from _walk(child)
