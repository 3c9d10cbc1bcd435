"""Documentation that nobody here wrote, as Markdown: Debian's documentation packages, unpacked and converted.

Packages are fetched with `apt-get download` into a cache folder, or taken from a folder of .deb files. Nothing of them
is kept in the repository.
"""

from __future__ import annotations

import html.parser
import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = (
    "python3.11-doc", "python-django-doc", "postgresql-doc-15", "sqlite3-doc", "apache2-doc", "git-doc",
    "debian-handbook", "debian-policy", "debian-reference-en", "developers-reference",
)  # fmt: skip
MAX_BYTES = 2 * 1024 * 1024
_LANGUAGE = re.compile(r"/(?:[a-z]{2}(?:[-_][a-zA-Z]{2,})?|tr|zh-[a-z]+)/|\.([a-z]{2}(?:-[a-z]{2})?)\.html$")
_INDEXES = re.compile(r"(genindex|bookindex|py-modindex|search|sitemap|_modules|contents)[^/]*\.html")
_SKIPPED = frozenset({"script", "style", "nav", "head", "svg", "button", "form", "select", "footer"})
_CHROME = re.compile(
    r"headerlink|sphinxsidebar|\brelated\b|navheader|navfooter|nosearch|toplang|bottomlang|page-header|\bfooter\b|"
    r"breadcrumb|\bnav\b|\bmenu\b|\bhd\b|docnav"
)
_VOID = frozenset(
    {"br", "hr", "img", "input", "link", "meta", "area", "base", "col", "wbr", "source", "track", "embed"}
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BEGINNINGS = {"pre": "\n\n```\n", "li": "\n- ", "dt": "\n\n", "td": " | ", "th": " | ", "tr": "\n"}
_BLOCKS = frozenset({"p", "div", "section", "ul", "ol", "table", "dl", "blockquote", "article", "main", "dd", "figure"})


@dataclass(frozen=True, slots=True)
class Page:
    """A document of the corpus; `links` are (text, path, anchor) into the same package."""

    space: str
    path: str
    title: str
    content: str
    links: Sequence[tuple[str, str, str]] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Pages, and the entries of the packages' own indexes as (space, term, paths)."""

    pages: Sequence[Page]
    index: Sequence[tuple[str, str, frozenset[str]]] = field(default=())


def packages(folder: Path | None, cache: Path) -> Sequence[Path]:
    """Unpacked packages; fetches those that are not there yet. Raises SystemExit where there is no way to get any."""
    found = sorted(folder.glob("*.deb")) if folder else _fetched(cache)
    if not found:
        raise SystemExit(
            "docs_search: no documentation packages: `apt-get download` brought none (no network, or no Debian). "
            "Give a folder of .deb files with BENCH_DEBS=FOLDER"
        )
    return [_unpacked(each, cache) for each in found if shutil.which("dpkg-deb")]


def read(folders: Sequence[Path]) -> Corpus:
    """Everything in English that is HTML in them."""
    pages: list[Page] = []
    index: list[tuple[str, str, frozenset[str]]] = []
    for folder in folders:
        space = re.sub(r"[^a-z0-9-]+", "-", folder.name.lower()).strip("-")
        for file in sorted(folder.rglob("*.html*")):
            relative = file.relative_to(folder).as_posix()
            if not file.is_file() or file.is_symlink() or file.suffix == ".gz" or _foreign(relative):
                continue
            source = file.read_text("utf-8", "replace")
            path = _path(relative)
            if re.fullmatch(_INDEXES, file.name):
                index += [(space, term, paths) for term, paths in index_entries(source, path)]
                continue
            page = convert(source, space, path)
            if page.title and 200 < len(page.content.encode()) < MAX_BYTES:
                pages.append(page)
    return Corpus(pages, index)


def convert(source: str, space: str, path: str) -> Page:
    """HTML as Markdown, without what surrounds the text."""
    reader = _Reader(path)
    reader.feed(source)
    reader.close()
    content = re.sub(r"\n(?:[ \t]*\n){2,}", "\n\n", "".join(reader.out)).strip() + "\n"
    title = reader.first_heading or reader.title
    if not reader.first_heading and title:
        content = f"# {title}\n\n{content}"
    return Page(space, path, title, content, reader.links, source="")


def index_entries(source: str, path: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Terms of a book's index and the pages they lead to."""
    for entry in re.findall(r"<(?:dt|li)[^>]*>(.*?)(?=<(?:dt|li|dl|ul|/dl|/ul)[ >/])", source, re.DOTALL):
        links = re.findall(r'<a[^>]*href="([^"#]*)[^"]*"[^>]*>(.*?)</a>', entry, re.DOTALL)
        if not links:
            continue
        text = _plain(links[0][1])
        lead = _plain(entry.partition("<a")[0]).rstrip(", ")
        term = lead or text
        if 2 < len(term) < 60 and not term.startswith("["):
            paths = frozenset(
                posixpath.normpath(posixpath.join(posixpath.dirname(path), _path(href))) for href, _ in links if href
            )
            if paths:
                yield re.sub(r"\s*\((?:in module|built-in|class in|module|method|attribute)[^)]*\)", "", term), paths


class _Reader(html.parser.HTMLParser):
    def __init__(self, path: str) -> None:
        super().__init__(convert_charrefs=True)
        self.path, self.out, self.links = path, [], []  # type: str, list[str], list[tuple[str, str, str]]
        self.title = self.first_heading = ""
        self.stack: list[tuple[str, bool]] = []
        self.skipping = 0
        self.pre = self.in_title = 0
        self.heading: list[str] | None = None
        self.link: tuple[str, int] | None = None
        self.cell = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in _VOID:
            if tag in {"br", "hr"}:
                self._add("\n")
            return
        chrome = tag in _SKIPPED or bool(_CHROME.search(f"{values.get('class') or ''} {values.get('id') or ''}"))
        self.stack.append((tag, chrome))
        self.in_title += tag == "title"
        self.skipping += chrome
        if not self.skipping:
            self._begin(tag, values.get("href") or "")

    def _begin(self, tag: str, href: str) -> None:
        if tag in _HEADINGS:
            self._add(f"\n\n{'#' * int(tag[1])} ")
            self.heading = []
        elif tag in _BEGINNINGS:
            self._add(_BEGINNINGS[tag])
            self.pre += tag == "pre"
            self.cell += tag in {"td", "th"}
        elif tag in _BLOCKS and not self.cell:
            self._add("\n\n")
        elif tag == "a" and href and not self.pre:
            self.link = (href, len(self.out))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID or not any(name == tag for name, _ in self.stack):
            return
        while self.stack:
            name, chrome = self.stack.pop()
            self._end(name)
            if chrome:
                self.skipping -= 1
            if name == "title":
                self.in_title -= 1
            if name == tag:
                return

    def _end(self, tag: str) -> None:
        if self.skipping:
            return
        if tag in _HEADINGS and self.heading is not None:
            text = " ".join("".join(self.heading).split())
            if not self.first_heading:
                self.first_heading = text
            self.heading = None
            self._add("\n\n")
        elif tag == "pre" and self.pre:
            self.pre -= 1
            self._add("\n```\n\n")
        elif tag in {"td", "th"}:
            self.cell = max(0, self.cell - 1)
        elif tag == "a" and self.link is not None:
            self._end_link()
        elif tag in _BLOCKS and not self.cell:
            self._add("\n\n")

    def _end_link(self) -> None:
        assert self.link is not None
        href, start = self.link
        self.link = None
        text = " ".join("".join(self.out[start:]).split())
        if not text or "://" in href or href.startswith(("mailto:", "javascript:")):
            return
        name, _, anchor = href.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), _path(name))) if name else self.path
        if target.startswith(".."):
            return
        self.links.append((text, target, anchor))
        if self.heading is None:
            here = posixpath.relpath(target, posixpath.dirname(self.path) or ".")
            self.out[start:] = [f"[{text.replace('[', '(').replace(']', ')')}]({here.replace(' ', '%20')})"]

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title += " ".join(data.split())
        if self.skipping:
            return
        text = data if self.pre else re.sub(r"\s+", " ", data)
        if self.heading is not None:
            self.heading.append(text)
        self._add(text)

    def _add(self, text: str) -> None:
        if not self.skipping:
            self.out.append(text)


