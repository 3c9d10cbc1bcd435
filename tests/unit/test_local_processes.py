"""Supervised processes, real ones: restarted when they die, left alone when that cannot help, gone when stopped."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from automesh.core.errors import AutomationError
from automesh.local import tether
from automesh.local.logfile import LogFile
from automesh.local.oneshot import run_once
from automesh.local.processes import Pace, SupervisedProcess
from automesh.local.program import Check, Health, Program, StackError, State
from automesh.local.tether import tethered
from automesh.testing.changes import Changes

FAST = Pace(first_wait_s=0.01, most_wait_s=0.02, quick_deaths=3, gate_every_s=0.01, watch_every_s=0.01)
SLEEP = ("sleep", "600")
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
)


async def well(_pid: int) -> Health:
    return Health(True, 1234)


def speaks(folder: Path) -> Check:
    """Well once the process itself wrote a line; the supervisor's own stands before it."""

    async def check(_pid: int) -> Health:
        return Health(len(LogFile(folder / "thing.log").tail(9)) > 1)

    return check


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


class Supervised:
    """A process and what changed."""

    def __init__(self, folder: Path, program: Program, pace: Pace) -> None:
        self.changes = Changes()
        self.log_file = LogFile(folder / f"{program.name}.log")
        self.process = SupervisedProcess(program, self.log_file, pace=pace, changed=self.changes)

    async def until(self, state: State) -> None:
        await self.changes.until(lambda: self.process.state is state)


@asynccontextmanager
async def supervised(
    folder: Path,
    argv: tuple[str, ...],
    *,
    check: Check = well,
    starting: bool = False,
    pace: Pace = FAST,
    **options: object,
) -> AsyncIterator[Supervised]:
    program = Program(name="thing", argv=argv, check=check, env=dict(os.environ), **options)  # type: ignore[arg-type]
    held = Supervised(folder, program, pace)
    life = asyncio.create_task(held.process.run(starting=lambda: starting))
    try:
        yield held
    finally:
        life.cancel()
        await asyncio.wait([life])
        await held.process.stop()


async def failure(folder: Path, argv: tuple[str, ...], *, starting: bool = False, **options: object) -> str:
    """What a process that cannot live fails with."""
    program = Program(name="thing", argv=argv, check=well, env=dict(os.environ), **options)  # type: ignore[arg-type]
    process = Supervised(folder, program, FAST).process
    async with asyncio.timeout(20):
        with pytest.raises(StackError) as caught:
            await process.run(starting=lambda: starting)
    await process.stop()
    assert process.state is State.FAILED
    return caught.value.message


async def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    async with supervised(tmp_path, SLEEP) as held:
        await held.until(State.UP)
        first = held.process.pid
        os.kill(first, signal.SIGKILL)
        await held.changes.until(lambda: held.process.restarts == 1 and held.process.state is State.UP)
        assert held.process.pid not in (0, first)


async def test_while_it_waits_to_be_started_again_it_says_why(tmp_path: Path) -> None:
    async with supervised(tmp_path, SLEEP, pace=Pace(first_wait_s=600, most_wait_s=600)) as held:
        await held.until(State.UP)
        os.kill(held.process.pid, signal.SIGKILL)
        await held.until(State.BACKOFF)
        assert held.process.detail.startswith("killed by SIGKILL; starts again in")
        assert held.process.record().pid == 0


async def test_what_a_dead_process_had_started_goes_with_it(tmp_path: Path) -> None:
    argv = ("sh", "-c", "sleep 600 & echo $!; wait")
    async with supervised(
        tmp_path, argv, check=speaks(tmp_path), pace=Pace(first_wait_s=600, gate_every_s=0.01)
    ) as held:
        await held.until(State.UP)
        grandchild = int(held.log_file.tail(1)[0])
        os.kill(held.process.pid, signal.SIGKILL)
        await held.until(State.BACKOFF)
        await gone(grandchild)


async def test_a_process_that_refuses_its_settings_is_not_started_again(tmp_path: Path) -> None:
    told = json.dumps({"event": "cannot go on", "level": "error", "error": "the port is taken"})
    message = await failure(tmp_path, ("sh", "-c", f"echo '{told}'; exit 78"))
    assert message == "thing cannot start as it is told: cannot go on: the port is taken"


async def test_a_process_that_ends_again_and_again_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    message = await failure(tmp_path, ("sh", "-c", "echo no luck today; exit 3"), starting=True)
    assert message.startswith("thing ended 3 times in a row (ended with code 3), last with: no luck today")
    assert str(tmp_path / "thing.log") in message
    assert "automesh logs thing" in message


async def test_once_the_stack_is_up_a_process_that_keeps_ending_is_tried_for_ever(tmp_path: Path) -> None:
    async with supervised(tmp_path, ("sh", "-c", "exit 3")) as held:
        await held.changes.until(lambda: held.process.restarts > FAST.quick_deaths + 2)


async def test_a_good_run_is_forgiven_the_deaths_before_it(tmp_path: Path) -> None:
    """Each life here lasts an hour by the clock it is given, so three deaths are not three in a row."""
    hours = iter(range(0, 10_000 * 3600, 3600))
    program = Program(name="thing", argv=("sh", "-c", "exit 3"), check=well, env=dict(os.environ))
    changes = Changes()
    process = SupervisedProcess(
        program, LogFile(tmp_path / "thing.log"), pace=FAST, changed=changes, monotonic=lambda: float(next(hours))
    )
    life = asyncio.create_task(process.run(starting=lambda: True))
    await changes.until(lambda: process.restarts > FAST.quick_deaths + 2)
    life.cancel()
    await asyncio.wait([life])
    await process.stop()


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "no-such-program" in await failure(tmp_path, ("/no-such-program",))


