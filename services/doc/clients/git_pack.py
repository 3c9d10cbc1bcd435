"""The pack of a git bundle, read with every size known before anything is unpacked."""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.doc.clients.archive_limits import Meter
from services.doc.clients.scratch import SealedScratch
from services.doc.domain.transfer.errors import ArchiveRefused

COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
MAX_OBJECTS = 1_000_000
_PIECE = 64 * 1024
_CACHE_BYTES, _STACK_BYTES = 32 * 1024 * 1024, 256 * 1024 * 1024
_TRAILER = 20
_MAX_SHIFT = 60
_LONGEST_CHAIN = 32
"""Deltas one after the other that it takes to read an object; of longer chains some in between are kept whole."""
_MAKE = "make it with `git bundle create FILE --all`"


@dataclass(frozen=True, slots=True)
class _Packed:
    """Where an object begins to be compressed, its size then, and what it is a delta of."""

    kind: int
    size: int
    data_at: int
    base_at: int = -1
    base_id: bytes = b""


class Pack:
    """Objects by their ids (20 bytes)."""

    def __init__(self, scratch: SealedScratch, start: int, meter: Meter) -> None:
        self._scratch, self._start, self._meter = scratch, start, meter
        self._packed: dict[int, _Packed] = {}
        self._places: dict[bytes, int] = {}
        self._cache: OrderedDict[int, tuple[int, bytes]] = OrderedDict()
        self._cached = 0

    def __contains__(self, object_id: bytes) -> bool:
        return object_id in self._places

    def open(self) -> None:
        """Reads all of it once. Raises ArchiveRefused."""
        head = self._scratch.read_at(self._start, 12)
        version, count = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        if head[:4] != b"PACK" or version not in {2, 3}:
            raise ArchiveRefused(f"the git bundle has no pack: {_MAKE}")
        if count > MAX_OBJECTS:
            raise ArchiveRefused(f"the git bundle has {count} objects; at most {MAX_OBJECTS} are taken")
        self._check_sum()
        at = self._start + len(head)
        for _ in range(count):
            at = self._index(at)
        self._resolve()

    def read(self, object_id: bytes) -> tuple[int, bytes]:
        """Kind and content. Raises ArchiveRefused when it is not there."""
        at = self._places.get(object_id)
        if at is None:
            raise ArchiveRefused(f"the git bundle lacks the object {object_id.hex()}: {_MAKE}")
        return self._content(at)

    def size(self, object_id: bytes) -> int:
        """Of the content."""
        return len(self.read(object_id)[1])

    def _content(self, at: int) -> tuple[int, bytes]:
        if at in self._cache:
            self._cache.move_to_end(at)
            return self._cache[at]
        chain = []
        while self._packed[at].kind in {OFS_DELTA, REF_DELTA} and at not in self._cache:
            chain.append(at)
            at = self._base(self._packed[at])
        kind, content = self._cache.get(at) or (self._packed[at].kind, self._inflated(self._packed[at]))
        self._remember(at, kind, content)
        for step in reversed(chain):
            content = self._applied(content, self._inflated(self._packed[step]))
            self._remember(step, kind, content)
        return kind, content

    def _remember(self, at: int, kind: int, content: bytes) -> None:
        if at in self._cache or len(content) > _CACHE_BYTES // 4:
            return
        self._cache[at] = kind, content
        self._cached += len(content)
        while self._cached > _CACHE_BYTES:
            self._cached -= len(self._cache.popitem(last=False)[1][1])

    def _base(self, packed: _Packed) -> int:
        at = packed.base_at if packed.base_at >= 0 else self._places.get(packed.base_id, -1)
        if at not in self._packed:
            raise ArchiveRefused(f"the git bundle builds on objects that it lacks: {_MAKE}")
        return at

    def _check_sum(self) -> None:
        digest, at, end = hashlib.sha1(usedforsecurity=False), self._start, self._scratch.size - _TRAILER
        while at < end:
            piece = self._scratch.read_at(at, min(_PIECE * 16, end - at))
            digest.update(piece)
            at += len(piece)
        if self._scratch.read_at(max(end, 0), _TRAILER) != digest.digest():
            raise ArchiveRefused("the git bundle is broken or cut: make and send it again")

    def _index(self, at: int) -> int:
        """Notes the object at a place; where the next one begins."""
        header = self._scratch.read_at(at, 64)
        kind, size, length = _object_header(header)
        base_at, base_id = -1, b""
        if kind == OFS_DELTA:
            distance, length = _offset(header, length)
            base_at = at - distance
        elif kind == REF_DELTA:
            base_id, length = header[length : length + 20], length + 20
        elif kind not in NAMES:
            raise ArchiveRefused(f"the git bundle has an object of the unknown kind {kind}")
        self._check_size(size)
        self._packed[at] = packed = _Packed(kind, size, at + length, base_at, base_id)
        content, end = self._inflate(packed)
        if kind in NAMES:
            self._places[_id(kind, content)] = at
        return end

    def _resolve(self) -> None:
        """Finds out the ids of all that is kept as deltas."""
        by_place: dict[int, list[int]] = defaultdict(list)
        by_id: dict[bytes, list[int]] = defaultdict(list)
        for at, packed in self._packed.items():
            if packed.kind == OFS_DELTA:
                by_place[packed.base_at].append(at)
            elif packed.kind == REF_DELTA:
                by_id[packed.base_id].append(at)
        for object_id, at in list(self._places.items()):
            if at in by_place or object_id in by_id:
                kind, content = self._content(at)
                self._descend(kind, [(at, object_id, content, 0)], by_place, by_id)

    def _descend(
        self,
        kind: int,
        stack: list[tuple[int, bytes, bytes, int]],
        by_place: dict[int, list[int]],
        by_id: dict[bytes, list[int]],
    ) -> None:
        held = len(stack[0][2])
        while stack:
            at, object_id, content, deltas = stack.pop()
            held -= len(content)
            for child in (*by_place.pop(at, ()), *by_id.pop(object_id, ())):
                made = self._applied(content, self._inflated(self._packed[child]))
                child_id = _id(kind, made)
                self._places.setdefault(child_id, child)
                self._meter.bytes(len(made))
                held += len(made)
                if held > _STACK_BYTES:
                    raise ArchiveRefused(
                        "the git bundle needs too much memory to be unpacked: repack it with less depth"
                    )
                stack.append((child, child_id, made, (deltas + 1) % _LONGEST_CHAIN))
                if deltas + 1 == _LONGEST_CHAIN:
                    self._keep_whole(child, kind, made)

    def _keep_whole(self, at: int, kind: int, content: bytes) -> None:
        self._packed[at] = _Packed(kind, len(content), self._scratch.size)
        self._scratch.append(zlib.compress(content, 1))

    def _applied(self, base: bytes, delta: bytes) -> bytes:
        from dulwich.pack import apply_delta  # noqa: PLC0415 - only those who import git need it

        self._check_size(_varint(delta, _varint(delta, 0)[1])[0])
        with refusing_broken():
            return b"".join(apply_delta(base, delta))

    def _inflated(self, packed: _Packed) -> bytes:
        return self._inflate(packed, count=False)[0]

    def _inflate(self, packed: _Packed, *, count: bool = True) -> tuple[bytes, int]:
        """Content, and where its compressed bytes end. It never becomes larger than it says."""
        inflater, out, at = zlib.decompressobj(), bytearray(), packed.data_at
        while not inflater.eof:
            piece = inflater.unconsumed_tail or self._scratch.read_at(at, _PIECE)
            if not piece:
                raise ArchiveRefused("the git bundle is cut: make and send it again")
            at += 0 if inflater.unconsumed_tail else len(piece)
            try:
                out += inflater.decompress(piece, packed.size - len(out) + 1)
            except zlib.error as error:
                raise ArchiveRefused(f"the git bundle is broken ({error}): make and send it again") from error
            if len(out) > packed.size:
                raise ArchiveRefused("the git bundle is broken: an object is larger than it says")
        if len(out) != packed.size:
            raise ArchiveRefused("the git bundle is broken: an object is smaller than it says")
        self._meter.bytes(len(out) if count else 0)
        return bytes(out), at - len(inflater.unused_data)

    def _check_size(self, size: int) -> None:
        if size > self._meter.limits.max_file:
            raise ArchiveRefused(
                f"the git bundle holds a file of {size} bytes; at most {self._meter.limits.max_file} are taken: keep "
                "it elsewhere"
            )


