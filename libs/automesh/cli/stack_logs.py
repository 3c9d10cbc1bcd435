"""`automesh logs`: the JSON lines of all processes, for people; in the order of time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from automesh.cli.errors import CliError
from automesh.local.logfile import LogFile
from automesh.local.reason import parse
from automesh.local.state import LocalState

_FOLLOW_EVERY_S = 0.2
_LEVEL_STYLE = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}
_SHOWN_APART = {"event", "level", "timestamp", "service", "exception"}
_TIME_SHOWN = slice(11, 23)  # of 2026-01-31T12:34:56.789012Z


def show_logs(console: Console, state: LocalState, services: list[str], *, lines: int, follow: bool, raw: bool) -> None:
    """Prints the last lines; with `follow` goes on until interrupted. Raises CliError for a name without a log."""
    files = {name: LogFile(path) for name, path in _chosen(state, services).items()}
    followed = {name: _End(log_file.path) for name, log_file in files.items()} if follow else {}
    last = [(name, line) for name, log_file in files.items() for line in log_file.tail(lines)]
    _print(console, sorted(last, key=lambda entry: _time_of(entry[1])) if len(files) > 1 else last, raw=raw)
    while followed:
        fresh = [(name, line) for name, end in followed.items() for line in end.fresh_lines()]
        _print(console, sorted(fresh, key=lambda entry: _time_of(entry[1])), raw=raw)
        time.sleep(_FOLLOW_EVERY_S)


class _End:
    """The growing end of a file that may be cut to nothing at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size
        self._rest = b""

    def fresh_lines(self) -> Iterator[str]:
        size = self._path.stat().st_size if self._path.exists() else 0
        if size < self._offset:
            self._offset = 0
        if size == self._offset:
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = self._rest + file.read(size - self._offset)
        self._offset = size
        *whole, self._rest = content.split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")


def _chosen(state: LocalState, services: list[str]) -> dict[str, Path]:
    there = {path.name.removesuffix(".log"): path for path in sorted(state.logs.glob("*.log"))}
    if not there:
        raise CliError(f"nothing was logged in {state.folder} yet", next_step="Start the stack: automesh up")
    chosen: dict[str, Path] = {}
    for service in services or there:
        found = {name: path for name, path in there.items() if name == service or name.startswith(f"{service}-")}
        if not found:
            raise CliError(f"{service!r} has no log", next_step=f"There are: {', '.join(there)}")
        chosen.update(found)
    return chosen


def _time_of(line: str) -> str:
    event = parse(line)
    return str(event.get("timestamp", "")) if event else ""


def _print(console: Console, entries: Iterable[tuple[str, str]], *, raw: bool) -> None:
    for name, line in entries:
        if raw:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(_shown(name, line), soft_wrap=True)


def _shown(name: str, line: str) -> Text:
    event = parse(line)
    if event is None:
        return Text.assemble((f"{'':12} ", "dim"), ("      ", ""), (f"{name:<13} ", "cyan"), line)
    level = str(event.get("level", ""))
    text = Text.assemble(
        (f"{str(event.get('timestamp', ''))[_TIME_SHOWN]:12} ", "dim"),
        (f"{level[:5]:<5} ", _LEVEL_STYLE.get(level, "")),
        (f"{name:<13} ", "cyan"),
        (str(event["event"]), "bold"),
    )
    for key, value in event.items():
        if key not in _SHOWN_APART:
            text.append(f" {key}=", "dim").append(_value(value))
    if event.get("exception"):
        text.append("\n").append(_exception(event["exception"]), "red")
    return text


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text) if " " in text else text


def _exception(trace: Any) -> str:
    """structlog's structured traceback as Python would print it, without the local variables."""
    if not isinstance(trace, list):
        return str(trace)
    lines = []
    for part in trace:
        lines += [
            f"    {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
            for frame in part.get("frames", ())
        ]
        lines.append(f"    {part.get('exc_type')}: {part.get('exc_value')}")
    return "\n".join(lines)
