"""Several supervised processes: started as their needs are met, stopped the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from automesh.local.logfile import LogFile
from automesh.local.processes import Pace, SupervisedProcess
from automesh.local.program import Program, StackError
from automesh.local.record import ProcessRecord

log = structlog.get_logger(__name__)


class ProcessGroup:
    """`start` it once, `stop` it once. Log files go to `logs`; `changed` is called whenever a state changes.

    `first` are steps run once, which programs may name among their needs.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        logs: Path,
        *,
        pace: Pace,
        changed: Callable[[], None],
        first: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] = MappingProxyType({}),
    ) -> None:
        self.processes: Mapping[str, SupervisedProcess] = {
            program.name: SupervisedProcess(program, LogFile(logs / f"{program.name}.log"), pace=pace, changed=changed)
            for program in programs
        }
        self._first = dict(first)
        self._gates: dict[str, asyncio.Task[None]] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._starting = True

    async def start(self, limit_s: float) -> None:
        """Returns once all are well. Raises StackError when one cannot start, or when it takes too long."""
        self._gates = {name: asyncio.create_task(gate(), name=name) for name, gate in self._first.items()}
        self._lives = {
            name: asyncio.create_task(self._live(process), name=name) for name, process in self.processes.items()
        }
        for life in self._lives.values():
            life.add_done_callback(self._ended)
        everyone = asyncio.create_task(self._all_well())
        try:
            done, _ = await asyncio.wait(
                {everyone, *self._lives.values()}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            everyone.cancel()
        for task in sorted(done, key=lambda task: task is not everyone):
            task.result()
        if not done:
            raise StackError(f"not ready within {limit_s:g} s: {self._missing()}")
        self._starting = False

    async def stop(self) -> None:
        """Whoever is needed by nobody any more goes first; those that do not depend on each other go together."""
        running = {*self._gates.values(), *self._lives.values()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        left = dict(self.processes)
        while left:
            needed = {name for process in left.values() for name in process.program.needs | process.program.uses}
            going = [process for name, process in left.items() if name not in needed] or list(left.values())
            await asyncio.gather(*(process.stop() for process in going))
            for process in going:
                del left[process.program.name]

    def kill(self) -> None:
        """Everything, at once."""
        for process in self.processes.values():
            process.kill()

    def records(self) -> dict[str, ProcessRecord]:
        """For stack.json."""
        return {name: process.record() for name, process in self.processes.items()}

    def trim_logs(self) -> None:
        """Keeps every log file below its limit."""
        for process in self.processes.values():
            process.log_file.trim()

    async def _live(self, process: SupervisedProcess) -> None:
        for need in process.program.needs:
            await (asyncio.shield(self._gates[need]) if need in self._gates else self.processes[need].well.wait())
        await process.run(starting=lambda: self._starting)

    async def _all_well(self) -> None:
        for gate in self._gates.values():
            await gate
        for process in self.processes.values():
            await process.well.wait()

    def _ended(self, life: asyncio.Task[None]) -> None:
        if not life.cancelled() and (error := life.exception()) is not None and not self._starting:
            log.error("left alone until the stack is started again", process=life.get_name(), error=str(error))

    def _missing(self) -> str:
        return "; ".join(
            f"{name} is {process.state}" + (f" ({process.detail})" if process.detail else "")
            for name, process in self.processes.items()
            if not process.well.is_set()
        )
