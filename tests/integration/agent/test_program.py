"""Programs, real ones: what they say is heard, they end when told, and nothing of them outlives anybody."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from automesh.core.errors import AutomationError
from automesh.sdk import PermanentError, RetryableError
from services.agent.clients.program import guard
from services.agent.clients.program.program import MAX_EVENT_BYTES, Program, ProgramLimits, Programs
from services.agent.domain.program import Checkpoint, Done, Heartbeat, ProgramGarbled, Progress, Stopped

LIMIT_S = 20
ENV = {"PATH": os.environ["PATH"]}
SAYS = "import json, os, signal, subprocess, sys, time\ndef say(**e): print(json.dumps(e), flush=True)\n"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
GRANDCHILD = (
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=subprocess.DEVNULL, "
    "start_new_session=True)\nsay(kind='environment', environment={'pid': child.pid})\n"
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", SAYS + code]


async def heard(argv: list[str], folder: Path, said: list[str] | None = None, **limits: Any) -> list[Any]:
    """All the events of a program that is left to itself."""
    lines: list[str] = [] if said is None else said
    async with asyncio.timeout(LIMIT_S):
        bounds = ProgramLimits(**limits)
        async with Programs(ENV).running(
            "program", argv, folder=folder, env={"MORE": "1"}, limits=bounds, say=lines.append
        ) as program:
            return [event async for event in program.events()]


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not fact():  # noqa: ASYNC110 # nobody announces the end of a process that is not our child
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


async def first(program: Program) -> Any:
    async with asyncio.timeout(LIMIT_S):
        return await anext(program.events())


async def test_events_come_in_order_and_everything_else_is_relayed_as_a_log(tmp_path: Path) -> None:
    said: list[str] = []
    code = """
