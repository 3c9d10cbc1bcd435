"""Whether an import may write at all, and what the rules of the space say to each text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.doc.domain.documents.path import key, target_of
from services.doc.domain.jobs.job import Problem
from services.doc.domain.spaces.access import check_unprotected
from services.doc.domain.spaces.space import Level, Space
from services.doc.domain.transfer.making import Made
from services.doc.domain.validation.catalogue import RULES, levels_of
from services.doc.domain.validation.checks import Checks, Finding

AT_ONCE = 4
"""Texts that are checked at the same moment: most of it is waiting for the database."""


def check_open(space: Space, branch: str) -> None:
    """Raises BranchProtected with what to do instead."""
    check_unprotected(space, branch, "import to a branch")


class RulesOfSpace:
    """Refuses what a save would be refused for, but for links to what the same archive brings."""

    def __init__(self, checks: Checks, space: Space) -> None:
        self._checks, self._space = checks, _refusing(space)

    async def verdicts(self, made: Sequence[Made | Problem], coming: frozenset[str]) -> Sequence[Made | Problem]:
        """In the same order. `coming`: keys of the paths that the archive brings."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(each: Made | Problem) -> Made | Problem:
            if isinstance(each, Problem):
                return each
            async with slots:
                return await self._verdict(each, coming)

        return await asyncio.gather(*(one(each) for each in made))

    async def _verdict(self, made: Made, coming: frozenset[str]) -> Made | Problem:
        write = made.write
        for finding in await self._checks.findings(self._space, write.branch, write.path, made.text):
            if finding.level is Level.REFUSE and not _excused(finding, made, coming):
                where = f"line {finding.line}: " if finding.line else ""
                return Problem(write.path, f"{where}{finding.message} ({finding.rule}); the space refuses this")
        return made


def _refusing(space: Space) -> Space:
    """With the rules alone that refuse: what others find an import does not tell."""
    refusing = dict.fromkeys(RULES, Level.OFF) | {
        name: level for name, level in levels_of(space.rules).items() if level is Level.REFUSE
    }
    return replace(space, rules=replace(space.rules, levels=refusing))


def _excused(finding: Finding, made: Made, coming: frozenset[str]) -> bool:
    if not finding.rule.startswith("broken-"):
        return False
    targets = [target_of(link.target, made.write.path) for link in made.text.outline.links if link.line == finding.line]
    return any(target is not None and key(target[0]) in coming for target in targets)
