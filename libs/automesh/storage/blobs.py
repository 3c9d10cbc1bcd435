"""Blobs: big things by name, encrypted by us, in a local folder or in any object store that obstore knows."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from automesh.core.errors import NotFound, Unavailable, ValidationError
from automesh.storage.sealed_stream import CHUNK_BYTES, rewrap_stream, seal_stream, unseal_stream
from automesh.storage.sealing import Sealer, place

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_NAME = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9_.=-]{0,127}(/[A-Za-z0-9_=-][A-Za-z0-9_.=-]{0,127}){0,15}")
_PART_BYTES = 5 * 1024 * 1024  # the least that S3 takes
_PARTS_AT_ONCE = 2
_LEFTOVER = re.compile(r".*#\d+")  # how a local object store names an upload that is under way
_LEFTOVER_AGE_S = 24 * 3600.0


class BlobNotFound(NotFound):
    """There is no blob of that name."""

    reason = "BLOB_NOT_FOUND"


class BlobStoreUnavailable(Unavailable):
    """The place of the blobs cannot be reached, or is full."""

    reason = "BLOB_STORE_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What was stored: bytes and SHA-256 (hex) of the plaintext."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """One line of a list: the size is that of the sealed bytes, a little more than the plaintext's."""

    name: str
    stored_bytes: int
    modified_at: datetime


class BlobStore(Protocol):
    """Blobs by name.

    A name is a path of at most 16 parts such as `artifact/default/art_01jd…`: ASCII letters, digits, `_`, `=`, `-`
    and inner dots. Names that people gave belong in a table, not here.
    """

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> BlobInfo:
        """Stores all of `chunks`, or nothing when they raise or the caller is cancelled. Replaces what was there."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """The content in chunks of at most 1 MiB. At the first step raises BlobNotFound; at any step SealBroken."""
        ...

    async def delete(self, name: str) -> None:
        """Removes a blob; one that is not there is no error."""
        ...

    def list(self, prefix: str = "") -> AsyncIterator[BlobEntry]:
        """All blobs below the folder `prefix` ("" = all), in no order."""
        ...


class EncryptedBlobStore:
    """A BlobStore over obstore. The blob's name is authenticated: a blob copied over another does not unseal."""

    def __init__(self, store: ObjectStore, sealer: Sealer, *, folder: Path | None = None) -> None:
        self._store = store
        self._sealer = sealer
        self._folder = folder  # set where the store is a local folder: then we see to its durability

    @classmethod
    def open(cls, url: str | Path, sealer: Sealer) -> Self:
        """On a local folder (made if absent, 0700), or on a URL such as s3://bucket/prefix. Raises ValidationError."""
        if isinstance(url, Path) or "://" not in url:
            folder = Path(url).absolute()
            with _translating("the blob folder"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _remove_leftovers(folder)
            return cls(LocalStore(folder), sealer, folder=folder)
        try:
            return cls(from_url(url), sealer)
        except (BaseError, ValueError) as error:
            raise ValidationError(f"{url} is not the URL of an object store: {error}", field="blob_url") from error

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> BlobInfo:
        source = _Measured(chunks)
        await self._write(check_name(name), seal_stream(self._sealer, source, _aad(name)))
        return source.info()

    async def get(self, name: str) -> AsyncIterator[bytes]:
        sealed = self._read(check_name(name))
        async for chunk in unseal_stream(self._sealer, sealed, _aad(name)):
            yield chunk

    async def delete(self, name: str) -> None:
        with _translating(check_name(name)), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, name)

    async def list(self, prefix: str = "") -> AsyncIterator[BlobEntry]:
        pages = obstore.list(self._store, check_name(prefix) if prefix else None)
        while True:
            with _translating(prefix or "the blob store"):
                page = await anext(pages, None)
            if page is None:
                return
            for meta in page:
                yield BlobEntry(meta["path"], meta["size"], meta["last_modified"])

    async def rewrap(self, name: str) -> None:
        """Puts the blob's data key under the keyring's active key, without touching what it encrypts."""
        await self._write(name, rewrap_stream(self._sealer, self._read(check_name(name)), _aad(name)))

    async def _write(self, name: str, sealed: AsyncIterator[bytes]) -> None:
        source = _Watched(sealed)
        with _translating(name):
            try:
                await obstore.put_async(
                    self._store, name, source, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
                )
            except BaseError:
                if source.error is not None:
                    raise source.error from None  # obstore hides the caller's error in its own
                raise
            if self._folder is not None:
                await asyncio.to_thread(_flush, self._folder / name)

    async def _read(self, name: str) -> AsyncIterator[bytes]:
        with _translating(name):
            found = await obstore.get_async(self._store, name)
            stream = found.stream(min_chunk_size=CHUNK_BYTES)
        while True:
            with _translating(name):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield chunk


def check_name(name: str) -> str:
    """The name itself. Raises ValidationError for anything that is not a plain relative path."""
    if not _NAME.fullmatch(name) or any(part.endswith(".") for part in name.split("/")):
        raise ValidationError(
            f"{name[:80]!r} is not a blob name: parts of letters, digits, '_', '=', '-' and inner dots, joined by '/'",
            field="name",
        )
    return name


class _Measured:
    """Counts and hashes what passes."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self._size = 0
        self._digest = hashlib.sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._size += len(chunk)
            self._digest.update(chunk)
            yield chunk

    def info(self) -> BlobInfo:
        return BlobInfo(self._size, self._digest.hexdigest())


class _Watched:
    """Keeps the error that ended what passes."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except Exception as error:
            self.error = error
            raise


def _aad(name: str) -> bytes:
    return place("blob", name)


@contextmanager
def _translating(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BlobNotFound(f"there is no blob {name}", name=name) from error
    except (BaseError, OSError) as error:
        full = ": its disk is full" if "No space left" in str(error) else ""
        raise BlobStoreUnavailable(f"the blob store failed at {name}{full}", name=name) from error


def _flush(path: Path) -> None:
    """The local store renames without flushing: only after this would a power cut leave the blob whole."""
    for target in (path, path.parent):
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """Uploads that a crash cut short: never visible as blobs, but they take up the disk."""
    for path in folder.rglob("*#*"):
        with suppress(OSError):
            if _LEFTOVER.fullmatch(path.name) and path.stat().st_mtime < time.time() - _LEFTOVER_AGE_S:
                path.unlink()
