"""The report of a space: page by page, within its time, nothing twice and nothing left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from itertools import count

import pytest

from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents.pace import Lane
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import Level, Rules
from services.doc.domain.validation.page_checks import PageChecks
from services.doc.domain.validation.report import BUDGET_S, PAGES_AT_ONCE, BrokenLink, Position, Report
from services.doc.fakes.validation import FakeLinkTargets
from tests.contract.doc_stores import SPACE, TENANT, House, fake_house

ANN = Person(tenant_id=TENANT, user="ann")
PAGES = PAGES_AT_ONCE + 10


class FakeSpaceLinks:
    """Every document has two broken links and is an orphan."""

    async def broken(self, *where: object) -> Sequence[BrokenLink]:
        return [_link(each, line) for each in _documents(where) for line in (2, 1)]

    async def broken_anchors(self, *_: object) -> Sequence[BrokenLink]:
        return []

    async def orphans(self, *where: object) -> Collection[str]:
        return _documents(where)


def _documents(where: Sequence[object]) -> list[str]:
    found = where[3]
    assert isinstance(found, list)
    return found


def _link(document_id: str, line: int) -> BrokenLink:
    return BrokenLink(document_id=document_id, line=line, target="gone.md", anchor="", picture=False)


@pytest.fixture
async def house() -> House:
    house = fake_house()
    await house.space(rules=Rules(levels={"single-title": Level.OFF}))
    for number in range(PAGES):
        await house.create(f"p{number:03}.md", "# A\n\n# B\n\nrecieve\n")
    return house


def report(house: House, *, step_s: float = 0.0) -> Report:
    """`step_s` seconds go by between two looks at the clock."""
    ticks = count()
    return Report(
        house.documents, house.branches, FakeSpaceLinks(), SpaceDirectory(house.spaces, Doorbell()),
        PageChecks(FakeLinkTargets()), lane=Lane(), max_bytes=100_000, now_s=lambda: next(ticks) * step_s,
    )  # fmt: skip


async def pages(made: Report, rule: str, limit: int) -> AsyncIterator[list[tuple[str, str, int]]]:
    at: Position | None = Position()
    while at is not None:
        found, at = await made.findings(ANN, SPACE, "main", rule, limit=limit, after=at)
        yield [(each.head.path, each.finding.rule, each.finding.line) for each in found]


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
async def test_pages_of_any_size_tell_everything_once_in_order(house: House, limit: int) -> None:
    told = [page async for page in pages(report(house), "", limit)]
    assert all(len(page) <= limit for page in told)
    assert [each for page in told for each in page] == [
        (f"p{number:03}.md", rule, line)
        for number in range(PAGES)
        for rule, line in (("orphan-page", 0), ("broken-link", 1), ("broken-link", 2), ("spelling", 5))
    ]


async def test_a_page_is_given_back_when_its_time_is_up_and_the_next_goes_on(house: House) -> None:
    told = [page async for page in pages(report(house, step_s=2 * BUDGET_S), "spelling", 1000)]
    assert [len(page) for page in told[:2]] == [PAGES_AT_ONCE, PAGES - PAGES_AT_ONCE]
    assert sum(map(len, told)) == PAGES


async def test_a_rule_that_is_off_finds_nothing_even_when_it_is_asked_for(house: House) -> None:
    assert [page async for page in pages(report(house), "single-title", 10)] == [[]]
