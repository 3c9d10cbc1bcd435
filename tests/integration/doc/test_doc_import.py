"""Archives on their way in."""

from __future__ import annotations

from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import job_pb2
from tests.integration.doc.doc_house import Served, refused
from tests.integration.doc.doc_house_transfer import Files, Transfers, problems, tarred, zipped

ADMIN = ("doc.read", "doc.write", "doc.admin")


async def test_markdown_becomes_documents_and_everything_else_attachments(handbook: Served) -> None:
    ann = Transfers(handbook)
    job = await ann.done(
        {
            "start.md": "# Start\n\n![logo](img/logo.png)\n",
            "guides/more.md": "More.\n",
            "img/logo.png": b"\x89PNG\r\n\x1a\n1",
        },
        prefix="docs",
    )
    assert (job.tally.created, job.tally.refused, job.done, job.total) == (3, 0, 3, 3)
    assert set(await ann.paths()) == {"docs/start.md", "docs/guides/more.md"}
    assert await ann.text("docs/start.md") == "# Start\n\n![logo](img/logo.png)\n"


async def test_the_same_archive_again_changes_nothing(handbook: Served) -> None:
    ann = Transfers(handbook)
    files: Files = {"a.md": "# A\n", "b/c.md": "# C\n", "x.png": b"\x89PNG\r\n\x1a\n"}
    await ann.done(files)
    heads = await _heads(handbook)
    job = await ann.done(files)
    assert (job.tally.unchanged, job.tally.created, job.tally.updated) == (3, 0, 0)
    assert await _heads(handbook) == heads


async def test_what_changed_in_the_archive_alone_replaces_what_the_last_import_brought(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"a.md": "# A\n\none\n"})
    job = await ann.done({"a.md": "# A\n\ntwo\n"}, message="second edition")
    assert job.tally.updated == 1
    document = await handbook.read((await ann.paths())["a.md"])
    assert document.content == "# A\n\ntwo\n"


async def test_what_changed_on_both_sides_is_merged_when_that_is_clean(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"a.md": "one\n\ntwo\n\nthree\n"})
    document = await handbook.read((await ann.paths())["a.md"])
    await handbook.edit(document, "ONE\n\ntwo\n\nthree\n", user="ben")
    job = await ann.done({"a.md": "one\n\ntwo\n\nTHREE\n"})
    assert job.tally.updated == 1
    assert await ann.text("a.md") == "ONE\n\ntwo\n\nTHREE\n"
    again = await ann.done({"a.md": "one\n\ntwo\n\nTHREE\n"})
    assert again.tally.unchanged == 1
    assert await ann.text("a.md") == "ONE\n\ntwo\n\nTHREE\n"
    once_more = await ann.done({"a.md": "one\n\ntwo\n\nthird\n"})
    assert once_more.tally.updated == 1
    assert await ann.text("a.md") == "ONE\n\ntwo\n\nthird\n"


async def test_a_conflict_is_told_of_and_nothing_is_overwritten(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"a.md": "one\n", "b.md": "b\n"})
    document = await handbook.read((await ann.paths())["a.md"])
    await handbook.edit(document, "ours\n", user="ben")
    job = await ann.done({"a.md": "theirs\n", "b.md": "b2\n"})
    assert (job.tally.refused, job.tally.updated) == (1, 1)
    assert "changed here by ben" in problems(job)["a.md"]
    assert await ann.text("a.md") == "ours\n"
    assert await ann.text("b.md") == "b2\n"


async def test_a_document_that_was_written_here_is_not_overwritten_by_an_import(handbook: Served) -> None:
    ann = Transfers(handbook)
    await handbook.write("a.md", "by hand\n", user="ben")
    job = await ann.done({"a.md": "by import\n"})
    assert "never imported" in problems(job)["a.md"]
    assert await ann.text("a.md") == "by hand\n"


async def test_a_moved_file_keeps_its_history_and_leaves_a_redirect(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"old.md": "# Same\n\ntext\n", "b.md": "b\n"})
    document_id = (await ann.paths())["old.md"]
    job = await ann.done({"new/place.md": "# Same\n\ntext\n", "b.md": "b\n"}, delete_missing=True)
    assert (job.tally.renamed, job.tally.deleted, job.tally.created) == (1, 0, 0)
    assert (await ann.paths())["new/place.md"] == document_id


async def test_what_is_missing_stays_unless_its_deletion_is_asked_for(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"a.md": "a\n", "b.md": "b\n", "x.bin": b"\x00\x01"})
    await ann.done({"a.md": "a\n"})
    assert set(await ann.paths()) == {"a.md", "b.md"}
    job = await ann.done({"a.md": "a\n"}, delete_missing=True)
    assert job.tally.deleted == 2
    assert set(await ann.paths()) == {"a.md"}
    back = await ann.done({"a.md": "a\n", "b.md": "b\n"})
    assert (back.tally.updated, back.tally.unchanged) == (1, 1)
    assert set(await ann.paths()) == {"a.md", "b.md"}


