"""stack.json: what runs now, for `status`, `down`, the command line, and for the next start after a crash."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import orjson

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One process. `pid` 0 means that it does not run now."""

    pid: int = 0
    started: float = 0.0
    """Seconds since the epoch. With the pid it names one process for ever: ids are used again."""
    port: int = 0
    """0: no TCP port."""
    log: str = ""
    state: str = ""
    """A `automesh.local.program.State`."""
    detail: str = ""
    restarts: int = 0
    address: str = ""
    """Where it listens, when that is no TCP port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """The stack of one state folder."""

    pid: int
    started: float = 0.0
    ready: bool = False
    gateway_url: str = ""
    control_address: str = ""
    registry: str = ""
    hint: str = ""
    """Something that people may want to know, such as why the registry is not Consul."""
    web_ca: str = ""
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replaces the file; readers see the old or the new one."""
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        content = orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
            fresh.replace(path)
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> StackRecord | None:
        """None when there is none, or none that can be understood; unknown and missing fields are forgiven."""
        try:
            document = orjson.loads(path.read_bytes())
            processes = {
                str(name): _known(ProcessRecord, entry) for name, entry in document.get("processes", {}).items()
            }
            return _known(cls, {**document, "processes": processes})
        except (OSError, ValueError, TypeError, AttributeError):
            return None


def _known(kind: type[T], document: Mapping[str, Any]) -> T:
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type] # only dataclasses come here
    return kind(**{name: value for name, value in document.items() if name in names})