say(kind="progress", fraction=7, message="going")
print("plain words", flush=True)
print('{"kind": "unheard of"}', flush=True)
print("[1]", flush=True)
print("to stderr", file=sys.stderr)
say(kind="heartbeat")
say(kind="points", points=[{"name": "loss", "value": float("nan")}])
say(kind="environment", environment={"cwd": os.getcwd(), "env": sorted(os.environ), "stdin": sys.stdin.read()})
say(kind="checkpoint", folder="checkpoints/1", step=3, best=True)
say(kind="done", result={"n": 1})
say(kind="progress", fraction=0)
"""
    progress, heartbeat, points, environment, checkpoint, done = await heard(python(code), tmp_path, said)
    assert progress == Progress(1.0, "going")
    assert heartbeat == Heartbeat()
    assert math.isnan(points.points[0]["value"])
    told = environment.environment
    assert (told["cwd"], told["stdin"]) == (str(tmp_path), "")
    assert set(told["env"]) == {"PATH", "MORE", "PYTHONSAFEPATH", "PYTHONUNBUFFERED"} | (
        {"LC_CTYPE"} & set(told["env"])
    )
    assert checkpoint == Checkpoint("checkpoints/1", 3, best=True)
    assert done == Done({"n": 1})
    assert sorted(said) == sorted(["plain words", '{"kind": "unheard of"}', "[1]", "to stderr"])


@pytest.mark.parametrize(
    ("code", "error", "reason", "words"),
    [
        ("", RetryableError, "PROGRAM_DIED", "exit code 0 and without a result"),
        ("sys.exit(3)", RetryableError, "PROGRAM_DIED", "exit code 3"),
        ("raise ValueError('a bug')", RetryableError, "PROGRAM_DIED", "ValueError: a bug"),
        ("os.kill(os.getpid(), signal.SIGKILL)", RetryableError, "PROGRAM_DIED", "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", RetryableError, "PROGRAM_DIED", "SIGSEGV"),
        (f"print('{{' + 'x' * {MAX_EVENT_BYTES})", ProgramGarbled, "PROGRAM_GARBLED", "a line of more than"),
        ("say(kind='progress')", ProgramGarbled, "PROGRAM_GARBLED", "KeyError 'fraction'"),
        ("say(kind='failed', reason='oh no', message='')", ProgramGarbled, "PROGRAM_GARBLED", "UPPER_SNAKE"),
    ],
)
async def test_a_bad_end_says_whether_another_attempt_may_help(
    code: str, error: type[AutomationError], reason: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words) as caught:
        await heard(python(code), tmp_path)
    assert caught.value.reason == reason


async def test_a_program_whose_end_is_told_elsewhere_may_end_without_a_word(tmp_path: Path) -> None:
    assert await heard(python(""), tmp_path, speaks=False) == [Done({})]


async def test_a_program_that_does_not_exist_fails_for_good(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="No such file") as caught:
        await heard(["/no/such/program"], tmp_path)
    assert caught.value.reason == "PROGRAM_NOT_STARTED"


async def test_a_program_that_falls_silent_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match=r"said nothing for 0\.5 s") as caught:
        await heard(python(DEAF + "time.sleep(600)"), tmp_path, silence_s=0.5, grace_s=0.1)
    assert caught.value.reason == "PROGRAM_SILENT"


async def test_a_program_may_not_take_more_memory_than_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match="MemoryError"):
        await heard(python("bytearray(500 << 20)"), tmp_path, memory_bytes=200 << 20)


LEAVES = """
def leave(*_):
    say(kind="checkpoint", folder="last", step=1)
    say(kind="stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
say(kind="heartbeat")
time.sleep(600)
"""


@pytest.mark.parametrize("told_by", ["the event", "a cancel"])
async def test_a_program_that_is_stopped_may_say_goodbye(told_by: str, tmp_path: Path) -> None:
    heard, stopping, ready = [], asyncio.Event(), asyncio.Event()

    async def listen(program: Program) -> None:
        async for event in program.events():
            heard.append(event)
            ready.set()

    async def attend() -> None:
        limits = ProgramLimits(grace_s=LIMIT_S)
        async with Programs(ENV).running(
            "p", python(LEAVES), folder=tmp_path, env={"MORE": "1"}, limits=limits, say=print
        ) as program:
            await program.attended(listen(program), stopping)

    async with asyncio.timeout(LIMIT_S):
        task = asyncio.create_task(attend())
        await ready.wait()
        if told_by == "the event":
            stopping.set()
            await task
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert heard == [Heartbeat(), Checkpoint("last", 1, best=False), Stopped()]


async def test_leaving_the_block_kills_what_does_not_want_to_end_and_all_that_it_started(tmp_path: Path) -> None:
    code = DEAF + GRANDCHILD + "time.sleep(600)"
    limits = ProgramLimits(grace_s=0.1)
    async with Programs(ENV).running(
        "program", python(code), folder=tmp_path, env={"MORE": "1"}, limits=limits, say=print
    ) as program:
        child = (await first(program)).environment["pid"]
        assert lives(child)
    assert not lives(child)


async def test_what_a_program_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    events = await heard(python(GRANDCHILD + "say(kind='done', result={})"), tmp_path)
    assert not lives(events[0].environment["pid"])


async def test_a_full_pipe_does_not_keep_a_program_alive(tmp_path: Path) -> None:
    code = "say(kind='heartbeat')\nwhile True: print('x' * 1000)"
    limits = ProgramLimits(grace_s=5)
    async with Programs(ENV).running(
        "program", python(code), folder=tmp_path, env={"MORE": "1"}, limits=limits, say=lambda _: None
    ) as program:
        assert await first(program) == Heartbeat()


async def test_cancelled_while_it_starts_the_program_is_gone_all_the_same(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}"

    async def start() -> None:
        async with Programs(ENV).running(
            "program",
            [*python("time.sleep(600)"), mark],
            folder=tmp_path,
            env={"MORE": "1"},
            limits=ProgramLimits(),
            say=print,
        ):
            await asyncio.Event().wait()

    for turns in range(1, 12):
        task = asyncio.create_task(start())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(asyncio.CancelledError):
                await task
    marked = [each.pid for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or ())]
    assert [pid for pid in marked if lives(pid)] == []


@pytest.mark.parametrize("victim", ["agent", "guard"])
async def test_a_program_does_not_outlive_a_killed_agent_or_guard(victim: str, tmp_path: Path) -> None:
    code = DEAF + "say(kind='heartbeat', pid=os.getpid())\ntime.sleep(600)"
    agent = (
        "import subprocess, sys\n"
        f"guard = subprocess.Popen([sys.executable, '-I', '-S', {guard.__file__!r}, '--grace', '0.1', '--memory', '0', "
        f"'--', sys.executable, '-c', {(SAYS + code)!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "print(guard.pid, guard.stdout.readline().decode(), flush=True)\nguard.wait()"
    )
    run = [sys.executable, "-c", agent]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 # it starts at once
        assert process.stdout is not None
        guarding, _, event = (await asyncio.to_thread(process.stdout.readline)).partition(" ")
        program = int(event.partition('"pid": ')[2].strip("} \n"))
        assert lives(program)
        os.kill(process.pid if victim == "agent" else int(guarding), signal.SIGKILL)
        await until(lambda: not lives(program))
        await until(lambda: not lives(int(guarding)))
        process.kill()
