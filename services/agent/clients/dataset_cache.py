"""Versions of datasets kept on this machine, shared by its agents; those that nobody used for longest go first.

A version is known by the SHA-256 of its manifest. Every use asks the data service first whether the lease may read it.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import structlog

from automesh.sdk import RetryableError
from services.agent.clients.sandbox import scratch

MANIFEST = "manifest.json"
PARTIAL = "partial-"
ABANDONED_AFTER_S = 24 * 3600.0

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """What the cache needs of the data service."""

    async def manifest(self, lease_token: bytes, data_id: str, version: int) -> bytes: ...
    async def read(self, lease_token: bytes, data_id: str, version: int, folder: Path) -> None: ...


class DatasetCache:
    """Below `folder`; at most `max_bytes` of what is not in use."""

    def __init__(self, folder: Path, reader: Reader, *, max_bytes: int) -> None:
        self._folder = folder
        self._reader = reader
        self._max_bytes = max_bytes
        self._fetching: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def version(self, lease_token: bytes, data_id: str, version: int) -> AsyncGenerator[Path]:
        """A folder with manifest.json and the files, to be read only, for the time of the block."""
        manifest = await self._reader.manifest(lease_token, data_id, version)
        key = hashlib.sha256(manifest).hexdigest()
        lock = await asyncio.to_thread(self._locked, key)
        try:
            entry = self._folder / key
            async with self._fetching.setdefault(key, asyncio.Lock()):
                if not entry.is_dir():
                    await self._fetch(lease_token, data_id, version, entry)
            self._fetching.pop(key, None)
            os.utime(entry)
            yield entry
        finally:
            os.close(lock)
            await asyncio.shield(asyncio.to_thread(self._trim))

    async def _fetch(self, lease_token: bytes, data_id: str, version: int, entry: Path) -> None:
        partial = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._folder, prefix=PARTIAL))
        try:
            await self._reader.read(lease_token, data_id, version, partial)
            if await asyncio.to_thread(_digest, partial / MANIFEST) != entry.name:
                raise RetryableError("DATASET_CHANGED", f"{data_id} got another version while it was read")
            await asyncio.to_thread(_rename, partial, entry)
        except OSError as error:
            raise RetryableError("FILE_NOT_WRITTEN", f"cannot keep {data_id}: {error.strerror}") from error
        finally:
            await asyncio.shield(asyncio.to_thread(scratch.remove, partial))

    def _locked(self, key: str) -> int:
        """Held shared by whoever uses the version, alone by whoever removes it."""
        self._folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        path = self._folder / f"{key}.lock"
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is(lock, path):
                return lock
            os.close(lock)  # it was removed with its version meanwhile

    def _trim(self) -> None:
        """Removes what is too much and not in use, and what a killed agent had not finished."""
        kept = []
        for path in self._folder.iterdir():
            with suppress(OSError):
                changed = path.stat().st_mtime
                if path.name.startswith(PARTIAL):
                    if changed < time.time() - ABANDONED_AFTER_S:
                        scratch.remove(path)
                elif path.is_dir():
                    kept.append((changed, _size(path), path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._max_bytes:
                return
            if self._removed(path):
                total -= size

    def _removed(self, entry: Path) -> bool:
        lock_path = entry.with_name(f"{entry.name}.lock")
        with suppress(OSError):
            lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not while somebody uses it
                if _is(lock, lock_path):
                    log.info("a dataset leaves the cache", key=entry.name)
                    scratch.remove(entry)
                    lock_path.unlink()
                    return True
            finally:
                os.close(lock)
        return False


def _rename(partial: Path, entry: Path) -> None:
    try:
        partial.rename(entry)
    except OSError:
        if not entry.is_dir():  # else another agent of this machine was faster
            raise


def _is(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
