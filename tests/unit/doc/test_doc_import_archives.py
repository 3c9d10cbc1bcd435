"""Archives that mean harm, or were damaged: refused with what to do, within bounds."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from services.doc.clients.archive_limits import ArchiveLimits, Meter
from services.doc.clients.git_pack import OFS_DELTA
from services.doc.clients.scratch import SealedScratch
from services.doc.clients.sources import _opened
from services.doc.domain.transfer.arrival import Step
from services.doc.domain.transfer.errors import ArchiveRefused
from services.doc.domain.transfer.ports import Source

MIB = 1024 * 1024
LIMITS = ArchiveLimits(max_unpacked=64 * MIB, max_file=4 * MIB, max_entries=1000)


SCRATCHES: list[SealedScratch] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """All that a test opened."""
    yield
    while SCRATCHES:
        SCRATCHES.pop().close()


def opened(content: bytes, root: str = "", limits: ArchiveLimits = LIMITS) -> Source:
    scratch = SealedScratch(Path(tempfile.gettempdir()))
    SCRATCHES.append(scratch)
    scratch.append(content)
    return _opened(scratch, Meter(limits, scratch.size), root)


async def step_of(content: bytes, root: str = "") -> Step:
    return [step async for step in opened(content, root).steps("")][-1]


def zipped(*entries: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return out.getvalue()


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "bomb",
    [
        zipped(*((f"{at}.md", bytes(3 * MIB)) for at in range(10))),
        gzip.compress(tarred(*((member(f"{at}.md"), bytes(3 * MIB)) for at in range(10)))),
        zstandard.compress(tarred(*((member(f"{at}.md"), bytes(3 * MIB)) for at in range(10)))),
        gzip.compress(tarred((member("a.md"), b"a")) + bytes(50 * MIB)),
    ],
    ids=["zip", "tar.gz", "tar.zst", "zeros after the end"],
)
def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(bomb: bytes) -> None:
    assert len(bomb) < MIB
    with pytest.raises(ArchiveRefused, match="times its size"):
        opened(bomb)


def test_an_archive_with_too_many_entries_or_bytes_is_refused() -> None:
    with pytest.raises(ArchiveRefused, match="1000 entries"):
        opened(zipped(*((f"{at}.md", b"") for at in range(1001))))
    limits = ArchiveLimits(max_unpacked=1000, max_file=900)
    with pytest.raises(ArchiveRefused, match="1000 bytes"):
        opened(zipped(("a.md", b"x" * 800), ("b.md", b"x" * 800)), limits=limits)


async def test_a_file_that_is_too_large_is_named_and_the_rest_is_taken() -> None:
    step = await step_of(zipped(("big.bin", zlib.compress(bytes(9)) * (MIB // 2)), ("a.md", b"a")))
    assert [each.path for each in step.arrivals] == ["a.md"]
    assert [(each.path, "bytes" in each.message) for each in step.problems] == [("big.bin", True)]


async def test_links_and_devices_are_named_and_the_rest_is_taken() -> None:
    link = zipfile.ZipInfo("link.md")
    link.external_attr = 0o120777 << 16
    step = await step_of(zipped((link, b"/etc/passwd"), ("a.md", b"a")))
    assert [each.path for each in step.problems] == ["link.md"]
    step = await step_of(
        tarred(
            (member("soft.md", tarfile.SYMTYPE, "/etc/passwd"), b""),
            (member("hard.md", tarfile.LNKTYPE, "a.md"), b""),
            (member("device", tarfile.CHRTYPE), b""),
            (member("a.md"), b"a"),
        )
    )
    assert [each.path for each in step.problems] == ["soft.md", "hard.md", "device"]
    assert [each.path for each in step.arrivals] == ["a.md"]


async def test_of_two_entries_with_one_name_the_last_is_taken_and_told_of() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        content = zipped(("a.md", b"first"), ("a.md", b"second"))
    source = opened(content)
    [step] = [step async for step in source.steps("")]
    assert await source.contents(step.arrivals) == [b"second"]
    assert "twice" in step.problems[0].message


async def test_what_tools_leave_behind_is_left_out() -> None:
    names = [".git/config", "__MACOSX/a.md", ".DS_Store", "x/Thumbs.db", "a.md"]
    step = await step_of(zipped(*((name, b"x") for name in names)))
    assert [each.path for each in step.arrivals] == ["a.md"]


async def test_a_mark_before_a_text_is_no_part_of_it() -> None:
    source = opened(zipped(("a.md", b"\xef\xbb\xbf# A\n"), ("b.bin", b"\xef\xbb\xbfb")))
    [step] = [step async for step in source.steps("")]
    assert await source.contents(step.arrivals) == [b"# A\n", b"\xef\xbb\xbfb"]


async def test_names_that_are_utf8_without_saying_so_are_read() -> None:
    info = zipfile.ZipInfo("ABCDEFG.md")
    content = zipped((info, b"x")).replace(b"ABCDEFG.md", "Grü\N{LATIN SMALL LETTER SHARP S}e".encode() + b".md")
    assert [each.path for each in (await step_of(content)).arrivals] == ["Grü\N{LATIN SMALL LETTER SHARP S}e.md"]


def test_an_archive_with_a_password_is_refused() -> None:
    content = bytearray(zipped(("a.md", b"a")))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(magic) + at] |= 1
    with pytest.raises(ArchiveRefused, match="password"):
        opened(bytes(content))


def test_a_byte_that_flipped_is_noticed() -> None:
    content = bytearray(zipped(("a.md", bytes(range(256)) * 2)))
    content[200] ^= 0xFF
    with pytest.raises(ArchiveRefused, match="broken"):
        opened(bytes(content))


def test_a_header_of_megabytes_is_refused() -> None:
    info = member("a.md")
    info.pax_headers = {"comment": "x" * (3 * MIB)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO())
    with pytest.raises(ArchiveRefused, match="header"):
        opened(out.getvalue())


@pytest.mark.parametrize("cut", [1, 100, 1000])
def test_an_archive_that_is_cut_anywhere_is_refused(cut: int) -> None:
    whole = tarred(*((member(f"{at}.md"), bytes([65 + at]) * 700) for at in range(9)))
    for content in (whole[: len(whole) - 1024 * cut] if cut < 10 else whole[:-9216], gzip.compress(whole)[:-cut]):
        if content == whole[:-1024]:
            continue  # the padding alone
        with pytest.raises(ArchiveRefused):
            opened(content)


def test_nothing_of_a_scratch_can_be_read_on_the_disk(tmp_path: Path) -> None:
    scratch = SealedScratch(tmp_path)
    SCRATCHES.append(scratch)
    text = b"in the clear " * 1000
    for start in range(0, len(text), 77):
        scratch.append(text[start : start + 77])
    assert list(tmp_path.iterdir()) == []
    assert scratch.view().read() == text
    for at, count in ((0, 5), (1, 40), (15, 2), (16, 16), (12_990, 100)):
        assert scratch.read_at(at, count) == text[at : at + count]
    scratch._file.seek(0)
    assert b"clear" not in scratch._file.read()


def bundle(*objects: bytes, count: int | None = None, head: bytes = b"") -> bytes:
    import hashlib

    pack = (
        b"PACK"
        + (2).to_bytes(4, "big")
        + (len(objects) if count is None else count).to_bytes(4, "big")
        + b"".join(objects)
    )
    start = head or b"# v2 git bundle\n" + b"a" * 40 + b" HEAD\n\n"
    return start + pack + hashlib.sha1(pack, usedforsecurity=False).digest()


def packed(kind: int, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    out, first, rest = bytearray(), kind << 4 | size & 15, size >> 4
    while rest:
        out.append(first | 0x80)
        first, rest = rest & 0x7F, rest >> 7
    out.append(first)
    return bytes(out) + zlib.compress(content)


def test_a_git_object_that_is_larger_than_it_says_or_than_is_taken_is_refused() -> None:
    with pytest.raises(ArchiveRefused, match="larger than it says"):
        opened(bundle(packed(3, bytes(3 * MIB), size=10)))
    with pytest.raises(ArchiveRefused, match="are taken"):
        opened(bundle(packed(3, bytes(5 * MIB))))


def test_a_git_delta_that_makes_much_of_little_is_refused() -> None:
    base = packed(3, b"x" * 100)
    copy = b"\xd4\x02" + b"\x90\x64" * 10  # a source of 340 bytes: not that of the base
    delta = packed(OFS_DELTA, b"\x64" + b"\x80\x80\x80\x80\x02" + copy)
    header, body = delta[:1] if delta[0] < 0x80 else delta[:2], zlib.compress(b"\x64" + b"\x80\x80\x80\x80\x02" + copy)
    with pytest.raises(ArchiveRefused, match="are taken"):
        opened(bundle(base, header + bytes([len(base)]) + body))


def test_a_git_bundle_that_needs_other_commits_says_so() -> None:
    head = b"# v2 git bundle\n-" + b"b" * 40 + b" before\n" + b"a" * 40 + b" HEAD\n\n"
    with pytest.raises(ArchiveRefused, match="--all"):
        opened(bundle(head=head))
    with pytest.raises(ArchiveRefused, match="lacks the object"):
        opened(bundle(packed(3, b"x")))
    with pytest.raises(ArchiveRefused, match="cut"):
        opened(bundle(packed(3, b"x"))[:-1])


def test_only_archives_are_taken() -> None:
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b", bytes(1024)):
        with pytest.raises(ArchiveRefused):
            opened(content)
