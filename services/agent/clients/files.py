"""Carries files between disk and streaming rpcs: in chunks, checked by digest, tried again when a service is away."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

import structlog

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError, Kind, Unavailable
from automesh.mesh.errors import translating_errors
from automesh.mesh.replies import reply_of
from automesh.sdk import RetryableError
from services.agent.domain.files import FileDamaged, FileInfo, FileMissing

CHUNK_BYTES = 512 * 1024  # the contracts allow 1 MiB
TRY_FOR_S = 60.0  # a service that starts again is back well before
CALL_LIMIT_S = 30.0
STREAM_LIMIT_S = 3600.0  # for one file
_PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.DEADLINE})

T = TypeVar("T")
log = structlog.get_logger(__name__)


async def retried(step: Callable[[], Awaitable[T]], *, for_s: float = TRY_FOR_S) -> T:
    """The outcome of `step`, which must be safe to repeat; a service that is away is asked again for so long."""
    backoff = Backoff(first_s=0.2, most_s=5.0)
    give_up = time.monotonic() + for_s
    while True:
        try:
            with translating_errors():
                return await step()
        except AutomationError as error:
            if error.kind not in _PASSING or time.monotonic() >= give_up:
                raise
            log.info("a call is tried again", reason=error.reason, why=error.message)
        await asyncio.sleep(backoff.next_s())


async def receive(chunks: AsyncIterator[bytes], target: Path, expected: FileInfo) -> None:
    """Writes what arrives to `target`, which is there only once it is whole. Raises FileDamaged for anything else than
    what is `expected`."""
    partial = target.with_name(f"{target.name}.partial")
    digest, size = hashlib.sha256(), 0
    try:
        with _written(partial) as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > expected.size:
                    break
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if size != expected.size or digest.hexdigest() != expected.sha256.lower():
            raise FileDamaged(f"{expected.name} arrived damaged: {size} of {expected.size} bytes", name=expected.name)
        os.replace(partial, target)
    except OSError as error:
        raise RetryableError("FILE_NOT_WRITTEN", f"cannot write {target.name}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


class Outgoing:
    """The messages of one upload: `header`, then the file in chunks. Open as long as the block; knows what it sent."""

    def __init__(self, path: Path, name: str, header: Any, wrap: Callable[[bytes], Any]) -> None:
        self._path, self._name = path, name
        self._header, self._wrap = header, wrap
        self._digest, self._size = hashlib.sha256(), 0

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise FileMissing(f"cannot read {self._name}: {error.strerror}", name=self._name) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def sent(self) -> FileInfo:
        """What was sent so far."""
        return FileInfo(self._name, self._size, self._digest.hexdigest())

    async def messages(self) -> AsyncIterator[Any]:
        """To be iterated once."""
        yield self._header
        while chunk := await asyncio.to_thread(self._file.read, CHUNK_BYTES):
            self._digest.update(chunk)
            self._size += len(chunk)
            yield self._wrap(chunk)


async def send(
    call: Callable[..., Any], outgoing: Callable[[], Outgoing], stored: Callable[[Any], FileInfo]
) -> FileInfo:
    """Uploads a file, again while the service is away. Raises FileMissing when there is none."""

    async def once() -> FileInfo:
        with outgoing() as parts:
            try:
                answer = await reply_of(call(parts.messages(), timeout=STREAM_LIMIT_S))
            except asyncio.CancelledError:
                # grpc.aio says it so when the other side cancelled, or when the file could not be read.
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise Unavailable(f"the upload of {parts.sent.name} was cut off") from None
            if stored(answer) != parts.sent:
                raise FileDamaged(f"{parts.sent.name} was stored damaged", name=parts.sent.name)
            return parts.sent

    return await retried(once)


def _written(path: Path) -> BinaryIO:
    # Not in a thread: cancelled meanwhile, nobody would close it.
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")
