"""Backups: whole, small when little has changed, held against hashes, and brought back."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from automesh.doc.v1 import branch_service_pb2 as branch_pb
from automesh.doc.v1 import comment_service_pb2 as comment_pb
from automesh.doc.v1 import comment_service_pb2_grpc as comment_rpc
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import job_pb2, template_service_pb2
from automesh.doc.v1 import review_service_pb2 as review_pb
from automesh.doc.v1 import review_service_pb2_grpc as review_rpc
from automesh.doc.v1 import template_service_pb2_grpc as template_rpc
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.backups.backup import SCHEDULE
from tests.integration.doc.doc_house import Served, refused, serving
from tests.integration.doc.doc_house_transfer import Backups, Transfers, problems

SEALER = Sealer(Keyring.generate())


@asynccontextmanager
async def stack(postgres: PostgresForTests, tmp_path: Path, name: str, **options: object) -> AsyncIterator[Served]:
    """A stack with a database and blobs of its own; backups and the key are shared by all of a test."""
    backups = EncryptedBlobStore.open(tmp_path / "backups", SEALER)
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        serving(database, SEALER, tmp_path / name, options, backups=backups) as served,
    ):
        yield served


@pytest.fixture
async def here(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    async with stack(postgres, tmp_path, "here") as served:
        yield served


@pytest.fixture
async def there(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    """Empty."""
    async with stack(postgres, tmp_path, "there") as served:
        yield served


async def furnish(served: Served) -> dict[str, str]:
    """A space with all that there is; ids by path."""
    await served.space(
        "handbook",
        members=[{"user": "ann", "role": "MEMBER_ROLE_OWNER"}],
        rules={"words": ["automesh"]},
        title="Handbook",
    )
    await served.space("empty")
    ann = Transfers(served)
    files = {f"docs/p{at}.md": f"# Page {at}\n\n[next](p{at + 1}.md)\n" for at in range(30)}
    await ann.done({**files, "img/a.png": b"\x89PNG\r\n\x1a\n" + random.Random(7).randbytes(100_000), "empty.bin": b""})
    first = await served.write("edited.md", "one\n")
    second = await served.edit(first, "one\ntwo\n", user="ben")
    await served.edit(second, "one\ntwo\n", path="moved/edited.md")
    gone = await served.write("gone.md", "gone\n")
    await (await served.documents()).DeleteDocument(
        doc_pb.DeleteDocumentRequest(document_id=gone.document_id, expected_head=gone.head)
    )
    await (await served.branches()).CreateBranch(branch_pb.CreateBranchRequest(space="handbook", branch="draft"))
    document = await served.read((await ann.paths())["docs/p3.md"], branch="draft")
    await served.edit(document, "# Page 3, drafted\n")
    stub = template_rpc.TemplateServiceStub(await served.channel("ann", "doc.read", "doc.write"))
    await stub.CreateTemplate(
        template_service_pb2.CreateTemplateRequest(
            template={"space": "handbook", "name": "note", "body": "# {{ space }}\n"}  # type: ignore[arg-type]  # fields, built from a dict
        )
    )
    await talk(served, (await ann.paths())["docs/p1.md"])
    return await ann.paths()


async def talk(served: Served, document_id: str) -> None:
    """A comment at a place of the text, an answer, a review with a judgement."""
    comments = comment_rpc.CommentServiceStub(await served.channel("ben"))
    head = (await served.read(document_id)).head
    first = await comments.CreateComment(
        comment_pb.CreateCommentRequest(
            document_id=document_id, text="why?", anchor=comment_pb.Anchor(revision_id=head, start=2, end=6)
        )
    )
    thread = first.comment.comment_id
    await comments.CreateComment(
        comment_pb.CreateCommentRequest(document_id=document_id, text="because", thread_id=thread)
    )
    reviews = review_rpc.ReviewServiceStub(await served.channel("ann"))
    review = await reviews.CreateReview(
        review_pb.CreateReviewRequest(space="handbook", branch="draft", title="page 3", description="it was thin")
    )
    judge = review_rpc.ReviewServiceStub(await served.channel("ben"))
    await judge.JudgeReview(
        review_pb.JudgeReviewRequest(
            review_id=review.review.review_id, verdict=review_pb.VERDICT_APPROVED, message="much better"
        )
    )


async def said(served: Served, document_id: str, space: str = "handbook") -> tuple[list[str], list[str]]:
    """What comments say, and reviews."""
    comments = comment_rpc.CommentServiceStub(await served.channel("ann"))
    found = await comments.ListComments(comment_pb.ListCommentsRequest(document_id=document_id))
    reviews = review_rpc.ReviewServiceStub(await served.channel("ann"))
    [listed] = (await reviews.ListReviews(review_pb.ListReviewsRequest(space=space))).reviews
    review = (await reviews.GetReview(review_pb.GetReviewRequest(review_id=listed.review_id))).review
    texts = [f"{each.author}: {each.text} {each.anchor.quote}".strip() for each in found.comments]
    return sorted(texts), [review.title, review.description, *(each.message for each in review.judgements)]


async def test_a_backup_comes_back_in_an_empty_stack_exactly_as_it_was(here: Served, there: Served) -> None:
    ids = await furnish(here)
    made = await Backups(here).make()
    assert {(each.space, each.documents, each.attachments) for each in made.spaces} == {
        ("handbook", 32, 4),
        ("empty", 0, 0),
    }

    [listed] = await Backups(there).list()
    assert listed == made
    job = await Backups(there).restored(made.backup_id)
    assert (job.tally.created, job.tally.refused) == (36, 0), problems(job)
    again = await Backups(there).make(full=True)
    assert {each.space: each.digest for each in again.spaces} == {each.space: each.digest for each in made.spaces}
    assert again.digest == made.digest

    ann = Transfers(there)
    assert await ann.paths() == ids
    assert await ann.text("docs/p3.md", branch="draft") == "# Page 3, drafted\n"
    assert await ann.export() == await Transfers(here).export()
    same = await ann.done({"docs/p4.md": "# Page 4\n\n[next](p5.md)\n\nnew in the archive\n"})
    assert same.tally.updated == 1  # it is known what the last import brought
    history = await (await there.documents()).ListRevisions(
        doc_pb.ListRevisionsRequest(document_id=ids["moved/edited.md"])
    )
    assert [each.author for each in history.revisions] == ["ann", "ben", "ann"]
    moved = await (await there.documents()).LookUpDocument(
        doc_pb.LookUpDocumentRequest(space="handbook", path="edited.md")
    )
    assert moved.document.path == "moved/edited.md"
    assert await said(there, ids["docs/p1.md"]) == await said(here, ids["docs/p1.md"])
    assert await said(there, ids["docs/p1.md"]) == (
        ["ben: because", "ben: why? Page"],
        ["page 3", "it was thin", "much better"],
    )
    stub = template_rpc.TemplateServiceStub(await there.channel("ann", "doc.read"))
    found = await stub.ListTemplates(template_service_pb2.ListTemplatesRequest(space="handbook"))
    assert "note" in {each.name for each in found.templates}


async def test_what_was_restored_can_be_written_on(here: Served, there: Served) -> None:
    ids = await furnish(here)
    made = await Backups(here).make()
    await Backups(there).restored(made.backup_id)
    document = await there.read(ids["moved/edited.md"])
    edited = await there.edit(document, "three\n")
    assert edited.content == "three\n"
    history = await (await there.documents()).ListRevisions(
        doc_pb.ListRevisionsRequest(document_id=document.document_id)
    )
    assert history.revisions[0].revision_id == edited.head


async def test_a_second_backup_holds_only_what_the_first_does_not(here: Served) -> None:
    await furnish(here)
    backups = Backups(here)
    first = await backups.make()
    same = await backups.make()
    assert same.base == first.backup_id
    assert same.digest == first.digest
    await here.write("new.md", "# New\n")
    third = await backups.make()
    assert third.digest != first.digest
    assert third.size < first.size / 2
    full = await backups.make(full=True)
    assert full.base == ""
    assert full.size > first.size * 0.9
    for each in (first, same, third, full):
        assert (await backups.verify(each.backup_id)).state == job_pb2.JOB_STATE_DONE


async def test_damage_is_found_and_named_and_the_rest_can_be_restored(
    here: Served, there: Served, tmp_path: Path
) -> None:
    await furnish(here)
    made = await Backups(here).make()
    pieces = sorted((tmp_path / "backups").rglob(f"pieces/{made.backup_id}/*"), key=lambda each: each.stat().st_size)
    body = bytearray(pieces[-1].read_bytes())
    body[len(body) // 2] ^= 1
    pieces[-1].write_bytes(body)
    job = await Backups(here).verify(made.backup_id)
    assert job.state == job_pb2.JOB_STATE_FAILED
    assert f"{made.backup_id}/{pieces[-1].name}" in problems(job)
    pieces[-1].unlink()
    job = await Backups(here).verify(made.backup_id)
    assert "not there" in problems(job)[f"{made.backup_id}/{pieces[-1].name}"]
    restored = await Backups(there).restore(made.backup_id, space="empty")
    assert restored.state == job_pb2.JOB_STATE_DONE


async def test_a_restore_overwrites_nothing_and_brings_back_what_is_different(here: Served) -> None:
    ids = await furnish(here)
    made = await Backups(here).make()
    kept = await here.write("kept.md", "written since\n")
    document = await here.read(ids["docs/p1.md"])
    changed = await here.edit(document, "changed since\n")
    gone = await here.read(ids["docs/p2.md"])
    await (await here.documents()).DeleteDocument(
        doc_pb.DeleteDocumentRequest(document_id=gone.document_id, expected_head=gone.head)
    )
    job = await Backups(here).restored(made.backup_id)
    assert (job.tally.created, job.tally.updated, job.tally.refused) == (0, 2, 0), job
    assert (await here.read(kept.document_id)).content == "written since\n"
    back = await here.read(ids["docs/p1.md"])
    assert back.content == document.content
    history = await (await here.documents()).ListRevisions(doc_pb.ListRevisionsRequest(document_id=back.document_id))
    assert changed.head in {each.revision_id for each in history.revisions}
    assert made.backup_id in history.revisions[0].message
    assert (await here.read(ids["docs/p2.md"])).path == "docs/p2.md"
    once_more = await Backups(here).restored(made.backup_id)
    assert (once_more.tally.created, once_more.tally.updated) == (0, 0)


async def test_one_document_comes_back_alone(here: Served, there: Served) -> None:
    ids = await furnish(here)
    made = await Backups(here).make()
    job = await Backups(there).restored(made.backup_id, space="handbook", document_id=ids["docs/p7.md"])
    assert job.tally.created == 1
    assert await Transfers(there).paths() == {"docs/p7.md": ids["docs/p7.md"]}
    missing = await Backups(there).restore(made.backup_id, space="handbook", document_id="doc_nowhere")
    assert missing.state == job_pb2.JOB_STATE_FAILED
    assert "no document" in missing.failure


async def test_a_space_comes_back_under_another_name_beside_the_first(here: Served) -> None:
    ids = await furnish(here)
    made = await Backups(here).make()
    await Backups(here).restored(made.backup_id, space="handbook", as_space="copy")
    ann = Transfers(here)
    copied = await ann.paths("copy")
    assert copied.keys() == ids.keys()
    assert not set(copied.values()) & set(ids.values())
    assert await ann.export(space="copy") == await ann.export(space="handbook")
    again = await Backups(here).restored(made.backup_id, space="handbook", as_space="copy")
    assert (again.tally.created, again.tally.updated) == (0, 0)
    assert await said(here, copied["docs/p1.md"], "copy") == await said(here, ids["docs/p1.md"])
    document = await here.read(copied["docs/p1.md"])
    await here.edit(document, "its own\n")
    assert (await here.read(ids["docs/p1.md"])).content != "its own\n"


async def test_a_path_that_another_document_has_is_told_of(here: Served, there: Served) -> None:
    await furnish(here)
    made = await Backups(here).make()
    await there.space("handbook")
    await there.write("docs/p5.md", "somebody else's\n")
    job = await Backups(there).restored(made.backup_id)
    assert job.tally.refused == 1
    assert "docs/p5.md" in problems(job)
    assert await Transfers(there).text("docs/p5.md") == "somebody else's\n"


async def test_a_backup_that_another_builds_on_cannot_go_first(here: Served, tmp_path: Path) -> None:
    await here.space("handbook")
    await here.write("a.md", "a\n")
    backups = Backups(here)
    first = await backups.make()
    second = await backups.make()
    error = await refused(backups.delete(first.backup_id))
    assert (error.reason, second.backup_id in error.message) == ("BACKUP_IN_USE", True)
    await backups.delete(second.backup_id)
    await backups.delete(first.backup_id)
    await backups.delete(first.backup_id)
    assert await backups.list() == []
    assert not [path for path in (tmp_path / "backups").rglob("*") if path.is_file()]


async def test_backups_of_another_tenant_are_not_there(here: Served) -> None:
    await here.space("handbook")
    made = await Backups(here).make()
    other = Backups(here, "elsewhere")
    assert await other.list() == []
    assert (await refused(other.get(made.backup_id))).reason == "BACKUP_NOT_FOUND"
    assert (await refused(other.get("../heads"))).reason == "VALIDATION"


async def test_a_backup_asks_for_its_permission(here: Served) -> None:
    await here.space("handbook")
    made = await Backups(here).make()
    from automesh.doc.v1 import backup_service_pb2 as pb
    from automesh.doc.v1 import backup_service_pb2_grpc as rpc

    ann = rpc.BackupServiceStub(await here.channel("ann"))
    assert (await refused(ann.GetBackup(pb.GetBackupRequest(backup_id=made.backup_id)))).reason == "PERMISSION_DENIED"


async def test_nothing_of_a_backup_can_be_read_without_the_key(here: Served, tmp_path: Path) -> None:
    await here.space("handbook", title="Confidential")
    await here.write("secret.md", "# A very secret heading\n")
    await Backups(here).make()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "backups").rglob("*") if path.is_file())
    assert stored
    for word in (b"secret", b"handbook", b"Confidential"):
        assert word not in stored


async def test_backups_come_by_themselves_and_old_ones_go(postgres: PostgresForTests, tmp_path: Path) -> None:
    import asyncio

    async with stack(postgres, tmp_path, "here", backup_every_s=0.4, keep_backups=2) as served, asyncio.timeout(60):
        await served.space("handbook")
        seen: set[str] = set()
        while len(seen) < 6:
            await asyncio.sleep(0.1)  # the schedule has its own pace
            seen |= {each.backup_id for each in await Backups(served).list()}
        there = await Backups(served).list()
        assert len(there) <= 5
        assert {each.created_by for each in there} == {SCHEDULE}
