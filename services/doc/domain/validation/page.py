"""A page as rules look at it: its lines, and one pass of a parser over its Markdown."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.doc.domain.documents.text import Text
from services.doc.domain.markdown.outline import events

_ANCHOR_TAG = re.compile(r"<(/?)a\b", re.IGNORECASE)


class Piece(NamedTuple):
    """Something at a place in the source; `at` and `end` count bytes from 0."""

    at: int
    end: int
    text: str


class Prose(NamedTuple):
    """Text that people read: no code, no HTML. `linked`: it is the text of a link."""

    at: int
    text: str
    linked: bool


class CodeBlock(NamedTuple):
    """`info` is what stands behind the opening fence; one that is indented is not `fenced`."""

    at: int
    end: int
    info: str
    fenced: bool


class LinkUse(NamedTuple):
    """A link or a picture of Markdown; `text` is what people read or hear."""

    at: int
    text: str
    target: str
    picture: bool
    shows_picture: bool


class Table(NamedTuple):
    """`columns` are those of its head."""

    at: int
    end: int
    columns: int


@dataclass(slots=True)
class _Open:
    """A link that has not ended yet."""

    at: int
    target: str
    picture: bool
    words: list[str] = field(default_factory=list)
    shows_picture: bool = False


class Page:
    """Read once, looked at by every rule. `words` are taken for right by the space."""

    def __init__(self, path: str, text: Text, words: Collection[str] = ()) -> None:
        self.path, self.text, self.words = path, text, words
        self.source = text.content.encode("utf-8", "surrogatepass")
        self.lines: Sequence[str] = text.content.split("\n")
        self.prose: list[Prose] = []
        self.code: list[CodeBlock] = []
        self.links: list[LinkUse] = []
        self.html: list[Piece] = []
        self.tables: list[Table] = []
        self.deepest = (0, 0)
        """How deep lists are nested, and the byte where they are deepest."""
        self._starts = [0, *(match.end() for match in re.finditer(rb"\n", self.source))]
        self._open: list[_Open] = []
        self._depth = self._html_links = 0
        self._silent = False  # within front matter or a block of code
        self._read()
        self._code_lines = self._lines_of_code()

    def place(self, at: int) -> tuple[int, int]:
        """Line and column, from 1, of a byte."""
        line = bisect.bisect_right(self._starts, at)
        start = self._starts[line - 1]
        return line, len(self.source[start:at].decode("utf-8", "replace")) + 1

    def source_of(self, piece: CodeBlock | Table) -> str:
        """What it was made of."""
        return self.source[piece.at : piece.end].decode("utf-8", "replace")

    def plain_lines(self) -> Iterator[tuple[int, str]]:
        """Number and text of the lines that are neither code nor front matter, without carriage returns."""
        skipped = self._code_lines
        for number in range(self.text.front_matter.body_line, len(self.lines)):
            if number + 1 not in skipped:
                yield number + 1, self.lines[number].removesuffix("\r")

    def _lines_of_code(self) -> frozenset[int]:
        found: set[int] = set()
        for block in self.code:
            first, last = self.place(block.at)[0], self.place(max(block.at, block.end - 1))[0]
            found.update(range(first, last + 1))
        return frozenset(found)

    def _read(self) -> None:
        for event, span in events(self.text.content):
            if isinstance(event, str):
                if self._open:
                    self._open[-1].words.append(" ")
                continue
            ((kind, value),) = event.items()
            take = _TAKES.get(kind)
            if take is not None:
                take(self, value, span)

    def _start(self, tag: Any, span: dict[str, int]) -> None:
        name, value = (tag, None) if isinstance(tag, str) else next(iter(tag.items()))
        take = _STARTS.get(name)
        if take is not None:
            take(self, value, span)

    def _end(self, tag: Any, _: dict[str, int]) -> None:
        name = tag if isinstance(tag, str) else next(iter(tag))
        if name in {"Link", "Image"}:
            self._end_link()
        elif name == "List":
            self._depth -= 1
        elif name in {"MetadataBlock", "CodeBlock"}:
            self._silent = False

    def _start_link(self, value: Any, span: dict[str, int]) -> None:
        self._open.append(_Open(span["start"], value["dest_url"], picture=False))

    def _start_picture(self, value: Any, span: dict[str, int]) -> None:
        for link in self._open:
            link.shows_picture = True
        self._open.append(_Open(span["start"], value["dest_url"], picture=True))

    def _end_link(self) -> None:
        link = self._open.pop()
        words = "".join(link.words).strip()
        if self._open:
            self._open[-1].words.append(words)
        self.links.append(LinkUse(link.at, words, link.target, link.picture, link.shows_picture))

    def _start_code(self, value: Any, span: dict[str, int]) -> None:
        self._silent = True
        fenced = isinstance(value, dict)
        info = str(value["Fenced"]) if isinstance(value, dict) else ""
        self.code.append(CodeBlock(span["start"], span["end"], info.strip(), fenced))

    def _start_list(self, _: Any, span: dict[str, int]) -> None:
        self._depth += 1
        if self._depth > self.deepest[0]:
            self.deepest = (self._depth, span["start"])

    def _start_table(self, value: Any, span: dict[str, int]) -> None:
        self.tables.append(Table(span["start"], span["end"], len(value)))

    def _start_metadata(self, _: Any, __: dict[str, int]) -> None:
        self._silent = True

    def _take_text(self, text: str, span: dict[str, int]) -> None:
        if self._silent:
            return
        if self._open:
            self._open[-1].words.append(text)
        self.prose.append(Prose(span["start"], text, bool(self._open) or self._html_links > 0))

    def _take_code(self, text: str, _: dict[str, int]) -> None:
        if self._open:
            self._open[-1].words.append(text)

    def _take_html(self, text: str, span: dict[str, int]) -> None:
        for match in _ANCHOR_TAG.finditer(text):
            self._html_links = max(0, self._html_links + (-1 if match[1] else 1))
        self.html.append(Piece(span["start"], span["end"], text))


_Take = Callable[[Page, Any, dict[str, int]], None]
_STARTS: dict[str, _Take] = {
    "Link": Page._start_link,
    "Image": Page._start_picture,
    "CodeBlock": Page._start_code,
    "List": Page._start_list,
    "Table": Page._start_table,
    "MetadataBlock": Page._start_metadata,
}
_TAKES: dict[str, _Take] = {
    "Start": Page._start,
    "End": Page._end,
    "Text": Page._take_text,
    "Code": Page._take_code,
    "InlineMath": Page._take_code,
    "DisplayMath": Page._take_code,
    "Html": Page._take_html,
    "InlineHtml": Page._take_html,
}
