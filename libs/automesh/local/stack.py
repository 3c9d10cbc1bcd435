"""The stack of one state folder, from the lock to the last process stopped."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Protocol

import structlog

from automesh.local.group import ProcessGroup
from automesh.local.leftovers import end_all, start_time
from automesh.local.lock import StackLock
from automesh.local.logfile import LogFile
from automesh.local.oneshot import run_once
from automesh.local.options import StackOptions
from automesh.local.plan import INIT, Plan, make_plan
from automesh.local.probes import SERVING
from automesh.local.processes import Pace
from automesh.local.program import StackError
from automesh.local.record import StackRecord
from automesh.local.settings import LocalSettings
from automesh.local.state import LocalState

log = structlog.get_logger(__name__)

SUPERVISOR = "stack"
CANNOT_GO_ON = "cannot go on"
EXIT_ALREADY_RUNS = 4
"""Of `python -m automesh.local`: another supervisor was faster."""

START_LIMIT_S = 120.0
INIT_LIMIT_S = 60.0
_TRIM_EVERY_S = 2.0
_WRITE_AFTER_S = 0.05
_GATE_EVERY_S = 0.1


class AlreadyRuns(StackError):
    """Another supervisor holds the state folder."""

    reason = "STACK_ALREADY_RUNS"


class View(Protocol):
    """Whoever watches. Called in the supervisor's event loop: return soon."""

    def changed(self, record: StackRecord) -> None:
        """Something is not as it was."""

    def ready(self, record: StackRecord) -> None:
        """Everything is up."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class Stack:
    """Run it once: `async with stack.held(): await stack.run(stop)`."""

    def __init__(
        self,
        options: StackOptions,
        settings: LocalSettings,
        environment: Mapping[str, str],
        view: View,
        *,
        pace: Pace | None = None,
        plan: Callable[[LocalState], Plan] | None = None,
    ) -> None:
        self.state = LocalState(options.state_dir)
        self._view = view
        self._pace = pace or Pace()
        self._make_plan = plan or (lambda state: make_plan(state, options, settings, environment))
        self._lock = StackLock(self.state.lock_file)
        self._plan: Plan | None = None
        self._group: ProcessGroup | None = None
        self._is_ready = False
        self._writing: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Holds the state folder. Raises StateError, or AlreadyRuns when another does."""
        self.state.prepare()
        if not self._lock.acquire():
            raise AlreadyRuns(f"the stack in {self.state.folder} already runs")
        try:
            await self._clear_leftovers()
            yield
        finally:
            self._clean_up()
            self._lock.release()

    async def run(self, stop: asyncio.Event) -> None:
        """Starts everything, stays until `stop` is set, stops everything. Raises what kept it from starting."""
        plan = self._plan = await asyncio.to_thread(self._make_plan, self.state)
        group = self._group = self._group_of(plan)
        self._write()
        trimming = asyncio.create_task(self._trim_forever(group))
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self._start(plan, group))
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            await stopping
        finally:
            for task in (trimming, stopping, starting):
                task.cancel()
            await asyncio.wait({trimming, stopping, starting})
            self._is_ready = False
            self._view.note("stopping")
            await group.stop()

    def kill(self) -> None:
        """For somebody who cannot wait: everything, at once."""
        if self._group is not None:
            self._group.kill()

    def _group_of(self, plan: Plan) -> ProcessGroup:
        log_file = LogFile(self.state.log_of(INIT))
        init = partial(run_once, INIT, plan.init, plan.init_env, log_file, limit_s=INIT_LIMIT_S)
        return ProcessGroup(plan.programs, self.state.logs, pace=self._pace, changed=self._changed, first={INIT: init})

    async def _start(self, plan: Plan, group: ProcessGroup) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        await group.start(START_LIMIT_S)
        await self._serving(plan)
        self._is_ready = True
        log.info("ready", took_s=round(clock() - began, 2), gateway=plan.gateway_url, registry=plan.registry)
        self._write()
        self._view.ready(self.record())

    async def _serving(self, plan: Plan) -> None:
        told = ""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_LIMIT_S):
                while told != SERVING:
                    told = (await plan.serving()).detail
                    await asyncio.sleep(0 if told == SERVING else _GATE_EVERY_S)
                return
        raise StackError(f"every process is up, but {plan.gateway_url} says {told or 'nothing'}: see `automesh logs`")

    def record(self) -> StackRecord:
        """What stack.json says."""
        plan, group = self._plan, self._group
        return StackRecord(
            pid=os.getpid(),
            started=start_time(os.getpid()),
            ready=self._is_ready,
            gateway_url=plan.gateway_url if plan else "",
            control_address=plan.control_address if plan else "",
            registry=plan.registry if plan else "",
            hint=plan.registry_hint if plan else "",
            web_ca=str(self.state.web_ca),
            processes=group.records() if group else {},
        )

    def _changed(self) -> None:
        """Many changes in a moment are written once."""
        self._view.changed(self.record())
        if self._writing is None:
            self._writing = asyncio.get_running_loop().call_later(_WRITE_AFTER_S, self._write)

    def _write(self) -> None:
        self._writing = None
        try:
            self.record().write(self.state.stack_file)
        except OSError as error:  # a full disk must not take the stack down
            log.warning("cannot write", path=str(self.state.stack_file), error=str(error))

    async def _trim_forever(self, group: ProcessGroup) -> None:
        own = LogFile(self.state.log_of(SUPERVISOR))
        while True:
            await asyncio.to_thread(group.trim_logs)
            await asyncio.to_thread(own.trim)
            await asyncio.sleep(_TRIM_EVERY_S)

    async def _clear_leftovers(self) -> None:
        """Nobody holds the lock, so whatever an old stack.json names and still lives is an orphan."""
        old = StackRecord.read(self.state.stack_file)
        if old is None:
            return
        count = await asyncio.to_thread(end_all, old.processes.values())
        if count:
            self._view.note(f"ended {count} processes that a killed supervisor had left behind")

    def _clean_up(self) -> None:
        """Nothing runs any more: what says otherwise goes."""
        if self._writing is not None:
            self._writing.cancel()
        self.state.stack_file.unlink(missing_ok=True)
        for folder in self._plan.socket_folders if self._plan else ():
            if self.state.folder not in folder.parents:  # a short one in the place of a path too long
                shutil.rmtree(folder, ignore_errors=True)
