"""Sealing of streams, so that a big blob is never in memory: the STREAM construction over AES-256-GCM.

A sealed stream is

    magic "AMB1" | length of wrapped key (2) | wrapped key | nonce prefix (7) | sealed chunks

The data key is random and wrapped by `Sealer.seal`. Each chunk holds 1 MiB of plaintext, the last one at most that. Its
nonce is prefix | counter (4) | last (1): a chunk that is altered, moved, doubled or missing does not unseal, nor does a
stream cut between two chunks.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable, AsyncIterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from automesh.storage.sealing import SealBroken, Sealer

CHUNK_BYTES = 1024 * 1024

_MAGIC = b"AMB1"
_KEY_BITS = 256
_LENGTH_BYTES = 2
_PREFIX_BYTES = 7
_COUNTER_BYTES = 4
_TAG_BYTES = 16
_KEY_PLACE = b"automesh stream key\0"


async def seal_stream(sealer: Sealer, chunks: AsyncIterable[bytes], aad: bytes) -> AsyncIterator[bytes]:
    """Encrypts chunks of any sizes; what comes out is bound to `aad`."""
    key, prefix = AESGCM.generate_key(_KEY_BITS), secrets.token_bytes(_PREFIX_BYTES)
    cipher, source, counter = AESGCM(key), _Reader(chunks), 0
    yield _header(sealer, key, aad) + prefix
    while True:
        plaintext = await source.take(CHUNK_BYTES)
        last = await source.at_end()
        yield cipher.encrypt(_nonce(prefix, counter, last=last), plaintext, aad)
        if last:
            return
        counter += 1


async def unseal_stream(sealer: Sealer, chunks: AsyncIterable[bytes], aad: bytes) -> AsyncIterator[bytes]:
    """Decrypts what `seal_stream` made; each chunk is checked before it is given out.

    Raises SealBroken, perhaps after some chunks: only a stream that ends by itself is whole.
    """
    source, counter = _Reader(chunks), 0
    cipher = AESGCM(await _read_key(sealer, source, aad))
    prefix = await source.exactly(_PREFIX_BYTES)
    while True:
        sealed = await source.take(CHUNK_BYTES + _TAG_BYTES)
        last = await source.at_end()
        try:
            plaintext = cipher.decrypt(_nonce(prefix, counter, last=last), sealed, aad)
        except (InvalidTag, ValueError):  # ValueError: shorter than a tag
            raise SealBroken("a sealed stream was altered or cut, or belongs to another place") from None
        if plaintext:
            yield plaintext
        if last:
            return
        counter += 1


async def rewrap_stream(sealer: Sealer, chunks: AsyncIterable[bytes], aad: bytes) -> AsyncIterator[bytes]:
    """The same stream with its data key under the active key; the chunks themselves pass through unread."""
    source = _Reader(chunks)
    yield _header(sealer, await _read_key(sealer, source, aad), aad)
    while data := await source.take(CHUNK_BYTES):
        yield data


def key_id_of(start: bytes) -> str:
    """The id of the keyring key that a sealed stream needs, out of its first 256 bytes or more."""
    at = len(_MAGIC) + _LENGTH_BYTES
    if not start.startswith(_MAGIC):
        raise SealBroken("this is no sealed stream")
    return Sealer.key_id(start[at : at + int.from_bytes(start[len(_MAGIC) : at], "big")])


def _header(sealer: Sealer, key: bytes, aad: bytes) -> bytes:
    wrapped = sealer.seal(key, _KEY_PLACE + aad)
    return _MAGIC + len(wrapped).to_bytes(_LENGTH_BYTES, "big") + wrapped


async def _read_key(sealer: Sealer, source: _Reader, aad: bytes) -> bytes:
    if await source.take(len(_MAGIC)) != _MAGIC:
        raise SealBroken("this is no sealed stream, or it was cut")
    length = int.from_bytes(await source.exactly(_LENGTH_BYTES), "big")
    return sealer.unseal(await source.exactly(length), _KEY_PLACE + aad)


def _nonce(prefix: bytes, counter: int, *, last: bool) -> bytes:
    return prefix + counter.to_bytes(_COUNTER_BYTES, "big") + bytes([last])  # OverflowError beyond 4 PiB


class _Reader:
    """Reads given numbers of bytes out of chunks of any sizes."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(chunks)
        self._buffer = bytearray()
        self._ended = False

    async def take(self, size: int) -> bytes:
        """`size` bytes, or what is left."""
        await self._fill(size)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def exactly(self, size: int) -> bytes:
        taken = await self.take(size)
        if len(taken) < size:
            raise SealBroken("a sealed stream was cut")
        return taken

    async def at_end(self) -> bool:
        await self._fill(1)
        return not self._buffer

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size and not self._ended:
            try:
                self._buffer += await anext(self._chunks)
            except StopAsyncIteration:
                self._ended = True
