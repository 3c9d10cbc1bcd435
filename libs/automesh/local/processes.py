"""One supervised process: started, watched, started again when it dies, stopped for good when told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import structlog

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError
from automesh.local.leftovers import kill_group, start_time
from automesh.local.logfile import LogFile
from automesh.local.program import Health, Program, StackError, State
from automesh.local.reason import ending, last_words, start_line
from automesh.local.record import ProcessRecord
from automesh.mesh.settings import EXIT_REFUSED

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often things are tried and looked at, in seconds."""

    first_wait_s: float = 0.5
    most_wait_s: float = 30.0
    well_after_s: float = 20.0
    """Who ran so long was well: the next restart waits the shortest time again."""
    quick_deaths: int = 5
    """After so many in a row it is reported, and fails the start of the stack."""
    gate_every_s: float = 0.1
    watch_every_s: float = 5.0


class SupervisedProcess:
    """Runs one program for as long as `run` runs."""

    def __init__(
        self,
        program: Program,
        log_file: LogFile,
        *,
        pace: Pace,
        changed: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.program = program
        self.log_file = log_file
        self.state = State.WAITING
        self.detail = ""
        self.port = 0
        self.restarts = 0
        self.well = asyncio.Event()
        """Set while the last look found it well."""
        self._pace = pace
        self._changed = changed
        self._monotonic = monotonic
        self._backoff = Backoff(first_s=pace.first_wait_s, most_s=pace.most_wait_s)
        self._deaths = 0
        self._child: asyncio.subprocess.Process | None = None
        self._started = 0.0
        self._spawning: asyncio.Task[asyncio.subprocess.Process] | None = None

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._child.pid if self._child else 0

    def record(self) -> ProcessRecord:
        """For stack.json."""
        return ProcessRecord(
            pid=self.pid,
            started=self._started,
            port=self.port,
            log=str(self.log_file.path),
            state=self.state,
            detail=self.detail,
            restarts=self.restarts,
            address=self.program.address,
        )

    async def run(self, *, starting: Callable[[], bool]) -> None:
        """Until cancelled. Raises StackError when it cannot start, or dies again and again while all are `starting`."""
        while True:
            began = self._monotonic()
            code = await self._live_once()
            if self._monotonic() - began >= self._pace.well_after_s:
                self._deaths = 0
                self._backoff.reset()
            self._deaths += 1
            self._judge(code, starting())
            wait_s = self._backoff.next_s()
            self._become(State.BACKOFF, f"{ending(code)}; starts again in {wait_s:.1f} s")
            await asyncio.sleep(wait_s)
            self.restarts += 1

    async def stop(self) -> None:
        """Asks, waits, insists; nothing of its group is left. Call it once `run` has ended."""
        if self._spawning is not None:
            await asyncio.wait([self._spawning])
        child = self._child
        if child is not None and child.returncode is None:
            self._become(State.STOPPING)
            with suppress(ProcessLookupError):
                child.send_signal(self.program.stop_signal)
            await self._await_end(child)
        if child is not None:
            kill_group(child.pid)
        self._child, self.port = None, 0
        if self.state is not State.FAILED:
            self._become(State.STOPPED)

    def kill(self) -> None:
        """At once, with its group."""
        if self._child is not None and self._child.returncode is None:
            kill_group(self._child.pid)

    async def _live_once(self) -> int:
        """From start to death; the exit code."""
        self._spawning = asyncio.create_task(self._spawn())
        child = await asyncio.shield(self._spawning)
        self._become(State.STARTING)
        log.info("started", process=self.program.name, pid=child.pid)
        watching = asyncio.create_task(self._watch(child))
        try:
            code = await child.wait()
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        self.well.clear()
        kill_group(child.pid)  # what it had started itself must not outlive it
        self._child, self.port = None, 0
        return code

    async def _spawn(self) -> asyncio.subprocess.Process:
        """A task of its own, so that a cancelled start never loses the child it made."""
        try:
            if self.program.prepare is not None:
                await asyncio.to_thread(self.program.prepare)
            with self.log_file.open() as output:
                output.write(start_line(self.program.name))
                self._child = await self._exec(output)
                self._started = start_time(self._child.pid)
                return self._child
        except AutomationError as error:
            self._become(State.FAILED, error.message)
            raise StackError(f"{self.program.name} cannot start: {error.message}") from error
        except OSError as error:
            self._become(State.FAILED, str(error))
            raise StackError(f"{self.program.name} cannot start: {error}") from error

    async def _exec(self, output: BinaryIO) -> asyncio.subprocess.Process:
        # From the main thread: the kernel takes a thread's end for the parent's.
        return await asyncio.create_subprocess_exec(
            *self.program.argv,
            env=dict(self.program.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    async def _watch(self, child: asyncio.subprocess.Process) -> None:
        while True:
            self._see(await self.program.check(child.pid))
            await asyncio.sleep(self._pace.watch_every_s if self.well.is_set() else self._pace.gate_every_s)

    def _see(self, health: Health) -> None:
        was_well = self.state is State.UP
        self.port = health.port or self.port
        if health.well:
            self.well.set()
            if not was_well:
                log.info("is well", process=self.program.name, port=self.port)
            self._become(State.UP)
        elif was_well or self.state is State.UNHEALTHY:
            self.well.clear()
            self._become(State.UNHEALTHY, health.detail)
        else:
            self._become(State.STARTING, health.detail)

    def _judge(self, code: int, starting: bool) -> None:
        log.warning("ended", process=self.program.name, code=code, deaths=self._deaths)
        words = last_words(self.log_file)
        if code == EXIT_REFUSED:
            self._become(State.FAILED, words)
            raise StackError(f"{self.program.name} cannot start as it is told: {words}")
        if self._deaths >= self._pace.quick_deaths and starting:
            self._become(State.FAILED, words)
            raise StackError(
                f"{self.program.name} ended {self._deaths} times in a row ({ending(code)}), last with: {words}\n"
                f"Its log: {self.log_file.path} (or `automesh logs {self.program.name}`)"
            )
        if self._deaths == self._pace.quick_deaths:
            log.error("keeps ending; it will be tried again", process=self.program.name, words=words)

    def _become(self, state: State, detail: str = "") -> None:
        if (state, detail) != (self.state, self.detail):
            self.state, self.detail = state, detail
            self._changed()

    async def _await_end(self, child: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self.program.stop_limit_s):
                await child.wait()
        except TimeoutError:
            log.warning("does not stop, so it is killed", process=self.program.name, pid=child.pid)
            kill_group(child.pid)
            await child.wait()
