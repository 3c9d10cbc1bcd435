"""The audit trail of a process: every entry is on disk before the call is answered, then shipped to auth.

The spool survives a kill -9 of the process and an absence of auth. It is bounded: when it, or its disk, is full, calls
that would have to be audited are refused, because an action that nobody can find again must not happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog

from automesh.core.bucket import TokenBucket
from automesh.core.errors import AutomationError, Unavailable
from automesh.core.ids import new_id

log = structlog.get_logger()

BATCH = 500
MAX_SPOOL_BYTES = 64 * 1024 * 1024
SHIP_EVERY_S = 0.25
RETRY_S = 2.0
MAX_WAITING = 10_000
"""Entries kept in memory while the disk is full: those of calls that had begun, and of calls that are denied."""
STRANGERS_A_SECOND, STRANGERS_AT_ONCE = 5.0, 200.0
"""Denials of callers who are not signed in that are recorded; all of them are counted by the metrics."""
MAX_TEXT = 512
"""Characters of one field, as auth keeps them. Callers choose some of them, and a line must fit into one read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Who did what with which outcome; see automesh.auth.v1.AuditEvent for the fields."""

    method: str
    outcome: str
    tenant_id: str = ""
    subject: str = ""
    workload: str = ""
    resource: str = ""
    reason: str = ""
    request_id: str = ""
    service: str = ""
    event_id: str = field(default_factory=lambda: new_id("evt"))
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


_FIELDS = tuple(each.name for each in fields(AuditEvent))

AuditSink = Callable[[Sequence[AuditEvent]], Awaitable[None]]
"""Stores events durably; may be given the same event twice."""


class AuditLog:
    """Spool and shipper of one process. `record` is cheap (a write to the page cache) and never waits."""

    def __init__(self, folder: Path, *, service: str, instance_id: str, max_bytes: int = MAX_SPOOL_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._service, self._max_bytes = folder, service, max_bytes
        self.strangers = TokenBucket(rate=STRANGERS_A_SECOND, burst=STRANGERS_AT_ONCE)
        self._path = folder / f"{service}-{instance_id}.jsonl"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._size = os.fstat(self._file).st_size
        self._shipped = 0
        self._waiting: deque[bytes] = deque()
        self._closed = False

    @property
    def has_room(self) -> bool:
        """Whether another entry fits; check it before doing what must be audited."""
        return self._size < self._max_bytes

    def require_room(self) -> None:
        """Raises Unavailable when the spool, or its disk, is full."""
        if not self.has_room:
            raise Unavailable(
                "the audit spool is full because auth cannot be reached: nothing may be changed meanwhile"
            )
        if not self._caught_up():
            raise Unavailable("the audit entries find no room on the disk: nothing may be changed until there is some")

    def record(self, event: AuditEvent) -> None:
        """Writes the entry to the spool; it waits in memory while the disk is full, as what it is about is done."""
        line = orjson.dumps({name: getattr(event, name)[:MAX_TEXT] for name in _FIELDS}) + b"\n"
        if self._closed:  # a call that ends with the process: its entry is for the next one
            with self._path.open("ab") as spool:
                spool.write(line)
            return
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(line)
        self._caught_up()

    def _caught_up(self) -> bool:
        """Writes what waits; whether it found room."""
        while self._waiting:
            line = self._waiting[0]
            try:
                _write_whole(self._file, line)
            except OSError as error:
                os.ftruncate(self._file, self._size)  # half a line would spoil the next one
                if len(self._waiting) == 1:
                    log.error("audit entries find no room", error=str(error), folder=str(self._folder))
                return False
            self._size += len(line)
            self._waiting.popleft()
        return True

    async def ship_forever(self, sink: AuditSink) -> None:
        """Sends what is spooled, and what dead processes of this service left behind, until cancelled."""
        while True:
            try:
                self._caught_up()
                await self._adopt(sink)
                while await self.ship(sink):
                    pass
                await asyncio.sleep(SHIP_EVERY_S)
            except (AutomationError, OSError) as error:
                log.warning(
                    "audit entries wait in the spool", error=str(error), spooled_bytes=self._size - self._shipped
                )
                await asyncio.sleep(RETRY_S)

    async def ship(self, sink: AuditSink) -> bool:
        """Sends one batch; False when there was nothing to send."""
        events, end = _read(self._file, self._shipped)
        if end == self._shipped:
            return False
        if events:
            await sink(events)
        self._shipped = end
        if self._shipped == self._size or self._shipped > self._max_bytes // 2:
            self._start_over()
        return True

    async def close(self, sink: AuditSink, *, timeout_s: float = 2.0) -> None:
        """A last try to send; what is not sent stays on disk for the next process of the service."""
        self._caught_up()
        with contextlib.suppress(AutomationError, OSError):
            async with asyncio.timeout(timeout_s):
                while await self.ship(sink):
                    pass
        if self._shipped == self._size:
            self._path.unlink(missing_ok=True)
        self._closed = True
        os.close(self._file)

    def _start_over(self) -> None:
        """Drops what is sent. Where entries never stop coming in, waiting for an empty file would fill the disk."""
        rest = os.pread(self._file, self._size - self._shipped, self._shipped)
        if rest:
            self._size = self._replace(rest)
        else:
            os.ftruncate(self._file, 0)
            self._size = 0
        self._shipped = 0

    def _replace(self, rest: bytes) -> int:
        """The new size. Raises OSError, with nothing changed, when the disk is full."""
        # A copy, as of another process, until it is done: a kill in between loses nothing, at worst sends twice.
        path = self._path.with_stem(f"{self._path.stem}-rest")
        copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(copy, rest)
        except OSError:
            os.close(copy)
            path.unlink()
            raise
        try:
            os.ftruncate(self._file, 0)
            _write_whole(self._file, rest)
            path.unlink()
            return len(rest)
        except OSError:
            os.ftruncate(self._file, 0)
            return 0  # the copy is sent as what a dead process left
        finally:
            os.close(copy)

    async def _adopt(self, sink: AuditSink) -> None:
        for path in self._others():
            await _ship_orphan(path, sink)

    def _others(self) -> list[Path]:
        return [path for path in self._folder.glob(f"{self._service}-*.jsonl") if path != self._path]


def _write_whole(file: int, data: bytes) -> None:
    """All or an OSError: a disk that is nearly full takes a part and says nothing."""
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def _ship_orphan(path: Path, sink: AuditSink) -> None:
    file = _opened(path)
    if file is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        begin, (events, end) = 0, _read(file, 0)
        while end > begin:
            if events:
                await sink(events)
            begin, (events, end) = end, _read(file, end)
        with contextlib.suppress(FileNotFoundError):  # its process ended, and tidied up, after we opened it
            os.unlink(path)
    except BlockingIOError:
        return  # its process lives and ships by itself
    finally:
        os.close(file)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None


def _read(file: int, offset: int) -> tuple[list[AuditEvent], int]:
    """Up to BATCH whole entries from `offset`, and the offset behind them. A torn last line waits, or is skipped."""
    data = os.pread(file, BATCH * 1024, offset)
    whole, _, _ = data.rpartition(b"\n")
    lines = whole.split(b"\n")[:BATCH] if whole else []
    events = []
    for line in lines:
        with contextlib.suppress(orjson.JSONDecodeError, TypeError):
            events.append(AuditEvent(**orjson.loads(line)))
    return events, offset + sum(len(line) + 1 for line in lines)
