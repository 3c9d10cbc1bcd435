"""Archives that would take hours or gigabytes to look at: refused before they do."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from dulwich.pack import apply_delta

from services.doc.clients.archive_limits import ArchiveLimits, Meter
from services.doc.clients.git_pack import BLOB, COMMIT, NAMES, REF_DELTA, TAG, TREE
from services.doc.clients.scratch import SealedScratch
from services.doc.clients.sources import _opened
from services.doc.domain.transfer.arrival import Step
from services.doc.domain.transfer.errors import ArchiveRefused
from services.doc.domain.transfer.ports import Source

MIB = 1024 * 1024
LIMITS = ArchiveLimits(max_unpacked=64 * MIB, max_file=4 * MIB, max_entries=1000)
FOLDER, FILE = 0o040000, 0o100644


@pytest.fixture
def scratch() -> Iterator[SealedScratch]:
    scratch = SealedScratch(Path(tempfile.gettempdir()))
    yield scratch
    scratch.close()


def opened(scratch: SealedScratch, content: bytes, limits: ArchiveLimits = LIMITS) -> Source:
    scratch.append(content)
    return _opened(scratch, Meter(limits, scratch.size), "")


async def steps_of(source: Source) -> Sequence[Step]:
    return [step async for step in source.steps("")]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_compression_cannot_be_bounded_is_refused(scratch: SealedScratch, method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("a.md", b"x")
    with pytest.raises(ArchiveRefused, match="plain zip"):
        opened(scratch, out.getvalue())


def test_a_zip_with_far_too_many_entries_is_refused_before_they_are_in_memory(
    scratch: SealedScratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.md", b"x")
    whole = out.getvalue()
    directory, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    entry, many = whole[directory:end], 2000
    tail = whole[end : end + 12] + (len(entry) * many).to_bytes(4, "little") + whole[end + 16 :]
    monkeypatch.delattr("zipfile.ZipFile")  # it would read all of them
    with pytest.raises(ArchiveRefused, match="more than 1000 entries"):
        opened(scratch, whole[:directory] + entry * many + tail)


@pytest.mark.parametrize("kind", ["zip", "zip64", "tar"])
def test_folders_count_as_entries_too(scratch: SealedScratch, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    if kind == "zip64":
        monkeypatch.setattr("zipfile.ZIP_FILECOUNT_LIMIT", 100)
    if kind != "tar":
        with zipfile.ZipFile(out, "w") as archive:
            for at in range(1001):
                archive.writestr(f"{at}/", b"")
    else:
        with tarfile.open(fileobj=out, mode="w") as archive:
            for at in range(1001):
                folder = tarfile.TarInfo(f"{at}")
                folder.type = tarfile.DIRTYPE
                archive.addfile(folder)
    with pytest.raises(ArchiveRefused, match="more than 1000 entries"):
        opened(scratch, out.getvalue())


async def test_a_name_of_a_million_characters_is_cut_and_told_of(scratch: SealedScratch) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a" * 900_000 + ".md"))
        archive.addfile(tarfile.TarInfo("b.md"))
    [step] = await steps_of(opened(scratch, out.getvalue()))
    assert [each.path for each in step.arrivals] == ["b.md"]
    [problem] = step.problems
    assert len(problem.path) < 1000
    assert "900003 characters" in problem.message


def test_a_header_of_nothing_but_digits_takes_no_time(scratch: SealedScratch) -> None:
    body = b"9" * 100_000
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(body)
    content = header.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)
    began = time.process_time()
    with pytest.raises(ArchiveRefused, match="broken"):
        opened(scratch, content + tarfile.TarInfo("a.md").tobuf() + bytes(1024))
    assert time.process_time() - began < 1.5  # it took ten; a million digits took a quarter of an hour


def object_id(kind: int, content: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\x00" % (NAMES[kind], len(content)) + content, usedforsecurity=False).digest()


def packed(kind: int, content: bytes, base: bytes = b"") -> bytes:
    first, rest = kind << 4 | len(content) & 15, len(content) >> 4
    out = bytearray()
    while rest:
        out.append(first | 0x80)
        first, rest = rest & 0x7F, rest >> 7
    out.append(first)
    return bytes(out) + base + zlib.compress(content)


class Bundle:
    """A git bundle, object by object."""

    def __init__(self) -> None:
        self._objects: list[bytes] = []

    def add(self, kind: int, content: bytes) -> bytes:
        """Its id."""
        self._objects.append(packed(kind, content))
        return object_id(kind, content)

    def tree(self, *entries: tuple[int, str, bytes]) -> bytes:
        return self.add(TREE, b"".join(b"%o %s\x00%s" % (mode, name.encode(), at) for mode, name, at in entries))

    def commit(self, tree: bytes) -> bytes:
        person = b"Ann <ann@example.org> 1700000000 +0000"
        return self.add(COMMIT, b"tree %s\nauthor %s\ncommitter %s\n\nm\n" % (tree.hex().encode(), person, person))

    def delta(self, base: bytes, new_head: bytes) -> bytes:
        """A blob that is the base with another head of equal length; its content."""
        size, at = len(base), len(new_head)
        sizes = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) * 2
        rest = (size - at).to_bytes(3, "little")
        self._objects.append(
            packed(REF_DELTA, sizes + bytes([at]) + new_head + b"\xf1" + bytes([at]) + rest, object_id(BLOB, base))
        )
        return new_head + base[at:]

    def made(self, head: bytes) -> bytes:
        pack = b"PACK" + (2).to_bytes(4, "big") + len(self._objects).to_bytes(4, "big") + b"".join(self._objects)
        checksum = hashlib.sha1(pack, usedforsecurity=False).digest()
        return b"# v2 git bundle\n%s HEAD\n\n" % head.hex().encode() + pack + checksum


async def test_a_git_repository_of_empty_folders_within_folders_is_refused(scratch: SealedScratch) -> None:
    bundle = Bundle()
    tree = bundle.tree()
    for _ in range(20):
        tree = bundle.tree(*((FOLDER, f"d{at}", tree) for at in range(8)))
    with pytest.raises(ArchiveRefused, match="more than 1000 files and folders"):
        await steps_of(opened(scratch, bundle.made(bundle.commit(tree))))


async def test_git_objects_at_the_end_of_long_chains_are_read_in_few_steps(
    scratch: SealedScratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied = 0

    def counting(base: bytes, delta: bytes) -> list[bytes]:
        nonlocal applied
        applied += 1
        return apply_delta(base, delta)

    monkeypatch.setattr("dulwich.pack.apply_delta", counting)
    monkeypatch.setattr("services.doc.clients.git_pack._CACHE_BYTES", 0)  # as with objects that fill it
    bundle, content = Bundle(), bytes(range(256)) * 2
    bundle.add(BLOB, content)
    ids = []
    for at in range(300):
        content = bundle.delta(content, at.to_bytes(4, "big"))
        ids.append(object_id(BLOB, content))
    shuffled = sorted(ids)  # by their hashes: no order that a cache could use
    tree = bundle.tree(*((FILE, f"{at:04}.md", each) for at, each in enumerate(shuffled)))
    source = opened(scratch, bundle.made(bundle.commit(tree)))
    steps = await steps_of(source)
    for arrival in steps[0].arrivals:
        [body] = await source.contents([arrival])
        assert hashlib.sha256(body).hexdigest() == arrival.sha256
    assert len(steps[0].arrivals) == 300
    assert applied < 300 + 2 * 300 * 32


@pytest.mark.parametrize("tag", [b"nonsense", b"object zz\ntype commit\ntag v\n\n"])
def test_a_broken_tag_is_a_broken_bundle(scratch: SealedScratch, tag: bytes) -> None:
    bundle = Bundle()
    with pytest.raises(ArchiveRefused, match="broken"):
        opened(scratch, bundle.made(bundle.add(TAG, tag)))
