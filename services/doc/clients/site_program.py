"""Has sites built by the program `services.doc.builder`, in a folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from services.doc.domain.publishing.errors import BuildFailed
from services.doc.domain.publishing.ports import Built, Progress, Read
from services.doc.domain.publishing.site import ReleaseFile

log = structlog.get_logger(__name__)

PROGRAM = "services.doc.builder"
JOB, PAGES, OUT, RESULT = "job.json", "pages", "out", "result.json"
"""As the program's own job.py has them: the folder is all that the two share."""
_CHUNK = 256 * 1024
_MOST_SAID = 64 * 1024
_SAID_AT_THE_END = 2000


class SiteProgram:
    """A services.doc.domain.publishing.ports.SiteBuilder. `scratch` holds plain texts while a build lasts."""

    def __init__(self, scratch: Path, *, limit_s: float, memory: int, python: str = sys.executable) -> None:
        self._scratch, self._limit_s, self._memory, self._python = scratch, limit_s, memory, python

    def clear(self) -> None:
        """Removes what processes that were killed have left; a folder in which another builds stays."""
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in self._scratch.iterdir():
            if (held := _hold(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)

    @asynccontextmanager
    async def build(
        self,
        job: dict[str, object],
        texts: AsyncIterable[Sequence[str]],
        tell: Callable[[Progress], Awaitable[None]],
    ) -> AsyncGenerator[tuple[Built, Read]]:
        """The program is killed when the block is left early."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._scratch))
        held = _hold(folder)
        try:
            await asyncio.to_thread(_lay_down, folder, job)
            number = 0
            async for lot in texts:
                await asyncio.to_thread(_write, folder, lot, number)
                number += len(lot)
            await self._run(folder, tell)
            built = await asyncio.to_thread(_result, folder)
            yield built, lambda file: _read(folder / OUT / file.sha256)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
            if held is not None:
                os.close(held)

    async def _run(self, folder: Path, tell: Callable[[Progress], Awaitable[None]]) -> None:
        process = await asyncio.create_subprocess_exec(
            self._python, "-m", PROGRAM, str(folder), str(self._memory),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=_MOST_SAID, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 # pipes, see above
        errors = asyncio.create_task(_last_of(process.stderr))
        try:
            async with asyncio.timeout(self._limit_s):
                async for progress in _told(process.stdout):
                    await tell(progress)
                await process.wait()
        except TimeoutError:
            raise BuildFailed(f"building took more than {self._limit_s:g} s: divide the space") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            said = await errors
        if process.returncode != 0:
            log.error("the site builder failed", code=process.returncode, said=said)
            raise BuildFailed(f"{_why(said)}: publish again, and tell the operator if that does not help")


def _hold(folder: Path) -> int | None:
    """Shows other processes that the folder is in use, until it is closed or this process ends; None: it is in use."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _why(said: str) -> str:
    # Python says the one, what is written in Rust the other
    if "MemoryError" in said or "memory allocation" in said:
        return "there was not enough memory for it"
    return "the program that builds sites died"


def _lay_down(folder: Path, job: dict[str, object]) -> None:
    (folder / PAGES).mkdir()
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")


def _write(folder: Path, texts: Sequence[str], first: int) -> None:
    for number, text in enumerate(texts, start=first):
        (folder / PAGES / str(number)).write_text(text, encoding="utf-8", newline="")


async def _told(stream: asyncio.StreamReader) -> AsyncIterator[Progress]:
    while line := await stream.readline():
        with suppress(ValueError, KeyError, TypeError):
            said = json.loads(line)
            yield Progress(str(said["step"])[:200], min(1.0, max(0.0, float(said["fraction"]))))


async def _last_of(stream: asyncio.StreamReader) -> str:
    end = b""
    while chunk := await stream.read(_MOST_SAID):
        end = (end + chunk)[-_SAID_AT_THE_END:]
    return end.decode("utf-8", "replace")


def _result(folder: Path) -> Built:
    told: dict[str, Any] = json.loads((folder / RESULT).read_bytes())
    return Built(
        digest=told["digest"],
        pages=told["pages"],
        files=[ReleaseFile(**each) for each in told["files"]],
        checks=told["checks"],
        failure=told["failure"],
    )


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
