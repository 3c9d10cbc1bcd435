"""Attachments on a real database and a real folder of blobs."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.core.errors import PermissionDenied, Unavailable, ValidationError
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.attachments.attachment import Attachment, Merged
from services.doc.domain.attachments.errors import (
    AttachmentChanged,
    AttachmentDamaged,
    AttachmentNotFound,
    AttachmentQuotaExceeded,
    AttachmentTooLarge,
)
from services.doc.domain.errors import (
    BranchNotFound,
    BranchProtected,
    PathTaken,
    RevisionNotFound,
    SpaceNotEmpty,
    SpaceNotFound,
)
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import MemberRole, NewSpace, Rules, Visibility
from services.doc.engine.core import Core
from services.doc.store.attachments import merge_in
from tests.integration.doc.doc_house_core import ADMIN, ANNA, BEN, ELSEWHERE, doc_core, written

PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 1000


@pytest.fixture
async def core(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Core]:
    async with doc_core(postgres, tmp_path, max_attachment_bytes=1_000_000, attachment_quota=2_000_000) as core:
        yield core


async def pieces(content: bytes, size: int = 700) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def put(core: Core, path: str, content: bytes = PNG, expected: str = "", *, branch: str = "main") -> Attachment:
    return await core.attachments.put(ANNA, "guides", branch, path, pieces(content, 90_000), expected_sha256=expected)


async def read(core: Core, sha256: str, tenant_id: str = "default") -> bytes:
    return b"".join([chunk async for chunk in core.attachments.read(tenant_id, sha256)])


async def paths(core: Core, branch: str = "main", prefix: str = "") -> list[str]:
    found = await core.attachments.list(ANNA, "guides", branch, prefix=prefix, limit=100)
    return [each.path for each in found]


def blobs(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


async def test_a_file_comes_back_as_it_was_stored_and_is_told_by_its_bytes(core: Core) -> None:
    made = await put(core, "images/start.txt", PNG)
    assert (made.content_type, made.size, made.created_by) == ("image/png", len(PNG), "anna")
    assert made.sha256 == hashlib.sha256(PNG).hexdigest()
    assert await core.attachments.get(BEN, "guides", "main", "images/start.txt") == made
    assert await read(core, made.sha256) == PNG


async def test_what_lies_on_the_disk_is_sealed_and_stored_once(core: Core, tmp_path: Path) -> None:
    for number in range(3):
        await put(core, f"copy{number}.png")
    await core.attachments.sweep(100)
    (only,) = blobs(tmp_path)
    assert b"pppp" not in only.read_bytes()
    assert await core.attachment_store.used("default") == len(PNG)


async def test_a_file_that_was_exchanged_on_the_disk_is_not_read(core: Core, tmp_path: Path) -> None:
    first, second = await put(core, "a.png", b"first" * 100), await put(core, "b.png", b"other" * 100)
    one, other = (
        await core.attachment_store.blob("default", first.sha256),
        await core.attachment_store.blob("default", second.sha256),
    )
    await core.outside.database.execute(
        "UPDATE attachment_blob SET blob = CASE blob WHEN $1 THEN 'x' ELSE $1 END", one.name, tenant="default"
    )
    await core.outside.database.execute(
        "UPDATE attachment_blob SET blob = $1 WHERE blob = 'x'", other.name, tenant="default"
    )
    with pytest.raises(AttachmentDamaged):
        await read(core, first.sha256)


async def test_nothing_is_overwritten_that_its_writer_has_not_seen(core: Core) -> None:
    first = await put(core, "a.png", b"first")
    with pytest.raises(AttachmentChanged) as refused:
        await put(core, "a.png", b"second")
    assert refused.value.metadata["sha256"] == first.sha256
    second = await put(core, "a.png", b"second", expected=first.sha256)
    assert await put(core, "a.png", b"second", expected=first.sha256) == second  # sent again: nothing happens
    with pytest.raises(AttachmentChanged):
        await put(core, "b.png", b"b", expected=first.sha256)


async def test_earlier_moments_show_what_was_there(core: Core) -> None:
    first = await put(core, "a.png", b"first")
    head = await written(core, "page.md", "![a](a.png)")
    await put(core, "a.png", b"second", expected=first.sha256)
    await core.attachments.delete(ANNA, "guides", "main", "a.png")
    with pytest.raises(AttachmentNotFound):
        await core.attachments.get(ANNA, "guides", "main", "a.png")
    then = await core.attachments.found(ANNA, "guides", "main", "a.png", revision_id=head.revision_id)
    assert await read(core, then.sha256) == b"first"
    assert await core.attachments.discard_orphans(10) == 0
    later = await written(core, "later.md", "![a](a.png)")
    with pytest.raises(AttachmentNotFound):
        await core.attachments.found(ANNA, "guides", "main", "a.png", revision_id=later.revision_id)
    with pytest.raises(RevisionNotFound):
        await core.attachments.found(ANNA, "guides", "main", "a.png", revision_id="rev_none")


async def test_a_file_is_taken_away_once_or_more_but_not_where_none_ever_was(core: Core) -> None:
    await put(core, "a.png")
    await core.attachments.delete(ANNA, "guides", "main", "a.png")
    await core.attachments.delete(ANNA, "guides", "main", "a.png")
    assert await paths(core) == []
    with pytest.raises(AttachmentNotFound):
        await core.attachments.delete(ANNA, "guides", "main", "b.png")


@pytest.mark.parametrize("path", ["A.png", "a.png/b.png", "docs", "DOCS/page"])
async def test_paths_that_no_folder_could_have_beside_what_is_there_are_refused(core: Core, path: str) -> None:
    await put(core, "a.png")
    await written(core, "docs/page.md", "x")
    await put(core, "docs/page/deep.png")
    with pytest.raises(PathTaken):
        await put(core, path)


@pytest.mark.parametrize(
    "path", ["", "../a.png", "/a.png", "a//b.png", "a.md", "a.md/b.png", "nul.png", "a\x00.png", "a\\b.png"]
)
async def test_paths_that_are_none_are_refused_before_anything_is_stored(core: Core, tmp_path: Path, path: str) -> None:
    with pytest.raises(ValidationError):
        await put(core, path)
    assert blobs(tmp_path) == []


async def test_too_much_is_refused_and_nothing_of_it_remains(core: Core, tmp_path: Path) -> None:
    with pytest.raises(AttachmentTooLarge, match="doc_max_attachment_bytes"):
        await put(core, "large.bin", b"x" * 1_000_001)
    assert blobs(tmp_path) == []
    assert await paths(core) == []


async def test_the_quota_holds_for_files_that_come_together(core: Core) -> None:
    await put(core, "one.bin", b"1" * 900_000)
    await put(core, "two.bin", b"2" * 900_000)
    with pytest.raises(AttachmentQuotaExceeded):
        await put(core, "three.bin", b"3" * 900_000)
    assert await core.attachment_store.used("default") == 1_800_000


async def test_an_upload_that_breaks_off_leaves_nothing(core: Core, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise Unavailable("gone")

    with pytest.raises(Unavailable, match="gone"):
        await core.attachments.put(ANNA, "guides", "main", "a.png", broken())
    assert blobs(tmp_path) == []
    assert await paths(core) == []


async def merge(core: Core) -> Merged:
    async with core.outside.database.transaction("default") as tx:
        return await merge_in(tx, ("default", "guides", "work"), "main", "anna")


async def test_a_branch_begins_with_the_files_of_its_base_and_brings_back_what_it_changed(core: Core) -> None:
    made = {name: await put(core, name, name.encode()) for name in ("kept.png", "changed.png", "gone.png")}
    await core.branches.add("default", "guides", "work", "main", "anna")
    assert await paths(core, "work") == ["changed.png", "gone.png", "kept.png"]
    await put(core, "changed.png", b"new", made["changed.png"].sha256, branch="work")
    await core.attachments.delete(ANNA, "guides", "work", "gone.png")
    await put(core, "added.png", b"added", branch="work")
    assert await paths(core) == ["changed.png", "gone.png", "kept.png"]
    await put(core, "kept.png", b"main goes on", made["kept.png"].sha256)
    merged = await merge(core)
    assert (list(merged.paths), list(merged.conflicts)) == (["added.png", "changed.png", "gone.png"], [])
    assert await paths(core) == ["added.png", "changed.png", "kept.png"]
    now = await core.attachments.get(ANNA, "guides", "main", "kept.png")
    assert await read(core, now.sha256) == b"main goes on"
    assert not (await merge(core)).paths


async def test_a_merge_names_what_both_sides_changed(core: Core) -> None:
    first = await put(core, "a.png", b"first")
    await core.branches.add("default", "guides", "work", "main", "anna")
    await put(core, "a.png", b"of main", first.sha256)
    await put(core, "a.png", b"of work", first.sha256, branch="work")
    merged = await merge(core)
    assert list(merged.conflicts) == ["a.png"]
    now = await core.attachments.get(ANNA, "guides", "main", "a.png")
    assert await read(core, now.sha256) == b"of work"
    assert await read(core, hashlib.sha256(b"of main").hexdigest()) == b"of main"  # a version still


async def test_contents_that_nothing_refers_to_go_and_their_blobs_with_them(core: Core, tmp_path: Path) -> None:
    await put(core, "a.png")
    await core.directory.delete(ADMIN, "guides", force=True, reason="test")
    assert await core.attachments.discard_orphans(10) == 0  # not yet: somebody may store it again
    await core.outside.database.execute(
        "UPDATE attachment_blob SET touched_at = now() - interval '2 days'", tenant="default"
    )
    assert await core.attachments.discard_orphans(10) == 1
    assert await core.attachments.sweep(10) == 1
    assert blobs(tmp_path) == []


async def test_a_space_with_files_only_is_not_empty(core: Core) -> None:
    await put(core, "a.png")
    with pytest.raises(SpaceNotEmpty):
        await core.directory.delete(ADMIN, "guides", force=False, reason="")
    await core.attachments.delete(ANNA, "guides", "main", "a.png")
    await core.directory.delete(ADMIN, "guides", force=False, reason="")


async def test_who_may_what(core: Core) -> None:
    await core.directory.create(
        ANNA, NewSpace(space="closed", visibility=Visibility.MEMBERS, members={"ben": MemberRole.READER})
    )
    await core.attachments.put(ANNA, "closed", "main", "a.png", pieces(PNG))
    assert (await core.attachments.get(BEN, "closed", "main", "a.png")).size == len(PNG)
    with pytest.raises(PermissionDenied):
        await core.attachments.put(BEN, "closed", "main", "b.png", pieces(PNG))
    with pytest.raises(SpaceNotFound):
        await core.attachments.get(Person(tenant_id="default", user="carl"), "closed", "main", "a.png")
    with pytest.raises(SpaceNotFound):
        await core.attachments.get(ELSEWHERE, "closed", "main", "a.png")
    with pytest.raises(AttachmentNotFound):
        await read(core, hashlib.sha256(PNG).hexdigest(), "other")


async def test_a_branch_that_is_not_there_and_one_that_is_protected_take_no_file(core: Core) -> None:
    with pytest.raises(BranchNotFound):
        await put(core, "a.png", branch="nowhere")
    await core.directory.create(ANNA, NewSpace(space="strict", rules=Rules(required_approvals=1)))
    with pytest.raises(BranchProtected):
        await core.attachments.put(ANNA, "strict", "main", "a.png", pieces(PNG))
    await core.branches.add("default", "strict", "work", "main", "anna")
    await core.attachments.put(ANNA, "strict", "work", "a.png", pieces(PNG))
