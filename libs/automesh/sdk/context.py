"""What a handler may say and ask while it works on a task. Nothing here blocks the handler but `upload`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from automesh.core.errors import ValidationError
from automesh.sdk import frames
from automesh.sdk.report import Report
from automesh.sdk.task import LeasedTask
from automesh.sdk.uploads import StoredArtifact, Uploads


class TaskContext:
    """A handler's line to the orchestrator. `progress`, `log` and `checkpoint` may be called by any thread."""

    def __init__(self, task: LeasedTask, token: bytes, report: Report, uploads: Uploads) -> None:
        self._task = task
        self._token = token
        self._report = report
        self._uploads = uploads
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.cancelled = asyncio.Event()
        """Set when the attempt must stop. The handler's asyncio task is cancelled as well."""
        self.stop_reason = ""
        """Why it must stop, for people. Empty until `cancelled` is set."""

    @property
    def attempt(self) -> int:
        """Counts from 1; the fencing epoch."""
        return self._task.attempt

    @property
    def lease_token(self) -> bytes:
        """Shows to a service of the platform that this attempt holds the task. Nobody else may see it."""
        return self._token

    @property
    def deadline(self) -> datetime | None:
        """When the attempt is stopped for taking too long. None: never."""
        return self._task.deadline

    def progress(self, fraction: float, message: str = "") -> None:
        """Tells how far the task is, from 0 to 1. May be called as often as you like: the latest is sent."""
        self._on_loop(lambda: self._report.progress(fraction, message))

    def log(self, line: str) -> None:
        """Adds to the task's log. Lines over 4,096 characters are cut; when too many wait, the oldest are dropped."""
        self._on_loop(lambda: self._report.log(line))

    def checkpoint(self, data: bytes) -> None:
        """Keeps up to 64 KiB for the next attempt, should this one die. The latest replaces those before."""
        if len(data) > frames.MAX_CHECKPOINT:
            raise ValidationError(
                f"a checkpoint of {len(data)} bytes is too large: at most {frames.MAX_CHECKPOINT}; "
                "store the bulk with context.upload() and keep its name",
                field="checkpoint",
                size=len(data),
                limit=frames.MAX_CHECKPOINT,
            )
        self._on_loop(lambda: self._report.checkpoint(data))

    async def upload(self, name: str, content: bytes | Path, content_type: str = "") -> StoredArtifact:
        """Stores a file of the task under `name` ("folder/file.ext"), replacing one of that name.

        `content` is the bytes themselves or the path of a file. An empty `content_type` is guessed from the name.
        """
        return await self._uploads.upload(self._token, name, content, content_type)

    def _on_loop(self, say: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            say()
        else:
            self._loop.call_soon_threadsafe(say)
