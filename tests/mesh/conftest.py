"""A small real mesh for tests: control, services and callers as processes of their own, over real mutual TLS."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from automesh.local.ports import free_port
from automesh.mesh.identity import IdentityFiles
from automesh.testing.ca import ThrowawayCa

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"
READY = b'"event":"serving"'
LIMIT_S = 30.0


@dataclass
class Program:
    """A process of the lab; its log is in a file."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    identity: IdentityFiles

    async def saying(self, words: bytes = READY) -> None:
        """Waits until the log holds these words."""
        async with asyncio.timeout(LIMIT_S):
            while words not in self.log.read_bytes():
                assert self.process.returncode is None, f"{self.name} ended: {self.log.read_text()}"
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, as an operator would; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), LIMIT_S)


class Caller(Program):
    """programs/caller.py."""

    async def do(self, what: str, **order: Any) -> dict[str, Any]:
        """One order, one answer."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": what, **order}).encode() + b"\n")
        line = await asyncio.wait_for(stdout.readline(), LIMIT_S + 10)
        assert line, f"the caller ended: {self.log.read_text()}"
        answer: dict[str, Any] = json.loads(line)
        assert not answer.get("timeout"), f"waited in vain for {what} {order}: {self.log.read_text()[-2000:]}"
        return answer


P = TypeVar("P", bound=Program)


@dataclass
class Lab:
    """One mesh, in one folder."""

    folder: Path
    ca: ThrowawayCa
    port: int = field(default_factory=free_port)
    extra: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)

    async def control(self) -> Program:
        """Starts control, on the same port and folder each time."""
        return await self._serving("control", "control", [sys.executable, "-m", "services.control"], str(self.port))

    async def echo(self, name: str, **extra: str) -> Program:
        """Starts a process of the service `echo`; `name` is its instance id."""
        return await self._serving(name, "echo", [sys.executable, str(PROGRAMS / "echo.py")], "0", **extra)

    async def caller(
        self,
        *,
        identity: IdentityFiles | None = None,
        target: str = "echo",
        command: Sequence[str] = (sys.executable, str(PROGRAMS / "caller.py")),
        **extra: str,
    ) -> Caller:
        """Starts a client that calls `target` when it is told to; `command` may be one in another language."""
        files = identity or self.ca.service("gateway")
        return await self._start(Caller, "caller", files, command, "0", AUTOMESH_TARGET=target, **extra)

    async def service(self, name: str, service: str) -> Program:
        """Starts the same program as a service of another name."""
        command = [sys.executable, str(PROGRAMS / "echo.py")]
        return await self._serving(name, service, command, "0", AUTOMESH_SERVICE=service)

    async def _serving(self, name: str, service: str, command: list[str], port: str, **extra: str) -> Program:
        folder = self.folder / "identities" / name
        program = await self._start(Program, name, self.ca.service(service, folder=folder), command, port, **extra)
        await program.saying()
        return program

    async def _start(
        self,
        kind: Callable[[str, asyncio.subprocess.Process, Path, IdentityFiles], P],
        name: str,
        identity: IdentityFiles,
        command: Sequence[str],
        port: str,
        **extra: str,
    ) -> P:
        log = self.folder / f"{name}-{len(self.programs)}.log"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                cwd=ROOT,
                env={
                    **os.environ,
                    "AUTOMESH_INSTANCE_ID": name,
                    "AUTOMESH_STATE_DIR": str(self.folder / "state" / name),
                    "AUTOMESH_IDENTITY_DIR": str(identity.folder),
                    "AUTOMESH_CONTROL_ADDRESS": f"localhost:{self.port}",
                    "AUTOMESH_LISTEN_PORT": port,
                    "AUTOMESH_EXPECTED_SERVICES": "control,echo",
                    "AUTOMESH_ESSENTIAL_SERVICES": "control",
                    **self.extra,
                    **extra,
                },
            )
        program = kind(name, process, log, identity)
        self.programs.append(program)
        return program

    async def close(self) -> None:
        """Kills what still runs."""
        for program in self.programs:
            if program.process.returncode is None:
                await program.kill()
            if program.process.stdin is not None:
                program.process.stdin.close()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncGenerator[Lab]:
    """A mesh with nothing in it yet."""
    lab = Lab(tmp_path, ThrowawayCa(tmp_path / "ca"))
    yield lab
    await lab.close()
