"""A document as an index keeps it: its sections, each one bag of words, and what it calls other documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from services.doc.domain.documents.document import Head
from services.doc.domain.documents.path import key, target_of
from services.doc.domain.markdown.outline import Outline, Section, outline
from services.doc.domain.search.tokens import STOP_WORDS, bag, bags, fold, names, runs, tokens_of

MAX_SECTIONS = 5_000
MAX_LINKS = 2_000
MAX_TEXT = 16_384
"""Characters of a section that are kept to be shown; all of it is found."""
MAX_LINK_TEXT = 200
HEADING_TIMES = 3
_WORD = re.compile(r"[^\W\d_]{3,40}")


@dataclass(frozen=True, slots=True)
class IndexedSection:
    """`text` has single spaces; `exact` stands for the words of its heading, in their order."""

    heading: str
    anchor: str
    text: str
    bag: str
    written: str
    """The same words as they are written: among those with one stem the very one counts more."""
    exact: int


@dataclass(frozen=True, slots=True)
class IndexedLink:
    """What the document calls another one, at a path of the same space."""

    target: int
    bag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedPage:
    """All of one document. `surface`: its words as they are written, each once, in lower case."""

    document_id: str
    revision_id: str
    space: str
    path: str
    title: str
    tags: Sequence[str]
    author: str
    changed_at: datetime
    exact: int
    bag: str
    surface: str
    sections: Sequence[IndexedSection]
    links: Sequence[IndexedLink]

    @property
    def number(self) -> int:
        """Stands for the document where an index has numbers only."""
        return number_of(self.document_id)

    @property
    def place(self) -> int:
        """Where links lead to it."""
        return place_of(self.space, self.path)

    @property
    def content(self) -> int:
        """Stands for all of it. A body that could not be read is another one than the same when it can be."""
        where = (self.document_id, self.revision_id, self.space, self.path, self.author, self.changed_at.isoformat())
        return number_of("\n".join([*where, self.title, *self.tags, self.bag]))


def number_of(text: str) -> int:
    """64 bits that stand for a text: two texts with the same are not to be expected in this universe."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def place_of(space: str, path: str) -> int:
    """The same for paths that differ in case only."""
    return number_of(f"{space}\n{key(path)}")


def exact_of(text: str) -> int:
    """Equal for texts with the same words in the same order, but for stop words; 0 for one without words."""
    kept = [run for run in runs(text) if run.lower() not in STOP_WORDS]
    found = list(dict.fromkeys(token for run in kept for token in tokens_of(run)))
    return number_of(" ".join(found)) if found else 0


def read_page(head: Head, content: str) -> IndexedPage:
    """Never fails: every text can be found by its words."""
    read = outline(content)
    title, written_title = bags(head.title)
    name = bag(head.path.rpartition("/")[2].removesuffix(".md"))
    sections, words = [], [title, title, name]
    for section in _bounded(read.sections):
        heading = section.heading.text if section.heading else ""
        (heading_bag, written_heading), (text_bag, written_text) = bags(heading), bags(section.text)
        words += [heading_bag, text_bag]
        named = " ".join(map(bag, names(section.text)))
        parts = [title, *[heading_bag] * HEADING_TIMES, text_bag, named]
        anchor = section.heading.anchor if section.heading else ""
        sections.append(
            IndexedSection(
                heading=heading,
                anchor=anchor,
                text=" ".join(section.text[:MAX_TEXT].split()),
                bag=_joined(parts),
                written=_joined([written_title, *[written_heading] * HEADING_TIMES, written_text]),
                exact=exact_of(heading),
            )
        )
    return IndexedPage(
        document_id=head.document_id,
        revision_id=head.revision_id,
        space=head.space,
        path=head.path,
        title=head.title,
        tags=head.tags,
        author=head.updated_by,
        changed_at=head.updated_at,
        exact=exact_of(head.title),
        bag=_joined(words),
        surface=" ".join(sorted(set(_WORD.findall(fold(content).lower())))),
        sections=sections,
        links=list(_links(read, head)),
    )


def _bounded(sections: Sequence[Section]) -> Sequence[Section]:
    """What is after the last one that counts is added to it; a document without any has an empty one."""
    if not sections:
        return [Section(None, "")]
    kept, rest = list(sections[:MAX_SECTIONS]), sections[MAX_SECTIONS:]
    if rest:
        more = (f"{each.heading.text if each.heading else ''}\n{each.text}" for each in rest)
        kept[-1] = Section(kept[-1].heading, "\n".join([kept[-1].text, *more]))
    return kept


def _joined(bags: Iterable[str]) -> str:
    return " ".join(filter(None, bags))


def _links(read: Outline, head: Head) -> Iterator[IndexedLink]:
    """Each text with each target once: a text in the navigation is not worth more for its many pages, nor here."""
    seen: set[tuple[int, str]] = set()
    for link in read.links:
        target = None if link.picture or not link.text else target_of(link.target, head.path)
        if target is None or key(target[0]) == key(head.path):
            continue
        words = bag(link.text[:MAX_LINK_TEXT])
        made = (place_of(head.space, target[0]), words)
        if words and made not in seen:
            seen.add(made)
            yield IndexedLink(*made)
            if len(seen) == MAX_LINKS:
                return
