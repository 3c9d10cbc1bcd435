"""Docstrings in the shapes of Google, NumPy and reStructuredText, taken apart into text and sections."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One parameter, return value or exception. Name and type are empty where they are not said."""

    name: str
    type: str
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """With `items` a list of them, else plain text."""

    title: str
    items: Sequence[Item] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Docstring:
    """The text before the first section, and the sections in their order."""

    text: str
    sections: Sequence[Section] = ()

    @property
    def summary(self) -> str:
        """The first sentence or paragraph, in one line."""
        paragraphs = (each.strip() for each in self.text.split("\n\n"))
        first = " ".join(next((each for each in paragraphs if each and not each.startswith("..")), "").split())
        end = re.search(r"(?<=[^.\s])\.(?=\s+[A-Z])", first)
        return first[: end.end()] if end else first


_TITLES = {
    "args": "Parameters", "arguments": "Parameters", "parameters": "Parameters", "params": "Parameters",
    "other parameters": "Other parameters", "keyword args": "Keyword arguments",
    "keyword arguments": "Keyword arguments", "attributes": "Attributes", "methods": "Methods",
    "return": "Returns", "returns": "Returns", "yield": "Yields", "yields": "Yields", "receives": "Receives",
    "raises": "Raises", "except": "Raises", "exceptions": "Raises", "warns": "Warns",
    "example": "Examples", "examples": "Examples", "note": "Notes", "notes": "Notes", "warning": "Warning",
    "warnings": "Warning", "see also": "See also", "references": "References", "todo": "To do", "tip": "Tip",
}  # fmt: skip
_LISTS = frozenset(
    {"Parameters", "Other parameters", "Keyword arguments", "Attributes", "Returns", "Yields", "Raises", "Warns",
     "Receives", "Methods"}
)  # fmt: skip
_NAMELESS = frozenset({"Returns", "Yields", "Receives"})
_ONLY_TYPES = frozenset({"Raises", "Warns"})
_UNDERLINE = re.compile(r"-{3,}\s*")
_GOOGLE_HEAD = re.compile(r"([A-Z][A-Za-z ]{2,20}):\s*")
_GOOGLE_ITEM = re.compile(r"(\*{0,2}[\w.\[\], |]+?)\s*(?:\(([^)]*(?:\([^)]*\)[^)]*)*)\))?\s*:(?:\s+(.*)|\s*)$")
_FIELD = re.compile(r":(\w+)(?:\s+([^:]+?))?:(?:\s+(.*)|\s*)$")
_FIELDS = {
    "param": "Parameters", "parameter": "Parameters", "arg": "Parameters", "argument": "Parameters",
    "key": "Keyword arguments", "keyword": "Keyword arguments", "ivar": "Attributes", "cvar": "Attributes",
    "var": "Attributes", "return": "Returns", "returns": "Returns", "yields": "Yields", "raise": "Raises",
    "raises": "Raises", "except": "Raises", "exception": "Raises",
}  # fmt: skip


def parse(doc: str) -> Docstring:
    """Of a docstring without its common indentation. Never fails: what is no section is text."""
    lines = doc.expandtabs().rstrip().splitlines()
    if any(_numpy_head(lines, at) for at in range(len(lines))):
        return _numpy(lines)
    if any(_google_head(lines, at) for at in range(len(lines))):
        return _google(lines)
    return _fields(lines)


def _numpy_head(lines: Sequence[str], at: int) -> str:
    if at + 1 < len(lines) and _UNDERLINE.fullmatch(lines[at + 1]):
        return _TITLES.get(lines[at].strip().lower(), "")
    return ""


def _numpy(lines: Sequence[str]) -> Docstring:
    heads = [(at, title) for at in range(len(lines)) if (title := _numpy_head(lines, at))]
    sections = []
    for number, (at, title) in enumerate(heads):
        end = heads[number + 1][0] if number + 1 < len(heads) else len(lines)
        body = lines[at + 2 : end]
        items = _numpy_items(body, title) if title in _LISTS else ()
        sections.append(Section(title, items) if items else Section(title, (), _joined(body)))
    return Docstring(_joined(lines[: heads[0][0]]), sections)


