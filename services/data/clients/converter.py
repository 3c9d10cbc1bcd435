"""Converts files with the processing program, in a scratch folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from services.data.domain.errors import COME_BACK, ConversionFailed, TooManyConversions

log = structlog.get_logger(__name__)

PROGRAM = "services.data.processor"
INPUT = "part.parquet"
WAITING = 16
"""Downloads that may wait for a slot; more are asked to come again."""
LEFTOVER_AGE_S = 24 * 3600.0
_CHUNK = 256 * 1024
_MOST_SAID = 1024 * 1024


class ProgramConverter:
    """A services.data.domain.ports.Converter. `scratch` holds plain bytes while a conversion lasts."""

    def __init__(self, scratch: Path, *, at_once: int, limit_s: float, python: str = sys.executable) -> None:
        self._scratch = scratch
        self._limit_s = limit_s
        self._python = python
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_leftovers(scratch)

    @asynccontextmanager
    async def convert(self, parquet: AsyncIterable[bytes], file_format: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Bounded in number and time; the program is killed when the block is left early."""
        async with self._slot():
            folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._scratch))
            try:
                await _write(folder, parquet, file_format)
                await self._run(folder)
                yield _read(await asyncio.to_thread(_result, folder))
            finally:
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING:
            raise TooManyConversions("many files are being converted just now: come again", retry_after=COME_BACK)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _run(self, folder: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            self._python, "-m", PROGRAM, str(folder),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            limit=_MOST_SAID, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._limit_s):
                said = await _last_event(process)
                await process.wait()
        except TimeoutError:
            raise ConversionFailed(f"the conversion took more than {self._limit_s:g} s: download Parquet") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if said.get("kind") != "done":
            log.warning("a conversion failed", code=process.returncode, said=said)
            raise ConversionFailed(str(said.get("message") or "the program that converts files died: try again"))


async def _last_event(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The last thing it said; an empty one when it said nothing that can be read."""
    assert process.stdout is not None  # noqa: S101 # a pipe, see _run
    event: dict[str, Any] = {}
    while line := await _line(process.stdout):
        with suppress(ValueError):
            said = json.loads(line)
            event = said if isinstance(said, dict) else event
    return event


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # longer than any line it may say
        raise ConversionFailed("the program that converts files said what nobody can read") from None


async def _write(folder: Path, parquet: AsyncIterable[bytes], file_format: str) -> None:
    job = {"op": "convert", "input": INPUT, "format": file_format}
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    with (folder / "in" / INPUT).open("wb") as file:
        async for chunk in parquet:
            await asyncio.to_thread(file.write, chunk)


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk


def _result(folder: Path) -> Path:
    found = sorted((folder / "out").glob("part.*"))
    if not found:
        raise ConversionFailed("the program that converts files made none")
    return found[0]


def _remove_leftovers(scratch: Path) -> None:
    """Those of a process that was killed."""
    for folder in scratch.iterdir():
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - LEFTOVER_AGE_S:
                shutil.rmtree(folder, ignore_errors=True)