@contextmanager
def refusing_broken() -> Iterator[None]:
    """Whatever dulwich raises for what it cannot read."""
    try:
        yield
    except Exception as error:
        raise ArchiveRefused(f"the git bundle is broken ({error}): make and send it again") from error


def _id(kind: int, content: bytes) -> bytes:
    head = b"%s %d\x00" % (NAMES[kind], len(content))
    return hashlib.sha1(head + content, usedforsecurity=False).digest()


def _object_header(data: bytes) -> tuple[int, int, int]:
    """Kind, size, and how long the header is."""
    if not data:
        raise ArchiveRefused("the git bundle is cut: make and send it again")
    kind, size, shift, at = data[0] >> 4 & 7, data[0] & 15, 4, 1
    while data[at - 1] & 0x80:
        if at >= len(data) or shift > _MAX_SHIFT:
            raise ArchiveRefused("the git bundle is broken: make and send it again")
        size |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return kind, size, at


def _offset(data: bytes, at: int) -> tuple[int, int]:
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        if at >= len(data):
            raise ArchiveRefused("the git bundle is broken: make and send it again")
        value = (value + 1) << 7 | data[at] & 0x7F
    return value, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > _MAX_SHIFT:
            raise ArchiveRefused("the git bundle is broken: make and send it again")
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at
