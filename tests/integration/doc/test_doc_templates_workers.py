"""The program that fills templates in, as the service keeps it: bounded, replaced, warm, and without our secrets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from automesh.core.errors import ValidationError
from services.doc.clients import templating
from services.doc.clients.templating import RenderLimits, TemplateWorkers
from services.doc.domain.templates.errors import TemplatesBusy, TemplateTooCostly

LIMITS = RenderLimits(wall_s=0.5, cpu_s=1, output=100_000)
ENDLESS = (
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"
)
GROWING = "{% set n = namespace(a='ab') %}{% for i in range(64) %}{% set n.a = n.a ~ n.a %}{% endfor %}"


@pytest.fixture
async def workers() -> AsyncIterator[TemplateWorkers]:
    async with TemplateWorkers.open(LIMITS, size=2) as workers:
        yield workers


def programs() -> list[psutil.Process]:
    """Those of this process."""
    return [each for each in psutil.Process().children(recursive=True) if templating.PROGRAM in each.cmdline()]


async def fill(workers: TemplateWorkers, body: str) -> str:
    return (await workers.fill({"body": body}, {"x": "value"}))["body"]


async def test_a_template_is_filled_in(workers: TemplateWorkers) -> None:
    assert await fill(workers, "# {{ x }}\n") == "# value\n"
    assert [(use.part, use.name, use.line) for use in await workers.uses({"body": "\n{{ x }}"})] == [("body", "x", 2)]


async def test_what_is_wrong_names_part_and_line(workers: TemplateWorkers) -> None:
    with pytest.raises(ValidationError, match="body, line 2: 'y' is undefined") as error:
        await fill(workers, "\n{{ y }}")
    assert error.value.violations[0].field == "template.body"


@pytest.mark.parametrize(
    "body",
    [ENDLESS, GROWING, "{{ 'a' * 10**9 }}", "{{ 'a'.ljust(10**9) }}", "{{ x * 90000 }}", "{{ '%999999999d' % 1 }}"],
)
async def test_what_costs_too_much_ends_in_time_and_the_next_is_served(workers: TemplateWorkers, body: str) -> None:
    await fill(workers, "warm")
    began = time.monotonic()
    with pytest.raises(TemplateTooCostly):
        await fill(workers, body)
    assert time.monotonic() - began < 5
    assert await fill(workers, "{{ x }}") == "value"


async def test_others_are_served_while_one_never_ends(workers: TemplateWorkers) -> None:
    await asyncio.gather(fill(workers, "a"), fill(workers, "b"))
    slow = asyncio.create_task(fill(workers, ENDLESS))
    for _ in range(5):
        await fill(workers, "{{ x }}")
    assert not slow.done()
    with pytest.raises(TemplateTooCostly):
        await slow


async def test_a_worker_that_dies_is_replaced_without_the_caller_noticing(workers: TemplateWorkers) -> None:
    await fill(workers, "warm")
    for program in programs():
        os.kill(program.pid, signal.SIGKILL)
    assert await fill(workers, "{{ x }}") == "value"


async def test_a_worker_that_hangs_is_killed_and_replaced(
    workers: TemplateWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templating, "GRACE_S", 0.5)
    await fill(workers, "warm")
    (program,) = programs()
    os.kill(program.pid, signal.SIGSTOP)
    assert await fill(workers, "{{ x }}") == "value"
    assert not psutil.pid_exists(program.pid)


async def test_an_answer_to_one_who_has_gone_is_nobody_elses(workers: TemplateWorkers) -> None:
    await fill(workers, "warm")
    gone = asyncio.create_task(fill(workers, ENDLESS))
    await asyncio.sleep(0)  # it is under way
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert [await fill(workers, f"{number} {{{{ x }}}}") for number in range(4)] == [f"{n} value" for n in range(4)]


async def test_more_than_may_wait_are_asked_to_come_again(
    workers: TemplateWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templating, "WAITING", 2)
    await fill(workers, "warm")
    results = await asyncio.gather(*(fill(workers, ENDLESS) for _ in range(6)), return_exceptions=True)
    kinds = sorted(type(each).__name__ for each in results)
    assert kinds == ["TemplateTooCostly"] * 4 + ["TemplatesBusy"] * 2
    busy = next(each for each in results if isinstance(each, TemplatesBusy))
    assert busy.retry_after is not None


async def test_the_program_is_given_nothing_of_our_environment(
    workers: TemplateWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOMESH_POSTGRES_DSN", "postgres://secret")
    await fill(workers, "warm")
    (program,) = programs()
    told = await asyncio.to_thread(Path(f"/proc/{program.pid}/environ").read_bytes)
    assert b"AUTOMESH" not in told
    assert b"secret" not in told


async def test_a_warm_worker_is_quick(workers: TemplateWorkers) -> None:
    await fill(workers, "warm")
    began = time.monotonic()
    for _ in range(20):
        await fill(workers, "# {{ x }}\n" * 50)
    assert (time.monotonic() - began) / 20 < 0.2  # some 5 ms where nobody else works


async def test_no_program_is_left_behind() -> None:
    async with TemplateWorkers.open(LIMITS, size=2, warm=True) as workers:
        await asyncio.gather(fill(workers, "a"), fill(workers, "b"))
        left = programs()
        assert len(left) == 2
    assert [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []


KEEPER = """
import asyncio, sys
from services.doc.clients.templating import RenderLimits, TemplateWorkers

async def main():
    async with TemplateWorkers.open(RenderLimits(wall_s=600, cpu_s=600), size=1) as workers:
        await workers.fill({"body": "warm"}, {})
        print("ready", flush=True)
        await workers.fill({"body": sys.argv[1]}, {})

asyncio.run(main())
"""


async def test_programs_go_with_a_service_that_is_killed_even_in_the_middle_of_a_job() -> None:
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KEEPER, ENDLESS, stdout=asyncio.subprocess.PIPE
    )
    assert service.stdout is not None
    assert await service.stdout.readline() == b"ready\n"
    async with asyncio.timeout(10):
        while len(started := psutil.Process(service.pid).children(recursive=True)) < 2:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    service.kill()
    await service.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, started, 10)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
