"""What is wrong in a whole space, by path: in pages, each made within a bounded time."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.documents import text as texts
from services.doc.domain.documents.document import DocumentQuery, Head
from services.doc.domain.documents.pace import Lane
from services.doc.domain.documents.path import document_path
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.documents.text import Text
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import Level, Space
from services.doc.domain.validation.catalogue import BROKEN_ANCHOR, BROKEN_LINK, ORPHAN_PAGE, check_name, levels_of
from services.doc.domain.validation.checks import Finding
from services.doc.domain.validation.page_checks import MAX_PER_RULE, PageChecks
from services.doc.domain.validation.targets import Place, missing_message

BY_LINKS = frozenset({BROKEN_LINK, BROKEN_ANCHOR, ORPHAN_PAGE})
"""Rules that are answered from links and anchors, without a look at contents."""
HEADS_AT_ONCE, PAGES_AT_ONCE, BYTES_AT_ONCE = 1_000, 50, 8 * 1024**2
BUDGET_S = 1.0
"""A page of findings is given back after so long, even where it is not full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenLink:
    """A link of a saved page that leads nowhere, or to an anchor that is not there."""

    document_id: str
    line: int
    target: str
    anchor: str
    picture: bool


class SpaceLinks(Protocol):
    """Links of a branch as they are stored. At most MAX_PER_RULE a document. May raise Unavailable."""

    async def broken(
        self, tenant_id: str, space: str, branch: str, document_ids: Sequence[str], most: int
    ) -> Sequence[BrokenLink]:
        """Links of these documents whose target is not there; at most `most` a document, by line."""
        ...

    async def broken_anchors(
        self, tenant_id: str, space: str, branch: str, document_ids: Sequence[str], most: int
    ) -> Sequence[BrokenLink]:
        """Links of these documents to documents that are there, but have no such anchor."""
        ...

    async def orphans(self, tenant_id: str, space: str, branch: str, document_ids: Sequence[str]) -> Collection[str]:
        """Those of these documents to which no other leads."""
        ...


@dataclass(frozen=True, slots=True)
class Reported:
    """A finding, and where."""

    head: Head
    finding: Finding