async def test_what_prepare_refuses_is_told_and_not_tried_again(tmp_path: Path) -> None:
    def prepare() -> None:
        raise AutomationError("the data is of another version")

    assert await failure(tmp_path, SLEEP, prepare=prepare) == "thing cannot start: the data is of another version"


async def test_prepare_runs_before_every_start(tmp_path: Path) -> None:
    prepared: list[int] = []
    async with supervised(tmp_path, SLEEP, prepare=lambda: prepared.append(1)) as held:
        await held.until(State.UP)
        os.kill(held.process.pid, signal.SIGKILL)
        await held.changes.until(lambda: held.process.restarts == 1 and held.process.state is State.UP)
    assert len(prepared) == 2


async def test_a_process_is_up_only_once_it_is_well(tmp_path: Path) -> None:
    looks = iter([Health(False, 0, "not yet"), Health(False, 0, "nearly"), Health(True, 7)])

    async def check(_pid: int) -> Health:
        return next(looks, Health(True, 7))

    async with supervised(tmp_path, SLEEP, check=check) as held:
        await held.changes.until(lambda: held.process.detail == "nearly")
        assert held.process.state is State.STARTING
        await held.until(State.UP)
        assert held.process.port == 7


async def test_a_process_that_stops_answering_is_unhealthy_until_it_answers_again(tmp_path: Path) -> None:
    healthy = True

    async def check(_pid: int) -> Health:
        return Health(healthy, 7, "" if healthy else "gave no answer")

    async with supervised(tmp_path, SLEEP, check=check) as held:
        await held.until(State.UP)
        healthy = False
        await held.until(State.UNHEALTHY)
        assert held.process.detail == "gave no answer"
        assert not held.process.well.is_set()
        healthy = True
        await held.until(State.UP)
        assert held.process.restarts == 0


async def test_who_does_not_stop_when_asked_is_killed(tmp_path: Path) -> None:
    async with supervised(tmp_path, DEAF, check=speaks(tmp_path), stop_limit_s=0.2) as held:
        await held.until(State.UP)
        pid = held.process.pid
    await gone(pid)
    assert held.process.state is State.STOPPED


async def test_killing_is_immediate(tmp_path: Path) -> None:
    pace = Pace(first_wait_s=600, gate_every_s=0.01)
    async with supervised(tmp_path, DEAF, check=speaks(tmp_path), stop_limit_s=600, pace=pace) as held:
        await held.until(State.UP)
        held.process.kill()
        await held.until(State.BACKOFF)


async def test_a_start_that_is_cut_short_leaves_no_process(tmp_path: Path) -> None:
    preparing, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def prepare() -> None:
        loop.call_soon_threadsafe(preparing.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)

    program = Program(name="thing", argv=SLEEP, check=well, env=dict(os.environ), prepare=prepare)
    process = Supervised(tmp_path, program, FAST).process
    life = asyncio.create_task(process.run(starting=lambda: True))
    await preparing.wait()
    life.cancel()
    await asyncio.wait([life])
    loop.call_later(0.05, go_on.set)
    await process.stop()
    assert process.state is State.STOPPED
    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]


async def test_a_step_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "init.log")
    with pytest.raises(StackError, match="init ended with code 78: no root key"):
        await run_once("init", ("sh", "-c", "echo no root key; exit 78"), dict(os.environ), log_file, limit_s=20)


async def test_a_step_that_never_ends_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"init did not end within 0\.1 s"):
        await run_once("init", SLEEP, dict(os.environ), LogFile(tmp_path / "init.log"), limit_s=0.1)


async def test_a_supervisor_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, pathlib
from automesh.local.group import ProcessGroup
from automesh.local.processes import Pace
from automesh.local.program import Health, Program
from automesh.local.tether import tethered
from automesh.telemetry.logs import configure_logging

configure_logging("test")  # to standard error

async def well(pid):
    return Health(True)

async def main():
    programs = [
        Program(name=name, argv=tethered(["sleep", "600"], 15), check=well, env=dict(os.environ)) for name in "abc"
    ]
    group = ProcessGroup(programs, pathlib.Path({str(tmp_path)!r}), pace=Pace(), changed=lambda: None)
    await group.start(20)
    print(*[process.pid for process in group.processes.values()], flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    supervisor = await asyncio.create_subprocess_exec(*python(code), stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    async with asyncio.timeout(20):
        pids = [int(pid) for pid in (await supervisor.stdout.readline()).split()]
    assert len(pids) == 3
    supervisor.kill()
    await supervisor.wait()
    for pid in pids:
        await gone(pid)


def test_a_tether_refuses_what_it_cannot_run_and_a_parent_that_is_not_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, with signal 0, which asks for nothing."""
    rest = ["--signal", "0", "--", "/no-such-program"]
    assert tether.main(["--parent", str(os.getppid()), *rest]) == 126
    assert "cannot run /no-such-program" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="the supervisor ended"):
        tether.main(["--parent", "1" if os.getppid() != 1 else "2", *rest])


def test_a_tethered_program_whose_parent_is_gone_does_not_even_start() -> None:
    argv = tethered(["echo", "started"], signal.SIGTERM)
    argv[argv.index("--parent") + 1] = "1"
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "started" not in done.stdout


def test_a_tethered_program_that_does_not_exist_is_named() -> None:
    done = subprocess.run(tethered(["/no-such-program"], 15), capture_output=True, text=True, check=False)
    assert done.returncode == 126
    assert "cannot run /no-such-program: No such file or directory" in done.stderr


async def gone(pid: int) -> None:
    """Waits for the end of a process that may be nobody's child by now."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.to_thread(process.wait, 20)
