"""Has templates filled in by the program `services.doc.templating`: kept running; one that hangs is replaced."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from automesh.core.errors import FieldViolation, Unavailable, ValidationError
from services.doc.domain.templates.errors import TemplatesBusy, TemplateTooCostly
from services.doc.domain.templates.ports import Use
from services.doc.domain.templates.variable import Value

log = structlog.get_logger(__name__)

PROGRAM = "services.doc.templating"
MIB = 1024**2
WAITING = 32
"""Templates that may wait for a worker; more are asked to come again."""
COME_BACK = timedelta(seconds=2)
GRACE_S = 3.0
"""A worker that has not answered so long after its job's time was up is killed."""
TRIES = 2
ESCAPED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderLimits:
    """What one template may have."""

    wall_s: float = 2.0
    cpu_s: int = 2
    memory: int = 128 * MIB
    output: int = 2 * MIB


class TemplateWorkers:
    """A services.doc.domain.templates.ports.Renderer with `size` workers at most, started when they are needed."""

    def __init__(self, limits: RenderLimits, *, size: int, python: str = sys.executable) -> None:
        self._limits, self._python = limits, python
        self._free: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._free.put_nowait(None)
        self._waiting = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, limits: RenderLimits, *, size: int, warm: bool = False) -> AsyncGenerator[TemplateWorkers]:
        """`warm`: one is started at once. All are gone at the end."""
        workers = cls(limits, size=size)
        try:
            if warm:
                workers._free.put_nowait(await workers._started(workers._free.get_nowait()))
            yield workers
        finally:
            while not workers._free.empty():
                worker = workers._free.get_nowait()
                if worker is not None:
                    await worker.end()

    async def fill(self, parts: Mapping[str, str], values: Mapping[str, Value]) -> Mapping[str, str]:
        """See Renderer."""
        done = await self._done({"op": "render", "parts": dict(parts), "values": dict(values)})
        return {str(part): str(text) for part, text in done["parts"].items()}

    async def uses(self, parts: Mapping[str, str]) -> Sequence[Use]:
        """See Renderer."""
        done = await self._done({"op": "check", "parts": dict(parts)})
        return [Use(part, name, line) for part, name, line in done["names"]]

    async def _done(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        limits = self._limits
        told = {"wall_s": limits.wall_s, "cpu_s": limits.cpu_s, "memory": limits.memory, "output": limits.output}
        line = json.dumps({**job, "limits": told}).encode() + b"\n"
        for _ in range(TRIES):
            said = await self._asked(line)
            if said is not None:
                return _checked(said)
        raise Unavailable("the program that fills templates in does not answer: try again")

    async def _asked(self, line: bytes) -> Mapping[str, Any] | None:
        """What a worker says; None when it died, or hung and was killed."""
        if self._waiting >= WAITING:
            raise TemplatesBusy("many templates are being filled in just now: come again", retry_after=COME_BACK)
        self._waiting += 1
        try:
            worker = await self._free.get()
        finally:
            self._waiting -= 1
        said: bytes = b""
        try:
            worker = await self._started(worker)
            async with asyncio.timeout(self._limits.wall_s + GRACE_S):
                said = await worker.ask(line)
        except (TimeoutError, OSError, ValueError) as error:
            log.warning("a worker of templates is replaced", error=repr(error))
        finally:
            self._free.put_nowait(worker if said else None)
            if (
                not said and worker is not None
            ):  # also when the caller has gone: its answer would be taken for another's
                await worker.end()
        return json.loads(said) if said else None

    async def _started(self, worker: _Worker | None) -> _Worker:
        if worker is not None and worker.alive:
            return worker
        return await _Worker.start(self._python, most=self._limits.output * ESCAPED + MIB)


class _Worker:
    """One running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, python: str, *, most: int) -> _Worker:
        """Without our environment: there are secrets in it. In a group of its own, to be killed whole."""
        process = await asyncio.create_subprocess_exec(
            python, "-I", "-X", "utf8", "-m", PROGRAM,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            limit=most, env={}, cwd="/", start_new_session=True,
        )  # fmt: skip
        return cls(process)

    @property
    def alive(self) -> bool:
        """As far as is known."""
        return self._process.returncode is None

    async def ask(self, line: bytes) -> bytes:
        """The answer; empty when the program has ended. Raises ValueError for an answer that is too long."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018 - PIPE
        self._process.stdin.write(line)
        await self._process.stdin.drain()
        said = await self._process.stdout.readline()
        return said if said.endswith(b"\n") else b""

    async def end(self) -> None:
        """Until it is gone, and the process of its job."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


def _checked(said: Mapping[str, Any]) -> Mapping[str, Any]:
    if said["state"] == "done":
        return said
    part, line = said["part"], said["line"]
    where = ", ".join(each for each in (part, f"line {line}" if line else "") if each)
    message = f"{where}: {said['message']}" if where else f"the template: {said['message']}"
    violations = [FieldViolation(f"template.{part}", message)] if part else []
    if said["state"] == "costly":
        raise TemplateTooCostly(message, violations=violations)
    raise ValidationError(message, violations=violations)
