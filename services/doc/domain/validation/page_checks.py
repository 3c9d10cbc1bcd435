"""The rules of a space on one text: what every save asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from services.doc.domain.documents.pace import paced
from services.doc.domain.documents.text import Text
from services.doc.domain.spaces.space import Level, Space
from services.doc.domain.validation import targets
from services.doc.domain.validation.catalogue import (
    BROKEN_ANCHOR,
    BROKEN_LINK,
    FRONT_MATTER_SCHEMA,
    RULES,
    levels_of,
)
from services.doc.domain.validation.checks import Finding
from services.doc.domain.validation.page import Page
from services.doc.domain.validation.rule import Hit
from services.doc.domain.validation.schema_cache import SchemaCache
from services.doc.domain.validation.targets import Asked, Found, LinkTargets

MAX_PER_RULE = 100
"""Findings of one rule on one page; one more says that there are more."""
LARGE = 64 * 1024
"""Characters from which a text is read in a thread."""


class PageChecks:
    """A services.doc.domain.validation.checks.Checks."""

    def __init__(self, link_targets: LinkTargets) -> None:
        self._targets = link_targets
        self._schemas = SchemaCache()

    async def findings(self, space: Space, branch: str, path: str, text: Text) -> Sequence[Finding]:
        """By line; none of level OFF."""
        levels = levels_of(space.rules)
        found = await self._page(space, path, text, levels)
        if levels.keys() & {BROKEN_LINK, BROKEN_ANCHOR}:
            found += await self._links(space, branch, path, text, levels)
        return sorted(found, key=lambda each: (each.line, each.column, each.rule))

    async def page_findings(self, space: Space, path: str, text: Text) -> Sequence[Finding]:
        """The same, but for what other pages must be asked about."""
        found = await self._page(space, path, text, levels_of(space.rules))
        return sorted(found, key=lambda each: (each.line, each.column, each.rule))

    async def _page(self, space: Space, path: str, text: Text, levels: Mapping[str, Level]) -> list[Finding]:
        if len(text.content) < LARGE and not space.rules.front_matter_schema:
            return self._local(space, path, text, levels)
        return await asyncio.to_thread(self._local, space, path, text, levels)

    def _local(self, space: Space, path: str, text: Text, levels: Mapping[str, Level]) -> list[Finding]:
        page = Page(path, text, space.rules.words)
        found: list[Finding] = []
        for name, level in levels.items():
            look = RULES[name].look
            if look is not None:
                found += _findings(name, level, look(page))
        if space.rules.front_matter_schema and FRONT_MATTER_SCHEMA in levels:
            hits = self._schemas.hits(space.rules.front_matter_schema, text)
            found += _findings(FRONT_MATTER_SCHEMA, levels[FRONT_MATTER_SCHEMA], hits)
        return found

    async def _links(
        self, space: Space, branch: str, path: str, text: Text, levels: Mapping[str, Level]
    ) -> list[Finding]:
        size = len(text.content)
        asked = await paced(size, targets.asked, text, path)
        found = Found()
        if asked.keys:
            found = await self._targets.look_up(space.tenant_id, space.space, branch, asked.keys, asked.anchored)
        found = Found(frozenset(found.missing) - targets.folders(path), found.anchors)
        near: Mapping[str, str] = {}
        if BROKEN_LINK in levels and (names := await paced(size, targets.names, found)):
            near = await self._targets.named(space.tenant_id, space.space, branch, names)
        return await paced(size, _broken, asked, found, near, text, levels)


def _broken(
    asked: Asked, found: Found, near: Mapping[str, str], text: Text, levels: Mapping[str, Level]
) -> list[Finding]:
    findings: list[Finding] = []
    if BROKEN_LINK in levels:
        findings += _findings(BROKEN_LINK, levels[BROKEN_LINK], targets.broken(asked.links, found, near))
    if BROKEN_ANCHOR in levels:
        hits = targets.broken_anchors(asked.links, found, asked.own, text.outline.anchors)
        findings += _findings(BROKEN_ANCHOR, levels[BROKEN_ANCHOR], hits)
    return findings


def _findings(rule: str, level: Level, hits: Iterator[Hit]) -> list[Finding]:
    found = [
        Finding(rule=rule, level=level, line=hit.line, column=hit.column, message=hit.message)
        for hit in islice(hits, MAX_PER_RULE)
    ]
    if len(found) == MAX_PER_RULE and next(hits, None) is not None:
        found.append(
            Finding(rule=rule, level=level, line=found[-1].line, message="there are more of these: mend some first")
        )
    return found
