"""One started run: its pipes, its processes, and how it is watched and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.agent.clients.sandbox import processes, scratch
from services.agent.clients.sandbox.tail import Tail
from services.agent.domain.sandbox import Ending, Limits, Outcome, Usage, ending_of, exceeded

POLL_S = 0.05
DISK_EVERY = 4  # polls between two looks at the disk
END_WITHIN_S = 10.0  # a killed process that outlives this hangs in the kernel


@dataclass(kw_only=True)
class Running:
    """`init` is the first process of the run's pid namespace; None in an unsafe run. `ended` is called at the end."""

    process: asyncio.subprocess.Process
    init: processes.Pidfd | None
    folder: Path
    limits: Limits
    ended: Callable[[], None] = lambda: None
    started: float = field(default_factory=time.monotonic)
    cpu_s: float = 0.0
    peak_bytes: int = 0
    _disk: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.stdout = Tail(self.limits.tail_bytes)
        self.stderr = Tail(self.limits.tail_bytes)
        pairs = ((self.stdout, self.process.stdout), (self.stderr, self.process.stderr))
        self._drains = [asyncio.ensure_future(tail.drain(pipe)) for tail, pipe in pairs if pipe is not None]

    async def finish(self) -> Outcome:
        """Waits for the end, or makes one where a limit is passed. Nothing of the run is left after it."""
        try:
            stopped = await self._watch()
            wall_s = time.monotonic() - self.started
        finally:
            await self.end()
        if self.process.returncode is None:
            raise RuntimeError("a killed run did not end")
        ending, code, number = ending_of(self.process.returncode, self.stderr.bytes())
        return Outcome(
            ending=stopped or ending,
            exit_code=None if stopped else code,
            signal=number,
            stdout=self.stdout.bytes(),
            stderr=self.stderr.bytes(),
            stdout_cut=self.stdout.cut,
            stderr_cut=self.stderr.cut,
            wall_s=wall_s,
            cpu_s=self.cpu_s,
            peak_bytes=self.peak_bytes,
        )

    async def end(self) -> None:
        """Kills whatever still runs, then waits until it is gone."""
        self._kill()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self.process.wait()), *self._drains]
        if self.init is not None:
            waits.append(asyncio.ensure_future(self.init.gone()))
        try:
            await asyncio.wait(waits, timeout=END_WITHIN_S)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            if self.init is not None:
                self.init.close()
            self.ended()

    def _kill(self) -> None:
        if self.init is not None:
            self.init.kill()  # the kernel ends the whole namespace with its init
        else:
            processes.kill_tree(self.process.pid)
        if self.process.returncode is None:
            self.process.kill()

    async def _watch(self) -> Ending | None:
        """None when it ended by itself."""
        ended = asyncio.ensure_future(self.process.wait())
        try:
            for poll in range(1_000_000_000):
                done, _ = await asyncio.wait({ended}, timeout=POLL_S)
                if done:
                    return None
                if poll % DISK_EVERY == 0:
                    self._disk = await self._measure_disk()
                if stop := exceeded(self._usage(), self.limits):
                    return stop
        finally:
            ended.cancel()
        return Ending.TIMED_OUT

    async def _measure_disk(self) -> tuple[int, int]:
        return await asyncio.to_thread(scratch.usage, self.folder, stop_after=self.limits.disk_entries)

    def _usage(self) -> Usage:
        root = self.init.pid if self.init is not None else self.process.pid
        cpu_s, memory, count = processes.measure(root, with_root=self.init is None)
        if memory > self.limits.memory_bytes:
            memory = processes.proportional_bytes(root)
        self.cpu_s = max(self.cpu_s, cpu_s)
        self.peak_bytes = max(self.peak_bytes, memory)
        return Usage(
            cpu_s=cpu_s,
            memory_bytes=memory,
            processes=count,
            disk_bytes=self._disk[0],
            disk_entries=self._disk[1],
            output_bytes=self.stdout.total + self.stderr.total,
            wall_s=time.monotonic() - self.started,
        )
