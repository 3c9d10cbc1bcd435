"""What is in a document, for search, links and rules: headings, sections, links, in one pass of a parser."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyromark

from automesh.core.anchors import unique_anchor

_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_FOOTNOTES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_GFM
    | pyromark.Options.ENABLE_YAML_STYLE_METADATA_BLOCKS
)
_PARSER = pyromark.Markdown(options=_OPTIONS)
_HTML_ID = re.compile(r"""<[a-zA-Z][^<>]*?\s(?:id|name)\s*=\s*["']?([^\s"'>]+)""")
_HTML_LINK = re.compile(r"""<(a|img)\b[^<>]*?\s(?:href|src)\s*=\s*["']?([^\s"'>]+)""", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")  # not past another "<": a page of nothing else would take for ever
_BREAKS = frozenset({"Paragraph", "Item", "CodeBlock", "Heading", "BlockQuote", "TableHead", "TableRow", "HtmlBlock"})


@dataclass(frozen=True, slots=True)
class Heading:
    """`line` counts from 1."""

    level: int
    text: str
    anchor: str
    line: int


@dataclass(frozen=True, slots=True)
class Link:
    """Where a document points to. `picture`: it shows what is there."""

    target: str
    line: int
    picture: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Plain text from a heading to the next; without a heading, what stands before the first."""

    heading: Heading | None
    text: str


@dataclass(frozen=True, slots=True)
class Outline:
    """Of one document."""

    headings: Sequence[Heading] = ()
    sections: Sequence[Section] = ()
    links: Sequence[Link] = ()
    anchors: frozenset[str] = frozenset()
    """Where links may lead: of headings, and ids in HTML."""

    @property
    def first_heading(self) -> str:
        """Empty without one."""
        return self.headings[0].text if self.headings else ""


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    lines: Sequence[int]
    headings: list[Heading] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    used: dict[str, int] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)
    heading: Heading | None = None
    heading_text: list[str] | None = None
    heading_at: int = 0
    level: int = 0
    open_links: list[tuple[str, int, bool, int]] = field(default_factory=list)
    in_metadata: bool = False

    def line(self, offset: int) -> int:
        return bisect.bisect_right(self.lines, offset)


def events(content: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """What the parser comes across, each with the bytes that it spans."""
    found: Iterator[tuple[Any, Any]] = _PARSER.events_with_range(content)
    return found


def outline(content: str) -> Outline:
    """Never fails: every text is Markdown."""
    source = content.encode()
    reading = _Reading([0, *(match.end() for match in re.finditer(rb"\n", source))])
    for event, span in events(content):
        _take(reading, event, span["start"])
    _end_section(reading)
    anchors = frozenset({heading.anchor for heading in reading.headings} | reading.ids)
    return Outline(reading.headings, reading.sections, reading.links, anchors)


def _take(reading: _Reading, event: Any, at: int) -> None:
    if isinstance(event, str):  # SoftBreak, HardBreak, Rule
        _add(reading, " " if event == "SoftBreak" else "\n")
        return
    ((kind, value),) = event.items()
    if kind == "Start":
        _start(reading, value, at)
    elif kind == "End":
        _end(reading, value)
    elif kind in {"Text", "Code", "InlineMath", "DisplayMath"}:
        _add(reading, value)
    elif kind in {"Html", "InlineHtml"}:
        _html(reading, value, at)


def _start(reading: _Reading, tag: Any, at: int) -> None:
    name, value = (tag, {}) if isinstance(tag, str) else next(iter(tag.items()))
    if name == "MetadataBlock":
        reading.in_metadata = True
    elif name == "Heading":
        reading.heading_text, reading.heading_at, reading.level = [], at, int(value["level"][1:])
    elif name in {"Link", "Image"}:
        reading.open_links.append((value["dest_url"], at, name == "Image", len(reading.heading_text or reading.text)))


def _end(reading: _Reading, tag: Any) -> None:
    name = tag if isinstance(tag, str) else next(iter(tag))
    if name == "MetadataBlock":
        reading.in_metadata = False
    elif name == "Heading":
        _end_heading(reading)
    elif name in {"Link", "Image"}:
        target, at, picture, start = reading.open_links.pop()
        text = "".join((reading.heading_text if reading.heading_text is not None else reading.text)[start:])
        reading.links.append(Link(target, reading.line(at), picture, text))
    elif name == "TableCell":
        _add(reading, " ")
    elif name in _BREAKS:
        _add(reading, "\n")


def _add(reading: _Reading, text: str) -> None:
    if not reading.in_metadata:
        (reading.text if reading.heading_text is None else reading.heading_text).append(text)


def _html(reading: _Reading, html: str, at: int) -> None:
    reading.ids.update(_HTML_ID.findall(html))
    for tag, target in _HTML_LINK.findall(html):
        reading.links.append(Link(target, reading.line(at), tag.lower() == "img"))
    _add(reading, _TAG.sub(" ", html))


def _end_heading(reading: _Reading) -> None:
    text = " ".join("".join(reading.heading_text or ()).split())
    reading.heading_text = None
    heading = Heading(reading.level, text, unique_anchor(text, reading.used), reading.line(reading.heading_at))
    _end_section(reading)
    reading.headings.append(heading)
    reading.heading = heading


def _end_section(reading: _Reading) -> None:
    text = re.sub(r"[ \t]+", " ", "".join(reading.text)).strip()
    if text or reading.heading is not None:
        reading.sections.append(Section(reading.heading, re.sub(r"\n{2,}", "\n", text)))
    reading.text = []
