"""Runs that want too much are ended, and leave no process."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.domain.sandbox import MIB, Ending, Limits, Outcome

FindProcesses = Callable[[str], list[int]]
LIMITS = Limits(wall_s=15, cpu_s=10, memory_bytes=128 * MIB, processes=16, disk_bytes=32 * MIB, output_bytes=4 * MIB)
FORK_BOMB = "import contextlib, os\nwhile True:\n    with contextlib.suppress(OSError): os.fork()"
MANY_FILES = "for n in range(10**6):\n    open(f'f{n}', 'wb').write(b'x' * 2**20)"
DAEMON = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)"
HIDING = f"{DAEMON}\ntime.sleep(600)"


async def run(sandbox: Sandbox, scratch: Path, code: str, limits: Limits = LIMITS) -> Outcome:
    return await sandbox.run([sys.executable, "-c", code], scratch=scratch, limits=limits)


@pytest.mark.parametrize(
    ("code", "ending", "limits"),
    [
        ("while True: pass", Ending.TIMED_OUT, Limits(wall_s=0.5)),
        ("while True: pass", Ending.OUT_OF_CPU, Limits(cpu_s=0.5)),
        (HIDING, Ending.TIMED_OUT, Limits(wall_s=0.5)),
        ("import time; time.sleep(600)", Ending.TIMED_OUT, Limits(wall_s=0.5)),
        ("x = [bytearray(2**20) for _ in range(10**6)]", Ending.OUT_OF_MEMORY, LIMITS),
        ("x = bytearray(2**40)", Ending.OUT_OF_MEMORY, LIMITS),
        (FORK_BOMB, Ending.TOO_MANY_PROCESSES, LIMITS),
        ("while True: print('x' * 10000)", Ending.TOO_MUCH_OUTPUT, LIMITS),
        (MANY_FILES, Ending.DISK_FULL, LIMITS),
    ],
    ids=["loop", "cpu", "daemon", "sleep", "memory", "one-large-piece", "fork-bomb", "output", "disk"],
)
async def test_a_run_beyond_its_limits_is_ended_by_name_and_leaves_nothing(  # noqa: PLR0917 - pytest passes by name
    sandbox: Sandbox, scratch: Path, processes_with: FindProcesses, code: str, ending: Ending, limits: Limits
) -> None:
    outcome = await run(sandbox, scratch, code, limits)

    assert outcome.ending is ending
    assert not outcome.ok
    assert processes_with(str(scratch)) == []
    assert processes_with(code[:40]) == []


async def test_the_kernel_itself_holds_a_fork_bomb(sandbox: Sandbox, scratch: Path) -> None:
    code = (
        "import os, time\nn = 0\n"
        "try:\n    while n < 500:\n        if os.fork() == 0:\n            time.sleep(30)\n        n += 1\n"
        "except OSError: print(n, flush=True)\ntime.sleep(0.01)"
    )

    outcome = await run(sandbox, scratch, code, Limits(processes=32))

    assert outcome.stdout == b"" or int(outcome.stdout) < 64


async def test_a_large_file_cannot_be_written(sandbox: Sandbox, scratch: Path) -> None:
    outcome = await run(sandbox, scratch, "open('big', 'wb').write(b'x' * 2**26)", Limits(file_bytes=MIB))

    assert not outcome.ok
    assert (scratch / "big").stat().st_size <= MIB


async def test_memory_in_tmp_is_bounded(sandbox: Sandbox, scratch: Path) -> None:
    code = """for place in ("/tmp", "/dev/shm"):
    try:
        open(place + "/x", "wb").write(b"x" * 2**23)
    except OSError as error:
        print(error.errno)
"""

    outcome = await run(sandbox, scratch, code, Limits(tmp_bytes=MIB))

    assert outcome.stdout.split() == [b"28", b"28"]  # no space left


async def test_only_the_end_of_a_long_output_is_kept(sandbox: Sandbox, scratch: Path) -> None:
    limits = Limits(tail_bytes=1000)

    outcome = await run(sandbox, scratch, "print('x' * 10**6); print('the end')", limits)

    assert outcome.ok
    assert outcome.stdout_cut
    assert len(outcome.stdout) == 1000
    assert outcome.stdout.endswith(b"the end\n")


async def test_a_background_process_does_not_outlive_its_run(
    sandbox: Sandbox, scratch: Path, processes_with: FindProcesses
) -> None:
    outcome = await run(sandbox, scratch, DAEMON)

    assert outcome.ok
    assert outcome.wall_s < 10
    assert processes_with(DAEMON[:40]) == []


async def test_cancelling_kills_the_whole_tree(sandbox: Sandbox, scratch: Path, processes_with: FindProcesses) -> None:
    started = scratch / "started"
    os.mkfifo(started)
    code = f"{DAEMON}\nopen('started', 'w').write('yes')\ntime.sleep(600.25)"
    task = asyncio.ensure_future(run(sandbox, scratch, code, Limits(wall_s=60)))
    async with asyncio.timeout(20):
        assert await asyncio.to_thread(started.read_text) == "yes"
    assert len(processes_with("time.sleep(600.25)")) >= 2

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert processes_with("time.sleep(600.25)") == []


async def test_a_run_cancelled_at_any_moment_of_its_start_ends_and_leaves_nothing(
    sandbox: Sandbox, tmp_path: Path, processes_with: FindProcesses
) -> None:
    for number in range(60):
        folder = tmp_path / f"cancelled-{number}"
        folder.mkdir()
        task = asyncio.ensure_future(run(sandbox, folder, "import time; time.sleep(600)", Limits(wall_s=60)))
        await asyncio.wait([task], timeout=number / 1000)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=20)
        assert done, f"cancelled after {number} ms it does not end"

    assert processes_with(str(tmp_path)) == []


async def test_many_runs_at_once_do_not_count_for_each_other(sandbox: Sandbox, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(6)]
    for folder in folders:
        folder.mkdir()
    code = """import contextlib, os, time
for n in range(8):
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
with contextlib.suppress(ChildProcessError):
    while True:
        os.wait()
"""

    outcomes = await asyncio.gather(*(run(sandbox, folder, code) for folder in folders))

    assert [outcome.ending for outcome in outcomes] == [Ending.OK] * 6


async def test_usage_is_told(sandbox: Sandbox, scratch: Path) -> None:
    outcome = await run(
        sandbox,
        scratch,
        "import time; x = bytearray(50 * 2**20); e = time.process_time() + 0.3\nwhile time.process_time() < e: pass",
    )

    assert outcome.cpu_s > 0.1
    assert outcome.peak_bytes > 40 * MIB
