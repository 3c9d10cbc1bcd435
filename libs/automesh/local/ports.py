"""TCP ports of this machine: free ones, taken ones, and who holds them."""

from __future__ import annotations

import errno
import os
import random
import shlex
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from automesh.core.errors import AutomationError, Kind

HOST = "127.0.0.1"
_FIRST, _TRIES = 20_000, 100
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_COMMAND_CHARACTERS = 60
_STATE_DIR = "AUTOMESH_STATE_DIR"


class PortRefused(AutomationError):
    """A port cannot be had; the message says who has it and how to take another."""

    kind = Kind.PRECONDITION
    reason = "PORT_IN_USE"


def free_port() -> int:
    """A port that is free now, and that no outgoing connection is given until somebody listens there."""
    below = _first_of_outgoing()
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, below) if below > _FIRST else 0  # noqa: S311 - no secret
        with suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise PortRefused(f"{_TRIES} ports from {_FIRST} on that were tried are all taken: stop some programs")


def _first_of_outgoing() -> int:
    """The kernel takes ports for outgoing connections from there on."""
    with suppress(OSError, ValueError):
        return int(_OUTGOING.read_text().split()[0])
    return _FIRST


def claim(port: int, what: str, option: str) -> int:
    """`port` if it is free, any free one for 0. Raises PortRefused."""
    if port == 0:
        return free_port()
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            probe.listen(1)  # Linux lets two bind with SO_REUSEADDR; listening shows who was first
    except OSError as error:
        raise _refused(port, what, option, error) from error
    return port


def holder(port: int) -> tuple[int, str] | None:
    """Process id and command of who listens on `port`; None when this user may not know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.pid and _listens(connection) == port:
                return connection.pid, _command(psutil.Process(connection.pid))
    return None


def listening_port(pid: int, *, besides: int = 0) -> int | None:
    """The TCP port where a process itself listens, `besides` one that it has for something else; None without one."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.Process(pid).net_connections("tcp"):
            if (port := _listens(connection)) and port != besides:
                return port
    return None


def _command(process: psutil.Process) -> str:
    """Enough to know it by: "python3 -m gateway" rather than "python3"."""
    words = process.cmdline()
    if not words:
        return process.name()
    return " ".join([os.path.basename(words[0]), *words[1:]])[:_COMMAND_CHARACTERS]


def _listens(connection: Any) -> int:
    """The port, where it is one that listens; psutil has two types for the two ways to ask."""
    return int(connection.laddr.port) if connection.status == psutil.CONN_LISTEN else 0


def _how_to_stop(pid: int) -> str:
    """A process of another stack would only be started again by its supervisor."""
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        folder = process.environ().get(_STATE_DIR, "")
        supervised = any(_is_supervisor(parent.cmdline()) for parent in process.parents()[:2])
        if folder and supervised:
            return f"it belongs to the stack in {folder}: stop that (`automesh --state-dir {shlex.quote(folder)} down`)"
    return f"stop it (`kill {pid}`)"


def _is_supervisor(command: list[str]) -> bool:
    return bool({"automesh.local", "automesh.cli"} & set(command)) or any(
        os.path.basename(word) == "automesh" for word in command[:3]
    )


def _refused(port: int, what: str, option: str, error: OSError) -> PortRefused:
    if error.errno == errno.EACCES:
        return PortRefused(
            f"port {port} for {what} needs more rights than this user has: choose one from 1024 on with {option}",
            port=port,
        )
    if error.errno != errno.EADDRINUSE:
        return PortRefused(f"port {port} for {what} cannot be used: {error.strerror}; choose another with {option}")
    who = holder(port)
    named = f"by `{who[1]}` (process {who[0]})" if who else "by a program of somebody else"
    mend = _how_to_stop(who[0]) if who else "stop it"
    return PortRefused(
        f"port {port} for {what} is taken {named}: {mend}, or choose another with {option} (0 takes any free one)",
        port=port,
        pid=who[0] if who else "",
    )