async def test_deleting_what_is_missing_touches_nothing_outside_of_the_prefix(handbook: Served) -> None:
    ann = Transfers(handbook)
    await handbook.write("docs-old/keep.md", "keep\n")
    await ann.done({"a.md": "a\n", "b.md": "b\n"}, prefix="docs")
    await ann.done({"a.md": "a\n"}, prefix="docs", delete_missing=True)
    assert set(await ann.paths()) == {"docs/a.md", "docs-old/keep.md"}


async def test_bad_files_are_named_and_the_rest_comes_in(handbook: Served) -> None:
    ann = Transfers(handbook)
    job = await ann.done(
        {
            "good.md": "# Good\n",
            "latin.md": "caf\xe9\n".encode("latin-1"),
            "zero.md": "a\x00b\n",
            "bomb.md": "---\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n---\n",
            "../up.md": "up\n",
            "/etc/passwd.md": "root\n",
            "con.md": "device\n",
            "large.md": "x" * (2 * 1024 * 1024 + 1),
            "Twice.md": "1\n",
            "twice.md": "2\n",
        }
    )
    told = problems(job)
    assert set(await ann.paths()) == {"good.md", "Twice.md"}
    assert "not UTF-8" in told["latin.md"]
    assert "line 1" in told["latin.md"]
    assert "NUL" in told["zero.md"]
    assert "bomb.md" in told
    assert ".." in told["../up.md"]
    assert "/etc/passwd.md" in told
    assert "Windows" in told["con.md"]
    assert "'Twice.md'" in told["twice.md"]
    assert "doc_max_page_bytes" in told["large.md"]
    assert job.tally.refused == 8


async def test_a_link_to_what_the_same_archive_brings_is_no_broken_one(doc: Served) -> None:
    await doc.space(rules={"levels": {"broken-link": "RULE_LEVEL_REFUSE"}})
    ann = Transfers(doc)
    job = await ann.done(
        {"a.md": "# A\n\n[b](z.md)\n", "z.md": "# Z\n\n[a](a.md)\n", "bad.md": "# B\n\n[x](nowhere.md)\n"}
    )
    assert set(await ann.paths()) == {"a.md", "z.md"}
    assert "broken-link" in problems(job)["bad.md"]


async def test_a_protected_main_branch_sends_the_import_to_a_branch(doc: Served) -> None:
    await doc.space(rules={"required_approvals": 1})
    error = await refused(Transfers(doc).begin(zipped({"a.md": "a\n"})))
    assert error.reason == "BRANCH_PROTECTED"
    assert "branch" in error.message


async def test_a_reader_cannot_import_and_a_stranger_does_not_find_the_space(doc: Served) -> None:
    await doc.space(visibility="VISIBILITY_MEMBERS", members=[{"user": "rea", "role": "MEMBER_ROLE_READER"}])
    archive = zipped({"a.md": "a\n"})
    assert (await refused(Transfers(doc, "rea").begin(archive))).reason == "PERMISSION_DENIED"
    assert (await refused(Transfers(doc, "bob").begin(archive))).reason == "SPACE_NOT_FOUND"


async def test_a_broken_archive_fails_with_what_to_do_and_brings_nothing(handbook: Served) -> None:
    ann, whole = Transfers(handbook), {f"p{at}.md": f"# {at}\n" * 50 for at in range(20)}
    for archive in (zipped(whole)[:-40], tarred(whole)[:-40], b"no archive at all", tarred(whole, "w")[: 1024 * 10]):
        job = await ann.bring(archive)
        assert job.state == job_pb2.JOB_STATE_FAILED
        assert job.failure
    assert not await ann.paths()


async def test_a_tar_a_tar_gz_and_a_tar_zst_are_read(handbook: Served) -> None:
    import zstandard

    ann, files = Transfers(handbook), {"./a.md": "# A\n"}
    for at, archive in enumerate((tarred(files, "w"), tarred(files), zstandard.compress(tarred(files, "w")))):
        await ann.done(archive, prefix=f"p{at}")
    assert set(await ann.paths()) == {"p0/a.md", "p1/a.md", "p2/a.md"}


async def test_only_what_lies_below_the_root_comes_in(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"repo-main/docs/a.md": "a\n", "repo-main/src/x.py": "x\n"}, root="repo-main/docs")
    assert set(await ann.paths()) == {"a.md"}


async def _heads(served: Served) -> dict[str, str]:
    stub = await served.documents()
    found = await stub.ListDocuments(doc_pb.ListDocumentsRequest(space="handbook"))
    return {each.path: each.head for each in found.documents}
