"""Where links of a text lead within its space, and whether anything is there."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rapidfuzz import process

from services.doc.domain.documents.path import INDEX_NAMES, key, target_of
from services.doc.domain.documents.text import Text
from services.doc.domain.markdown.outline import Link
from services.doc.domain.validation.rule import Hit

SUGGESTED = 20
"""Broken links of a page for which something near is looked for."""
NEAR_ENOUGH = 75.0
MOST_COMPARED = 500
"""Anchors of a page among which one that is near is looked for."""
_EVERYWHERE = frozenset({"", "top"})
"""Browsers know these places in every page."""


@dataclass(frozen=True, slots=True)
class Place:
    """`key` is the path of the target as paths are compared, `anchor` what stands behind "#"."""

    key: str
    path: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was looked up: keys at which nothing is, and the anchors of documents."""

    missing: Collection[str] = frozenset()
    anchors: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Links of a page, the keys of the page itself, those that are looked up, and those whose anchors are."""

    links: Sequence[tuple[Link, Place]]
    own: frozenset[str]
    keys: frozenset[str]
    anchored: frozenset[str]


class LinkTargets(Protocol):
    """What links of a branch can lead to. May raise Unavailable.

    Documents, also by a path that they had before, or by the folder whose index.md or readme.md they are; folders with
    documents; attachments.
    """

    async def look_up(
        self, tenant_id: str, space: str, branch: str, keys: Collection[str], anchored: Collection[str]
    ) -> Found:
        """Which of the keys lead nowhere; anchors for those of `anchored` that lead to documents."""
        ...

    async def named(self, tenant_id: str, space: str, branch: str, names: Collection[str]) -> Mapping[str, str]:
        """Paths of documents by their last part as it is compared, for those that have one of the names."""
        ...


def places(text: Text, path: str) -> list[tuple[Link, Place]]:
    """Links that stay within the space."""
    known: dict[str, Place | None] = {}
    found = []
    for link in text.outline.links:
        if link.target not in known:
            known[link.target] = _place(link.target, path)
        place = known[link.target]
        if place is not None:
            found.append((link, place))
    return found


def asked(text: Text, path: str) -> Asked:
    """What is to be looked up for the page at a path."""
    links, own = places(text, path), own_keys(path)
    return Asked(
        links=links,
        own=own,
        keys=frozenset(place.key for _, place in links) - own,
        anchored=frozenset(place.key for _, place in links if is_anchor(place.anchor)) - own,
    )


def names(found: Found) -> Sequence[str]:
    """Last parts of some missing keys, for which something near is looked for."""
    return heapq.nsmallest(SUGGESTED, {name for each in found.missing if (name := each.rpartition("/")[2])})


def _place(target: str, path: str) -> Place | None:
    reached = target_of(target, path)
    if reached is None or not target.strip() or target.strip() == "#":  # no-empty-link says it
        return None
    return Place(key(reached[0]), *reached)


def is_anchor(anchor: str) -> bool:
    """It names a place of a page; the other forms are the browser's affair."""
    return anchor.lower() not in _EVERYWHERE and not anchor.startswith(":~:")


def own_keys(path: str) -> frozenset[str]:
    """The ways to link to the page at a path."""
    own = key(path)
    folder, _, name = own.rpartition("/")
    return frozenset({own, folder} if name in INDEX_NAMES else {own})


def folders(path: str) -> frozenset[str]:
    """Keys of the folders that are there because the page is; the empty one is the top."""
    parts = key(path).split("/")[:-1]
    return frozenset("/".join(parts[:count]) for count in range(len(parts) + 1))


def missing_message(place: Place, *, picture: bool, near: str = "") -> str:
    """What is wrong with a link that leads nowhere."""
    what = "the picture" if picture else "the link leads to"
    hint = f'did you mean "{near}"?' if near else "attach it" if picture else "mend the link, or write that page first"
    return f'{what} "{place.path or "/"}"{" is not attached" if picture else ", which is not there"}: {hint}'


def anchor_message(place: Place, anchors: Collection[str]) -> str:
    """What is wrong with a link whose anchor is not there."""
    known = sorted(anchors) if len(anchors) <= MOST_COMPARED else ()
    near = process.extractOne(place.anchor, known, score_cutoff=NEAR_ENOUGH)
    hint = f'did you mean "#{near[0]}"?' if near else "name one of its headings"
    return f'"{place.path}" has no anchor "#{place.anchor}": {hint}'


def broken(links: Sequence[tuple[Link, Place]], found: Found, near: Mapping[str, str]) -> Iterator[Hit]:
    """Links to what is not there. `near`: paths that may be meant, by the last part of the missing."""
    for link, place in links:
        if place.key in found.missing:
            meant = near.get(place.key.rpartition("/")[2], "")
            yield Hit(link.line, 0, missing_message(place, picture=link.picture, near=meant))


def broken_anchors(
    links: Sequence[tuple[Link, Place]], found: Found, own: Collection[str], anchors: frozenset[str]
) -> Iterator[Hit]:
    """Links to anchors that are not there. `own` are the keys of the page itself, `anchors` its anchors."""
    for link, place in links:
        if not is_anchor(place.anchor):
            continue
        there = anchors if place.key in own else found.anchors.get(place.key)
        if there is not None and place.anchor not in there:
            yield Hit(link.line, 0, anchor_message(place, there))
