"""Sealing of streams: whatever the sizes of the pieces, and whatever is done to the sealed bytes."""

import os
from collections.abc import AsyncIterator, Callable

import pytest

from automesh.storage.sealed_stream import CHUNK_BYTES, key_id_of, rewrap_stream, seal_stream, unseal_stream
from automesh.storage.sealing import Keyring, SealBroken, Sealer, UnknownKey

KEYRING = Keyring.generate()
SEALER = Sealer(KEYRING)
AAD = b"blob a"
SEALED_CHUNK = CHUNK_BYTES + 16


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def seal(data: bytes, *, piece: int = 999_983) -> bytes:
    return b"".join([chunk async for chunk in seal_stream(SEALER, pieces(data, piece), AAD)])


async def unseal(sealed: bytes, *, piece: int = 999_983, aad: bytes = AAD, sealer: Sealer = SEALER) -> bytes:
    return b"".join([chunk async for chunk in unseal_stream(sealer, pieces(sealed, piece), aad)])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])
async def test_what_was_sealed_is_unsealed(size: int) -> None:
    data = os.urandom(size)
    assert await unseal(await seal(data)) == data


@pytest.mark.parametrize("piece", [1, 13, 4096])
async def test_the_sizes_of_the_pieces_do_not_matter(piece: int) -> None:
    data = os.urandom(5000)
    assert await unseal(await seal(data, piece=piece), piece=piece) == data


async def test_the_content_is_not_in_the_sealed_stream() -> None:
    assert b"secret" not in await seal(b"secret" * 1000)


async def test_only_one_chunk_is_in_memory_at_a_time() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += CHUNK_BYTES
            yield bytes(CHUNK_BYTES)

    sealed = seal_stream(SEALER, endless(), AAD)
    await anext(sealed)
    for _ in range(3):
        await anext(sealed)
    assert taken <= 5 * CHUNK_BYTES
    await sealed.aclose()  # type: ignore[attr-defined] # it is a generator


def cut_last_byte(sealed: bytes) -> bytes:
    return sealed[:-1]


def cut_last_chunk(sealed: bytes) -> bytes:
    return sealed[: len(sealed) - 16 - 7]


def cut_all_chunks(sealed: bytes) -> bytes:
    return sealed[: len(sealed) - 2 * SEALED_CHUNK - 16 - 7]


def cut_header(sealed: bytes) -> bytes:
    return sealed[:60]


def swap_chunks(sealed: bytes) -> bytes:
    first = len(sealed) - 2 * SEALED_CHUNK - 16 - 7
    second = first + SEALED_CHUNK
    end = second + SEALED_CHUNK
    return sealed[:first] + sealed[second:end] + sealed[first:second] + sealed[end:]


def drop_first_chunk(sealed: bytes) -> bytes:
    first = len(sealed) - 2 * SEALED_CHUNK - 16 - 7
    return sealed[:first] + sealed[first + SEALED_CHUNK :]


def append(sealed: bytes) -> bytes:
    return sealed + b"x"


def double(sealed: bytes) -> bytes:
    return sealed + sealed


def flip_content(sealed: bytes) -> bytes:
    return sealed[:-20] + bytes([sealed[-20] ^ 1]) + sealed[-19:]


def flip_magic(sealed: bytes) -> bytes:
    return b"XMB1" + sealed[4:]


def nothing(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    "harm",
    [cut_last_byte, cut_last_chunk, cut_all_chunks, cut_header, swap_chunks, drop_first_chunk, append, double,
     flip_content, flip_magic, nothing],
)  # fmt: skip
async def test_a_harmed_stream_does_not_unseal(harm: Callable[[bytes], bytes]) -> None:
    sealed = await seal(os.urandom(2 * CHUNK_BYTES + 7))
    with pytest.raises(SealBroken):
        await unseal(harm(sealed))


async def test_no_byte_of_a_small_stream_can_be_altered() -> None:
    sealed = await seal(b"small")
    for at in range(len(sealed)):
        altered = sealed[:at] + bytes([sealed[at] ^ 0x40]) + sealed[at + 1 :]
        with pytest.raises(SealBroken):
            await unseal(altered)


async def test_a_stream_moved_to_another_name_does_not_unseal() -> None:
    with pytest.raises(SealBroken):
        await unseal(await seal(b"x"), aad=b"blob b")


async def test_the_chunks_of_two_streams_cannot_be_mixed() -> None:
    one, two = await seal(bytes(10)), await seal(bytes(10))
    with pytest.raises(SealBroken):
        await unseal(one[:-26] + two[-26:])


async def test_a_rewrapped_stream_needs_the_old_key_no_more_and_its_chunks_are_the_same() -> None:
    sealed, keyring = await seal(b"content"), KEYRING.rotated()
    fresh = b"".join([chunk async for chunk in rewrap_stream(Sealer(keyring), pieces(sealed, 50), AAD)])
    assert (key_id_of(sealed), key_id_of(fresh)) == (KEYRING.active, keyring.active)
    assert fresh[-30:] == sealed[-30:]
    assert await unseal(fresh, sealer=Sealer(keyring.without(KEYRING.active))) == b"content"
    with pytest.raises(UnknownKey):
        await unseal(fresh)


def test_the_key_of_something_else_cannot_be_told() -> None:
    with pytest.raises(SealBroken):
        key_id_of(b"something else")