def _numpy_items(body: Sequence[str], title: str) -> list[Item]:
    items: list[Item] = []
    for head, rest in _hanging(body):
        name, colon, kind = (part.strip() for part in head.partition(" : "))
        if not colon and title in _NAMELESS | _ONLY_TYPES:
            name, kind = "", head.strip()
        items.append(Item(name, kind, rest))
    return items


def _google_head(lines: Sequence[str], at: int) -> str:
    match = _GOOGLE_HEAD.fullmatch(lines[at])
    title = _TITLES.get(match[1].lower(), "") if match else ""
    if not title or at + 1 >= len(lines):
        return ""
    below = next((line for line in lines[at + 1 :] if line.strip()), "")
    return title if below.startswith((" ", "\t")) else ""


def _google(lines: Sequence[str]) -> Docstring:
    text: list[str] = []
    sections: list[Section] = []
    at = 0
    while at < len(lines):
        title = _google_head(lines, at)
        if not title:
            text.append(lines[at])
            at += 1
            continue
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
            end += 1
        sections.append(
            _google_section(title, textwrap.dedent("\n".join(lines[at + 1 : end])).strip("\n").splitlines())
        )
        at = end
    return Docstring(_joined(text), sections)


def _google_section(title: str, body: Sequence[str]) -> Section:
    if title not in _LISTS:
        return Section(title, (), _joined(body))
    items: list[Item] = []
    for head, rest in _hanging(body):
        match = _GOOGLE_ITEM.match(head)
        if match is None:
            return Section(title, (), _joined(body))
        name, kind, first = match[1].strip(), match[2] or "", match[3] or ""
        if title in _NAMELESS | _ONLY_TYPES:
            name, kind = "", name
        items.append(Item(name, kind, _joined([first, *rest.splitlines()])))
    return Section(title, items)


def _hanging(body: Sequence[str]) -> list[tuple[str, str]]:
    """Lines at the margin, each with what is indented below it."""
    found: list[tuple[str, list[str]]] = []
    for line in body:
        if line.strip() and not line.startswith(" "):
            found.append((line, []))
        elif found:
            found[-1][1].append(line)
    return [(head, textwrap.dedent("\n".join(rest)).strip()) for head, rest in found]


def _fields(lines: Sequence[str]) -> Docstring:
    first = next((at for at, line in enumerate(lines) if _is_field(line)), len(lines))
    items: dict[str, list[Item]] = {}
    types: dict[str, str] = {}
    for head, rest in _hanging([line if line.startswith(":") else f"    {line}" for line in lines[first:]]):
        match = _FIELD.match(head)
        if match is None:
            continue
        _take_field(match[1], match[2] or "", _joined([match[3] or "", *rest.splitlines()]), items, types)
    sections = [
        Section(title, [Item(each.name, each.type or types.get(each.name, ""), each.text) for each in found])
        for title, found in items.items()
    ]
    return Docstring(_joined(lines[:first]), sections)


def _is_field(line: str) -> bool:
    match = _FIELD.match(line)
    return match is not None and (match[1] in _FIELDS or match[1] in ("type", "rtype"))


def _take_field(kind: str, argument: str, text: str, items: dict[str, list[Item]], types: dict[str, str]) -> None:
    if kind == "type":
        types[argument] = text
    elif kind == "rtype":
        had = items.get("Returns")
        items["Returns"] = [Item("", text, had[0].text if had else "")]
    elif kind in _FIELDS:
        title = _FIELDS[kind]
        type_, _, name = argument.rpartition(" ")
        if title in _ONLY_TYPES:
            type_, name = argument, ""
        known = items.get(title, [])
        if title == "Returns" and known:
            type_, known = known[0].type, []
        items[title] = [*known, Item(name, type_, text)]


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n")
