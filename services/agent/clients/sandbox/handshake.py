"""The start of an isolated run: its first process is known, and held, before any of its code runs."""

from __future__ import annotations

import asyncio
import json
import os

from services.agent.clients.sandbox import processes
from services.agent.clients.sandbox.processes import Pidfd
from services.agent.domain.sandbox import SandboxUnavailable

MAX_REPORT_BYTES = 4096
MAX_COMPLAINT_BYTES = 4096


class Handshake:
    """Three pipes: bubblewrap reports its child, waits for leave, and the program's launcher says it starts."""

    def __init__(self) -> None:
        self._report, self.report_in = os.pipe()
        self.leave_out, self._leave = os.pipe()
        self._started, self.started_in = os.pipe()
        self._open = {self._report, self.report_in, self.leave_out, self._leave, self._started, self.started_in}

    @property
    def passed(self) -> tuple[int, int, int]:
        """The ends that belong to the run."""
        return self.report_in, self.leave_out, self.started_in

    def close(self, *descriptors: int) -> None:
        """Closes these, or all that are open."""
        for descriptor in descriptors or tuple(self._open):
            self._open.discard(descriptor)
            os.close(descriptor)

    async def complete(self, process: asyncio.subprocess.Process, *, within_s: float) -> Pidfd:
        """The init of the run's pid namespace. Raises SandboxUnavailable; the process is then gone."""
        init: Pidfd | None = None
        try:
            async with asyncio.timeout(within_s):
                pid = json.loads(await self._read_report())["child-pid"]
                init = Pidfd(pid)
                os.write(self._leave, b"1")
                if await _read(self._started, 1):
                    return init
        except (TimeoutError, ValueError, KeyError, OSError) as error:
            why = f"it did not start ({type(error).__name__})"
        except BaseException:
            await self.discard(process, init)
            raise
        else:
            why = "it did not start"
        complaint = await self.discard(process, init)
        raise SandboxUnavailable(f"the sandbox cannot be set up: {complaint or why}")

    async def _read_report(self) -> bytes:
        report = b""
        while b"\n" not in report and len(report) < MAX_REPORT_BYTES:
            piece = await _read(self._report, MAX_REPORT_BYTES)
            if not piece:
                break
            report += piece
        return report.partition(b"\n")[0]

    async def discard(self, process: asyncio.subprocess.Process, init: Pidfd | None = None) -> str:
        """Kills what there is of it and returns what it complained about."""
        # Giving up root makes the inner bubblewrap forget whose end is its own: left alone it would wait for leave for
        # ever. With the pipes closed it goes on, finds nobody to tell that it starts, and ends before its program.
        self.close()
        if init is not None:
            init.kill()
            init.close()
        processes.kill_tree(process.pid)
        complaint = b""
        if process.stderr is not None:
            complaint = await process.stderr.read(MAX_COMPLAINT_BYTES)
        await process.wait()
        return complaint.decode("utf-8", "replace").strip()


async def _read(descriptor: int, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, size)
