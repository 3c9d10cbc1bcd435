"""The buffer of reports: it merges, bounds, and loses nothing when a write fails."""

import asyncio
from collections.abc import Sequence

import pytest

from automesh.core.errors import Unavailable
from services.orchestrator.domain import reports as module
from services.orchestrator.domain.lease import LeaseKey, Report
from services.orchestrator.domain.ports import LeaseStore
from services.orchestrator.domain.reports import Reports

ONE, TWO = LeaseKey("t1", 1), LeaseKey("t2", 1)


class PartialLeaseStore:
    """Only `report` of a lease store."""

    def __init__(self, *, lost: set[LeaseKey] | None = None) -> None:
        self.written: list[Report] = []
        self.away = False
        self.lost = lost or set()

    async def report(self, reports: Sequence[Report]) -> set[LeaseKey]:
        if self.away:
            raise Unavailable("away")
        self.written += reports
        return {report.lease_key for report in reports} - self.lost


def buffer(leases: PartialLeaseStore) -> Reports:
    port: LeaseStore = leases  # type: ignore[assignment] # the part that is used
    return Reports(port)


async def test_reports_of_a_task_become_one() -> None:
    leases = PartialLeaseStore()
    reports = buffer(leases)
    await reports.add(Report(ONE, "a", fraction=0.1, message="x", checkpoint=b"1"))
    await reports.add(Report(ONE, "a", lines=("one",)))
    await reports.add(Report(ONE, "a", fraction=0.2, message="y"))
    await reports.add(Report(ONE, "a", lines=("two",)))
    assert reports.holds(ONE)
    assert reports.filled.is_set()
    assert await reports.flush() == set()
    assert leases.written == [Report(ONE, "a", fraction=0.2, message="y", checkpoint=b"1", lines=("one", "two"))]
    assert not reports.filled.is_set()


async def test_lost_leases_are_named() -> None:
    reports = buffer(PartialLeaseStore(lost={TWO}))
    await reports.add(Report(ONE, "a", fraction=0.1))
    await reports.add(Report(TWO, "a", fraction=0.1))
    assert reports.waiting() == [ONE, TWO]
    assert await reports.flush() == {TWO}
    assert await reports.flush() == set()


async def test_a_failed_write_is_kept_in_order() -> None:
    leases = PartialLeaseStore()
    reports = buffer(leases)
    leases.away = True
    await reports.add(Report(ONE, "a", fraction=0.1, lines=("one",)))
    with pytest.raises(Unavailable):
        await reports.flush()
    assert reports.filled.is_set()
    await reports.add(Report(ONE, "a", fraction=0.2, lines=("two",)))
    leases.away = False
    await reports.flush()
    assert leases.written == [Report(ONE, "a", fraction=0.2, lines=("one", "two"))]


async def test_a_batch_with_a_fault_of_its_own_does_not_stand_in_the_way() -> None:
    leases = PartialLeaseStore()
    reports = buffer(leases)

    async def refuse(_: Sequence[Report]) -> set[LeaseKey]:
        raise ValueError("no such text")

    leases.report = refuse  # type: ignore[method-assign,assignment] # fails otherwise than by being away
    await reports.add(Report(ONE, "a", fraction=0.1))
    with pytest.raises(ValueError, match="no such text"):
        await reports.flush()
    assert reports.waiting() == []


async def test_who_is_too_fast_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 2)
    reports = buffer(PartialLeaseStore())
    await reports.add(Report(ONE, "a", lines=("one", "two")))
    waiting = asyncio.create_task(reports.add(Report(ONE, "a", lines=("three",))))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await reports.flush()
    await asyncio.wait_for(waiting, 5)
    assert reports.holds(ONE)


async def test_what_is_being_written_counts_as_held_until_it_is() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    class Slow(PartialLeaseStore):
        async def report(self, reports: Sequence[Report]) -> set[LeaseKey]:
            began.set()
            await go_on.wait()
            return await super().report(reports)

    leases = Slow()
    reports = buffer(leases)
    await reports.add(Report(ONE, "a", lines=("last words",)))
    writing = asyncio.create_task(reports.flush())
    await asyncio.wait_for(began.wait(), 5)
    assert reports.holds(ONE)  # so that the end of the task is not recorded before them
    second = asyncio.create_task(reports.flush())
    await asyncio.sleep(0)
    assert not second.done()
    go_on.set()
    await asyncio.gather(writing, second)
    assert not reports.holds(ONE)
    assert leases.written[0].lines == ("last words",)