@dataclass(frozen=True, slots=True)
class Position:
    """All up to the document at `path` has been told, and the first `told` findings after it."""

    path: str = ""
    told: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with a text, and whether that keeps it from being saved."""

    findings: Sequence[Finding]

    @property
    def refused(self) -> bool:
        """A save would be refused."""
        return any(finding.level is Level.REFUSE for finding in self.findings)


class Report:
    """Findings for those who may read the space."""

    def __init__(
        self,
        documents: DocumentStore,
        branches: BranchStore,
        links: SpaceLinks,
        directory: SpaceDirectory,
        checks: PageChecks,
        *,
        lane: Lane,
        max_bytes: int,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents, self._branches, self._links, self._directory = documents, branches, links, directory
        self._checks, self._lane, self._max_bytes, self._now_s = checks, lane, max_bytes, now_s

    async def check(self, person: Person, space: str, branch: str, path: str, content: str) -> Checked:
        """A text that is not saved. Raises ValidationError for one that cannot be read."""
        found = await self._directory.find(person, space)
        checked_path = document_path(path)
        text = await asyncio.to_thread(texts.read, content, checked_path, max_bytes=self._max_bytes)
        return Checked(await self._checks.findings(found, branch, checked_path, text))

    async def findings(
        self, person: Person, space: str, branch: str, rule: str, *, limit: int, after: Position
    ) -> tuple[Sequence[Reported], Position | None]:
        """A page, and where the next one begins; None at the end. A page may be short, or empty, before the end."""
        if rule:
            check_name(rule, field="rule")
        found = await self._directory.find(person, space)
        await self._branches.get(person.tenant_id, space, branch)
        levels = levels_of(found.rules)
        wanted = {rule: levels[rule]} if rule in levels else {} if rule else levels
        return await self._pages(found, branch, wanted, limit, after)

    async def _pages(
        self, space: Space, branch: str, levels: Mapping[str, Level], limit: int, after: Position
    ) -> tuple[Sequence[Reported], Position | None]:
        deadline = self._now_s() + BUDGET_S
        told: list[Reported] = []
        skip, at = after.told, after.path
        while levels:
            heads = await self._heads(space, branch, levels, at)
            if not heads:
                break
            findings = await self._of(space, branch, heads, levels)
            for head in heads:
                own = findings.get(head.document_id, [])[skip:]
                room = limit - len(told)
                told += [Reported(head, finding) for finding in own[:room]]
                if len(own) > room:
                    return told, Position(at, skip + room)
                skip, at = 0, head.path
            if len(told) == limit or self._now_s() > deadline:
                return told, Position(at)
        return told, None

    async def _heads(self, space: Space, branch: str, levels: Mapping[str, Level], after: str) -> Sequence[Head]:
        """The next documents that are looked at together."""
        by_links = levels.keys() <= BY_LINKS
        heads = await self._documents.list(
            space.tenant_id,
            DocumentQuery(
                spaces=[space.space],
                branch=branch,
                limit=HEADS_AT_ONCE if by_links else PAGES_AT_ONCE,
                after=(space.space, after),
            ),
        )
        if by_links:
            return heads
        size, count = 0, 0
        for head in heads:
            size += head.size
            if size > BYTES_AT_ONCE and count:
                break
            count += 1
        return heads[:count]

    async def _of(
        self, space: Space, branch: str, heads: Sequence[Head], levels: Mapping[str, Level]
    ) -> Mapping[str, Sequence[Finding]]:
        found: dict[str, list[Finding]] = defaultdict(list)
        for document_id, finding in await self._by_links(space, branch, heads, levels):
            found[document_id].append(finding)
        if not levels.keys() <= BY_LINKS:
            size = sum(head.size for head in heads)
            for document_id, finding in await self._lane.turn(size, self._by_contents, space, heads, levels):
                found[document_id].append(finding)
        for each in found.values():
            each.sort(key=lambda finding: (finding.line, finding.column, finding.rule))
        return found

    async def _by_links(
        self, space: Space, branch: str, heads: Sequence[Head], levels: Mapping[str, Level]
    ) -> Sequence[tuple[str, Finding]]:
        where = (space.tenant_id, space.space, branch, [head.document_id for head in heads])
        found: list[tuple[str, Finding]] = []
        if level := levels.get(BROKEN_LINK):
            for link in await self._links.broken(*where, MAX_PER_RULE):
                message = missing_message(_place(link), picture=link.picture)
                found.append((link.document_id, _finding(BROKEN_LINK, level, message, link.line)))
        if level := levels.get(BROKEN_ANCHOR):
            for link in await self._links.broken_anchors(*where, MAX_PER_RULE):
                message = f'"{link.target}" has no anchor "#{link.anchor}": name one of its headings'
                found.append((link.document_id, _finding(BROKEN_ANCHOR, level, message, link.line)))
        if level := levels.get(ORPHAN_PAGE):
            message = "no other page leads here: link it where readers would look for it"
            orphans = await self._links.orphans(*where)
            found += [(document_id, _finding(ORPHAN_PAGE, level, message)) for document_id in orphans]
        return found

    async def _by_contents(
        self, space: Space, heads: Sequence[Head], levels: Mapping[str, Level]
    ) -> Sequence[tuple[str, Finding]]:
        bodies = await self._documents.contents(space.tenant_id, [head.sha256 for head in heads])
        found: list[tuple[str, Finding]] = []
        for head in heads:
            text = await asyncio.to_thread(_read, bodies[head.sha256], head)
            findings = await self._checks.page_findings(space, head.path, text)
            found += [(head.document_id, finding) for finding in findings if finding.rule in levels]
        return found


def _read(content: str, head: Head) -> Text:
    return texts.read(content, head.path, max_bytes=head.size)


def _place(link: BrokenLink) -> Place:
    return Place(link.target, link.target, link.anchor)


def _finding(rule: str, level: Level, message: str, line: int = 0) -> Finding:
    return Finding(rule=rule, level=level, line=line, message=message)
