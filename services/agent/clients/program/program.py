"""One program under way: its events, what it complains about, and its end."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import structlog

from automesh.sdk import RetryableError
from services.agent.clients.program import guard
from services.agent.clients.program.failure import death
from services.agent.clients.program.lines import Line, read_lines
from services.agent.domain.program import Done, End, Event, ProgramGarbled, event_from_line

Say = Callable[[str], None]
T = TypeVar("T")

MAX_EVENT_BYTES = 1024 * 1024
MAX_LOG_BYTES = 4096
TAIL_LINES = 20
GUARD = guard.__file__
ALWAYS = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONSAFEPATH": "1",  # nothing is imported from the folder that the program works in
}
END_WITHIN_S = 10.0  # beyond the grace time; what lasts longer hangs in the kernel

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits:
    """Bounds of one program."""

    silence_s: float | None = 120.0
    """Without a line for so long it is taken to hang. None: it may be silent."""
    grace_s: float = 2.0
    """So long after SIGTERM it is killed."""
    memory_bytes: int = 0
    """What it may allocate (each of its processes). 0: no limit."""
    speaks: bool = True
    """False for one whose end is told elsewhere: it may end well without a last word."""


class Programs:
    """Starts them. `environment` is what all of them inherit."""

    def __init__(self, environment: Mapping[str, str], *, memory_bytes: int = 0, python: str = sys.executable) -> None:
        """`memory_bytes`: what any program may allocate at most; 0: no limit."""
        self.python = python
        self._environment = environment
        self._memory_bytes = memory_bytes

    @asynccontextmanager
    async def running(
        self, name: str, argv: Sequence[str], *, folder: Path, env: Mapping[str, str], limits: ProgramLimits, say: Say
    ) -> AsyncGenerator[Program]:
        """The program, run in `folder`; nothing of it is left when the block is left.

        `name` is for people. What it writes to stderr, and lines of stdout that are no events, go to `say`.
        """
        memory_bytes = min(filter(None, (self._memory_bytes, limits.memory_bytes)), default=0)
        limits = replace(limits, memory_bytes=memory_bytes)
        process = await _started(argv, folder, {**self._environment, **ALWAYS, **env}, limits)
        program = Program(name, process, limits, say)
        try:
            yield program
        finally:
            await program.end()


class Program:
    """To be listened to with `events`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, limits: ProgramLimits, say: Say) -> None:
        self._name = name
        self._process = process
        self._limits = limits
        self._tell = say
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._complaints = asyncio.create_task(self._relay())

    async def events(self) -> AsyncIterator[Event]:
        """All that it says; the last one is an End. Raises RetryableError when it hangs or dies, PermanentError when it
        cannot be started, ProgramGarbled when it breaks the contract."""
        assert self._process.stdout is not None  # noqa: S101  # a pipe, see _spawn
        lines = read_lines(self._process.stdout, most=MAX_EVENT_BYTES)
        while (line := await self._in_time(anext(lines, None))) is not None:
            if (event := self._event(line)) is None:
                self._say(line)
                continue
            yield event
            if isinstance(event, End):
                return
        code = await self._in_time(self._process.wait())
        await self._in_time(asyncio.shield(self._complaints))
        if code or self._limits.speaks:
            raise death(self._name, code, list(self._tail))
        yield Done({})

    async def attended(self, work: Coroutine[Any, Any, T], stopping: asyncio.Event | None = None) -> T:
        """The outcome of `work`, which listens to the events. Once `stopping` is set, or when cancelled, the program is
        told to stop, and `work` may go on for the grace time to hear the last of it."""
        task = asyncio.create_task(work)
        told = asyncio.create_task(stopping.wait() if stopping is not None else asyncio.Event().wait())
        try:
            await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self.stop()
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait({task}, timeout=self._limits.grace_s)
            raise
        finally:
            for each in (task, told):
                each.cancel()
            await asyncio.gather(task, told, return_exceptions=True)

    def stop(self) -> None:
        """Asks it to end; it is killed after the grace time. What it still says can be read meanwhile."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> None:
        """Stops it, and waits until nothing of it is left."""
        self.stop()
        waits = [asyncio.create_task(self._process.wait()), asyncio.create_task(self._discard()), self._complaints]
        try:
            await asyncio.wait(waits, timeout=self._limits.grace_s + END_WITHIN_S)
            if self._process.returncode is None:
                log.error("a program does not end", program=self._name, pid=self._process.pid)
                self._process.kill()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _event(self, line: Line) -> Event | None:
        if line.cut:
            raise ProgramGarbled(f"{self._name} said a line of more than {MAX_EVENT_BYTES} bytes")
        return event_from_line(line.text)

    def _say(self, line: Line) -> None:
        self._tail.append(line.text)
        self._tell(line.text)

    async def _relay(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  # a pipe, see _spawn
        async for line in read_lines(self._process.stderr, most=MAX_LOG_BYTES):
            self._say(line)

    async def _discard(self) -> None:
        """A program that is stopped must not wait for somebody to read what it says."""
        assert self._process.stdout is not None  # noqa: S101  # a pipe, see _spawn
        while await self._process.stdout.read(MAX_EVENT_BYTES):
            pass

    async def _in_time(self, step: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._limits.silence_s):
                return await step
        except TimeoutError:
            raise RetryableError(
                "PROGRAM_SILENT", f"{self._name} said nothing for {self._limits.silence_s:g} s and was stopped"
            ) from None


async def _started(
    argv: Sequence[str], folder: Path, env: Mapping[str, str], limits: ProgramLimits
) -> asyncio.subprocess.Process:
    """Cancelled half-way, the process is not lost: it is stopped as soon as it is there."""
    spawning = asyncio.ensure_future(_spawn(argv, folder, env, limits))
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await asyncio.wait([spawning])
        if spawning.exception() is None:
            await Program(argv[0], spawning.result(), limits, lambda _: None).end()
        raise


async def _spawn(
    argv: Sequence[str], folder: Path, env: Mapping[str, str], limits: ProgramLimits
) -> asyncio.subprocess.Process:
    options = ["--grace", str(limits.grace_s), "--memory", str(limits.memory_bytes), "--"]
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", GUARD, *options, *argv,
            stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, env=dict(env), start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise RetryableError("PROGRAM_NOT_STARTED", f"{argv[0]} cannot be started: {error.strerror}") from error
