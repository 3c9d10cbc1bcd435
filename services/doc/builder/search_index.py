"""The search index that readers' browsers load: sections, and which words are in them, in files of bounded size.

`~search/index.json` names the others. Words stand in the files of `terms` by ranges of the alphabet, so that a browser
loads those of the words that it is asked for; what is shown of sections stands in `chunks`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from services.doc.builder.addresses import OWN
from services.doc.builder.files import Files
from services.doc.builder.pages import Page

FOLDER = f"{OWN}search/"
INDEX = f"{FOLDER}index.json"
SECTIONS_A_CHUNK = 250
SHARD = 96 * 1024
EXCERPT = 500
"""Characters of a section that browsers can show; they choose the words around what was asked."""
MAX_WORD = 40
TITLE, HEADING = 3, 2
"""A word in a title counts as often as so many in the text."""
SATURATION, LENGTH = 1.2, 0.6
"""k1 and b of BM25."""
SCALE = 10.0
MAX_TEXT = 100_000
"""Of one section, where identifiers are looked for."""
_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"\s+")
_IDENTIFIER = re.compile(r"\b[A-Za-z]\w{0,60}?(?:_|[a-z](?=[A-Z]))\w{1,60}")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(slots=True)
class _Section:
    page: int
    heading: str
    anchor: str
    excerpt: str
    words: Counter[str]


def words_of(text: str) -> list[str]:
    """As browsers find them, too: see assets/search.js."""
    return [word if len(word) <= MAX_WORD else word[:MAX_WORD] for word in _WORD.findall(text.lower())]


def write_index(pages: Sequence[Page]) -> Files:
    """The files of the index."""
    files = Files()
    sections = [section for number, page in enumerate(pages) for section in _sections(number, page)]
    names = []
    for start in range(0, len(sections), SECTIONS_A_CHUNK):
        rows = [
            [each.page, each.heading, each.anchor, each.excerpt] for each in sections[start : start + SECTIONS_A_CHUNK]
        ]
        names.append(files.add_hashed(f"{FOLDER}sections", "json", _json(rows)))
    index = {
        "pages": [[page.file, page.title] for page in pages],
        "sections": len(sections),
        "perChunk": SECTIONS_A_CHUNK,
        "chunks": [name.removeprefix(FOLDER) for name in names],
        "terms": _write_terms(_postings(sections), files),
    }
    files.add(INDEX, _json(index), "application/json")
    return files


def _sections(number: int, page: Page) -> Iterator[_Section]:
    title = f"{page.title} " * TITLE
    if not page.outline.sections:
        yield _Section(number, "", "", "", Counter(words_of(title)))
    for part in page.outline.sections:
        heading, text = part.heading, part.text
        named = f"{heading.text} " * HEADING if heading else ""
        yield _Section(
            number,
            heading.text if heading and heading.text != page.title else "",
            heading.anchor if heading else "",
            _SPACE.sub(" ", text[: EXCERPT * 2])[:EXCERPT],
            Counter(words_of(f"{title}{named}{text}") + _inner(text)),
        )


def _inner(text: str) -> list[str]:
    """Parts of identifiers: of max_page_bytes and of maxPageBytes."""
    return [
        part.lower()
        for word in set(_IDENTIFIER.findall(text[:MAX_TEXT]))
        for part in _PARTS.findall(word)
        if 1 < len(part) <= MAX_WORD
    ]


def _postings(sections: Sequence[_Section]) -> dict[str, list[int]]:
    """Words with number and weight of sections by turns, numbers as distances from the one before."""
    lengths = [sum(section.words.values()) for section in sections]
    average = sum(lengths) / max(1, len(lengths)) or 1.0
    postings: dict[str, list[int]] = {}
    last: dict[str, int] = {}
    for number, section in enumerate(sections):
        norm = SATURATION * (1 - LENGTH + LENGTH * lengths[number] / average)
        for word, count in section.words.items():
            weight = max(1, round(SCALE * count * (SATURATION + 1) / (count + norm)))
            postings.setdefault(word, []).extend((number - last.get(word, 0), weight))
            last[word] = number
    return postings


def _write_terms(postings: Mapping[str, list[int]], files: Files) -> list[list[str]]:
    """First word and name of each file."""
    named: list[list[str]] = []
    rows: list[str] = []
    first, size = "", 0
    # by code units, as browsers compare: for what is beyond the BMP the two orders differ
    for word in sorted(postings, key=lambda each: each.encode("utf-16-be")):
        row = f"{_json(word).decode()}:{_json(postings[word]).decode()}"
        if size + len(row) > SHARD and rows:
            named.append([first, _shard(rows, files)])
            rows, size = [], 0
        if not rows:
            first = word
        rows.append(row)
        size += len(row)
    if rows:
        named.append([first, _shard(rows, files)])
    return named


def _shard(rows: Sequence[str], files: Files) -> str:
    name = files.add_hashed(f"{FOLDER}words", "json", f"{{{','.join(rows)}}}".encode())
    return name.removeprefix(FOLDER)


def found(files: Mapping[str, bytes], query: str) -> list[str]:
    """The pages that the index has for all words of a query: what the checks ask it before readers do."""
    index = orjson.loads(files[INDEX])
    hits: set[int] | None = None
    for word in words_of(query):
        at = sum(1 for first, _ in index["terms"] if first.encode("utf-16-be") <= word.encode("utf-16-be")) - 1
        rows = orjson.loads(files[FOLDER + index["terms"][at][1]]) if at >= 0 else {}
        numbers, total = set(), 0
        for step in rows.get(word, [])[::2]:
            total += step
            numbers.add(total)
        hits = numbers if hits is None else hits & numbers
    return sorted({_page_of(files, index, number) for number in hits or ()})


def _page_of(files: Mapping[str, bytes], index: Mapping[str, list[str]], number: int) -> str:
    chunk, at = divmod(number, SECTIONS_A_CHUNK)
    rows = orjson.loads(files[FOLDER + index["chunks"][chunk]])
    return str(index["pages"][rows[at][0]][0])


def _json(value: object) -> bytes:
    return orjson.dumps(value)