def _path(relative: str) -> str:
    """Short and with the suffix of Markdown."""
    for prefix in ("usr/share/doc/", "usr/share/"):
        relative = relative.removeprefix(prefix)
    relative = re.sub(r"\.(en\.)?html(\.en)?$", ".md", relative.partition("?")[0])
    return re.sub(r'[\\:*?"<>|]', "-", relative)


def _foreign(relative: str) -> bool:
    for match in _LANGUAGE.finditer(f"/{relative.removeprefix('usr/share/doc/')}"):
        language = (match.group(1) or match.group().strip("/")).lower()
        if language not in {"en", "en-us", "db", "ref", "c3", "man", "lib"} and len(language) in {2, 5, 7}:
            return True
    return bool(re.search(r"\.html\.(?!en)[a-z]", relative)) or "/_sources/" in relative


def _plain(fragment: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", fragment)).split())


def _fetched(cache: Path) -> Sequence[Path]:
    debs = cache / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    missing = [name for name in PACKAGES if not list(debs.glob(f"{name}_*.deb"))]
    for name in missing if shutil.which("apt-get") else []:
        subprocess.run(["apt-get", "download", name], cwd=debs, check=False, capture_output=True, timeout=300)
    return sorted(debs.glob("*.deb"))


def _unpacked(deb: Path, cache: Path) -> Path:
    folder = cache / "unpacked" / deb.name.partition("_")[0]
    if not folder.exists():
        folder.mkdir(parents=True)
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True, env=environment, timeout=300)
    return folder
