"""The audit spool: on disk before the answer, shipped later, never lost, never without bound."""

import asyncio
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog.testing

from automesh.core.errors import Unavailable
from automesh.mesh.audit import AuditEvent, AuditLog


class Sink:
    """Remembers what it got; fails while told to."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.down = False
        self.got = asyncio.Event()

    async def __call__(self, events: Sequence[AuditEvent]) -> None:
        if self.down:
            raise Unavailable("auth is away")
        self.events += events
        self.got.set()


def event(number: int) -> AuditEvent:
    return AuditEvent(method="x.Y/Z", outcome="OK", resource=str(number))


def log(folder: Path, instance: str = "one", **options: int) -> AuditLog:
    return AuditLog(folder, service="sample", instance_id=instance, **options)


async def test_entries_arrive_in_order_and_the_spool_empties(tmp_path: Path) -> None:
    audit, sink = log(tmp_path), Sink()
    for number in range(1200):
        audit.record(event(number))
    while await audit.ship(sink):
        pass
    assert [each.resource for each in sink.events] == [str(number) for number in range(1200)]
    assert (tmp_path / "sample-one.jsonl").stat().st_size == 0


async def test_a_refused_batch_is_sent_again(tmp_path: Path) -> None:
    audit, sink = log(tmp_path), Sink()
    audit.record(event(1))
    sink.down = True
    with pytest.raises(Unavailable):
        await audit.ship(sink)
    sink.down = False
    assert await audit.ship(sink)
    assert [each.resource for each in sink.events] == ["1"]


async def test_what_a_dead_process_left_is_sent_by_the_next(tmp_path: Path) -> None:
    dead = log(tmp_path, "dead")
    dead.record(event(7))
    sink = Sink()
    sink.down = True
    await dead.close(sink)  # the lock goes with the file, as it does when a process dies
    sink.down = False
    shipping = asyncio.create_task(log(tmp_path, "next").ship_forever(sink))
    await asyncio.wait_for(sink.got.wait(), 5)
    shipping.cancel()
    assert [each.resource for each in sink.events] == ["7"]
    assert not (tmp_path / "sample-dead.jsonl").exists()


async def test_the_spool_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    living = log(tmp_path, "living")
    living.record(event(1))
    other, sink = log(tmp_path, "other"), Sink()
    await other._adopt(sink)
    assert sink.events == []


async def test_a_full_spool_refuses_what_must_be_audited(tmp_path: Path) -> None:
    audit = log(tmp_path, max_bytes=100)
    audit.record(event(1))
    with pytest.raises(Unavailable, match="audit spool"):
        audit.require_room()


async def test_a_torn_line_does_not_stop_the_others(tmp_path: Path) -> None:
    torn = tmp_path / "sample-torn.jsonl"
    torn.write_bytes(b'{"method": "x", "outc\n')
    with torn.open("ab") as file:
        file.write(b'{"method":"a.B/C","outcome":"OK","resource":"9"}\n')
    sink = Sink()
    await log(tmp_path)._adopt(sink)
    assert [each.resource for each in sink.events] == ["9"]


async def test_an_entry_that_comes_after_the_end_is_kept_for_the_next_process(tmp_path: Path) -> None:
    ended, sink = log(tmp_path, "ended"), Sink()
    await ended.close(sink)
    ended.record(event(5))
    await log(tmp_path, "next")._adopt(sink)
    assert [each.resource for each in sink.events] == ["5"]


async def test_a_spool_that_never_gets_empty_drops_what_was_sent_and_keeps_its_room(tmp_path: Path) -> None:
    audit = log(tmp_path, max_bytes=4000)
    numbers = iter(range(1, 200))
    arrived: list[str] = []

    async def busy(events: Sequence[AuditEvent]) -> None:
        arrived.extend(each.resource for each in events)
        if (number := next(numbers, None)) is not None:
            audit.record(event(number))  # somebody calls while the batch is on its way

    audit.record(event(0))
    while await audit.ship(busy):
        audit.require_room()
    assert arrived == [str(number) for number in range(200)]
    assert os.listdir(tmp_path) == ["sample-one.jsonl"]


async def test_a_text_of_any_length_does_not_stop_the_entries_behind_it(tmp_path: Path) -> None:
    audit, sink = log(tmp_path), Sink()
    audit.record(AuditEvent(method="x.Y/Z", outcome="OK", resource="\x01" * 1_000_000))
    audit.record(event(2))
    while await audit.ship(sink):
        pass
    assert [each.resource for each in sink.events] == ["\x01" * 512, "2"]


@contextmanager
def full_disk_at(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with structlog.testing.capture_logs():  # pytest keeps what is printed in files
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_while_the_disk_is_full_nothing_may_be_changed_and_no_entry_is_lost(tmp_path: Path) -> None:
    audit, sink = log(tmp_path), Sink()
    audit.record(event(0))
    size = (tmp_path / "sample-one.jsonl").stat().st_size
    with full_disk_at(size + 20):
        audit.record(event(1))  # of a call that had begun
        with pytest.raises(Unavailable, match="no room on the disk"):
            audit.require_room()
        assert (tmp_path / "sample-one.jsonl").stat().st_size == size, "half a line is taken back"
    audit.require_room()
    while await audit.ship(sink):
        pass
    assert [each.resource for each in sink.events] == ["0", "1"]


async def test_shipping_goes_on_after_a_full_disk(tmp_path: Path) -> None:
    audit, sink = log(tmp_path, max_bytes=4000), Sink()
    with full_disk_at(0):
        audit.record(event(0))
        shipping = asyncio.create_task(audit.ship_forever(sink))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await sink.got.wait()
    assert not shipping.done()
    shipping.cancel()
    assert [each.resource for each in sink.events] == ["0"]
