"""What `automesh up` shows: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import os
import shlex
import threading
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from automesh.cli.stack_status import status_table
from automesh.cli.typed import automesh_command, near
from automesh.local.record import StackRecord
from automesh.local.stack import View
from automesh.local.state import LocalState

REFRESH_S = 1.0
_WORTH_A_LINE = ("up", "unhealthy", "backoff", "failed", "stopped")


class StackView(View, Protocol):
    """A view that must be closed, so that the terminal is left as it was."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def view_for(console: Console, state: LocalState) -> StackView:
    """The one that suits where the output goes."""
    return LiveView(console, state) if console.is_terminal else PlainView(console, state)


class PlainView:
    """Lines."""

    def __init__(self, console: Console, state: LocalState) -> None:
        self._console, self._state = console, state
        self._began = time.monotonic()
        self._seen: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        self._say("starting the stack in", str(self._state.folder))
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def changed(self, record: StackRecord) -> None:
        """See View."""
        for name, process in record.processes.items():
            now = (process.state, process.restarts)
            if self._seen.get(name) != now and process.state in _WORTH_A_LINE:
                port = f"port {process.port}" if process.port else process.address
                pid = f"pid {process.pid}" if process.pid else ""
                told = process.detail.split("\n", 1)[0] if process.state != "up" else ""
                self._say(f"{name:<14} {process.state:<9}", pid, port, told)
            self._seen[name] = now

    def ready(self, record: StackRecord) -> None:
        """See View."""
        show_summary(self._console, self._state, record, detached=False)

    def note(self, text: str) -> None:
        """See View."""
        self._say(text)

    def _say(self, *words: str) -> None:
        text = " ".join(word for word in words if word)
        self._console.print(
            f"{time.monotonic() - self._began:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True
        )


class LiveView:
    """A table that stays at the bottom of the terminal."""

    def __init__(self, console: Console, state: LocalState) -> None:
        self._console, self._state = console, state
        self._record: StackRecord | None = None
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._closed = threading.Event()
        self._painter = threading.Thread(target=self._paint_forever, name="table", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._painter.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._closed.set()
        self._painter.join(timeout=REFRESH_S + 5)
        self._live.stop()

    def changed(self, record: StackRecord) -> None:
        """See View."""
        self._record = record

    def ready(self, record: StackRecord) -> None:
        """See View."""
        self._record = record
        show_summary(self._console, self._state, record, detached=False)

    def note(self, text: str) -> None:
        """See View."""
        self._console.print(text, markup=False, highlight=False)

    def _paint_forever(self) -> None:
        """In a thread: looking at the memory of forty processes takes a while."""
        while not self._closed.wait(REFRESH_S if self._record and self._record.ready else 0.25):
            if self._record is not None:
                self._live.update(status_table(self._record, memory=self._record.ready), refresh=True)


def show_summary(console: Console, state: LocalState, record: StackRecord, *, detached: bool) -> None:
    """Where it is, how to sign in, what to do next. The first admin's password is shown only once."""
    command, web_ca = escape(automesh_command(state)), escape(shlex.quote(near(record.web_ca)))
    lines = [
        "",
        f"[bold green]automesh is up[/]: [bold]{record.gateway_url}[/]   registry: {record.registry}",
        f"  CA file        {escape(near(record.web_ca))}",
        *([f"  note           {record.hint}"] if record.hint else []),
        *_password_lines(state),
        "",
        "  The command line signs in by itself on this machine. Next:",
        f"    {command} task submit test_generation -i module=packaging.version --watch",
        f"    {command} status   (or: logs -f, mesh services, --help)",
        f"    curl --cacert {web_ca} {record.gateway_url}/api/v1/health",
        f"  Stop it: {command} down" if detached else f"  Stop it: Ctrl-C here, or {command} down elsewhere",
        "",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


def _password_lines(state: LocalState) -> list[str]:
    shown = state.admin_password.with_name("admin_password.shown")
    if not state.admin_password.exists():
        return []
    stamp = str(state.admin_password.stat().st_mtime_ns)
    if shown.exists() and shown.read_text() == stamp:
        return [f"  sign in as     admin, with the password in {escape(near(str(state.admin_password)))}"]
    with open(os.open(shown, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(stamp)
    password = state.admin_password.read_text().strip()
    return [
        f"  sign in as     admin, password [bold]{password}[/]",
        f"                 shown this once; kept in {escape(near(str(state.admin_password)))}",
    ]
