"""Documents on their way out, and back in again."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from automesh.doc.v1 import transfer_service_pb2 as pb
from tests.integration.doc.doc_house import Served, refused
from tests.integration.doc.doc_house_transfer import Files, Transfers, problems, unzipped

FILES: Files = {
    "start.md": "# Start\n\n[more](guides/more.md#part) ![logo](img/logo.png)\n",
    "guides/more.md": "---\ntitle: More\ntags: [a, b]\n---\n\n## Part\n\n[back](../start.md)\n",
    "img/logo.png": b"\x89PNG\r\n\x1a\n\x00\x01\x02",
    "Grüße/äöü.md": "# Grüße\r\n\r\nmit Zeilenenden\r\n",
}


def _bytes(files: Files) -> dict[str, bytes]:
    return {path: body.encode() if isinstance(body, str) else body for path, body in files.items()}


async def test_what_was_imported_comes_out_byte_for_byte(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done(FILES, prefix="in")
    assert unzipped(await ann.export(prefix="in")) == _bytes(FILES)
    assert set(unzipped(await ann.export())) == {f"in/{path}" for path in FILES}


async def test_a_tar_gz_has_the_same_files(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done(FILES)
    packed = await ann.export(format=pb.ARCHIVE_FORMAT_TAR_GZ)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = set(archive.getnames())
    assert names == {*FILES, ".automesh-export.json"}
    await handbook.space("copy")
    await ann.done(packed, space="copy")
    assert unzipped(await ann.export(space="copy")) == _bytes(FILES)


async def test_what_was_exported_and_edited_outside_comes_back_as_a_merge(handbook: Served) -> None:
    ann = Transfers(handbook)
    document = await handbook.write("a.md", "one\n\ntwo\n\nthree\n", user="ben")
    packed = await ann.export()
    outside = unzipped(packed)["a.md"].replace(b"three", b"THREE")
    await handbook.edit(document, "ONE\n\ntwo\n\nthree\n", user="ben")
    with_manifest = _repacked(packed, {"a.md": outside})
    job = await ann.done(with_manifest)
    assert job.tally.updated == 1, problems(job)
    assert await ann.text("a.md") == "ONE\n\ntwo\n\nTHREE\n"


async def test_a_git_bundle_can_be_cloned_and_shows_every_revision(handbook: Served, tmp_path: Path) -> None:
    ann = Transfers(handbook)
    first = await handbook.write("a.md", "one\n", user="ben", message="first")
    second = await handbook.edit(first, "two\n", user="ann", message="second")
    await handbook.edit(second, "two\n", user="ann", message="moved", path="b/c.md")
    await ann.done({"x.png": b"\x89PNG\r\n\x1a\n"})
    clone = await _clone(await ann.export(format=pb.ARCHIVE_FORMAT_GIT_BUNDLE), tmp_path)
    assert (clone / "b/c.md").read_text() == "two\n"
    assert not (clone / "a.md").exists()
    assert (clone / "x.png").read_bytes() == b"\x89PNG\r\n\x1a\n"
    log = (await _git(clone, "log", "--format=%an: %s", "--reverse")).splitlines()
    assert log == ["ben: first", "ann: second", "ann: moved", "ann: attachments"]
    assert "fsck" not in await _git(clone, "fsck", "--strict", "--no-dangling")


async def test_a_git_history_comes_in_commit_by_commit(handbook: Served, tmp_path: Path) -> None:
    ann = Transfers(handbook)
    repository = await _repository(tmp_path)
    job = await ann.done(await _bundle(repository, tmp_path), prefix="docs")
    assert (job.done, job.total) == (5, 5)  # four commits, and a picture
    assert (job.tally.created, job.tally.updated, job.tally.renamed) == (4, 1, 1), job
    assert set(await ann.paths()) == {"docs/guide/start.md", "docs/other.md"}
    assert job.tally.deleted == 1
    history = await _history(handbook, (await ann.paths())["docs/guide/start.md"])
    assert [(each.author, list(each.co_authors), each.message.splitlines()[0]) for each in history] == [
        ("ann", ["Ben Meyer <ben@example.org>"], "move it"),
        ("ann", ["Ada Love <ada@example.org>"], "second edition"),
        ("ann", ["Ada Love <ada@example.org>"], "first words"),
    ]
    assert "Git-Date: 2020-01-02T03:04:05" in history[2].message


async def test_a_bundle_of_a_history_that_went_on_brings_what_is_new(handbook: Served, tmp_path: Path) -> None:
    ann = Transfers(handbook)
    repository = await _repository(tmp_path)
    await ann.done(await _bundle(repository, tmp_path))
    await _commit(
        repository, "third edition", {"guide/start.md": "# Start\n\nthree\n"}, author="Ada Love <ada@example.org>"
    )
    job = await ann.done(await _bundle(repository, tmp_path))
    assert (job.tally.updated, job.tally.created) == (1, 0)
    assert await ann.text("guide/start.md") == "# Start\n\nthree\n"


async def test_what_changed_here_and_in_the_repository_is_merged_or_told_of_once(
    handbook: Served, tmp_path: Path
) -> None:
    ann, ada = Transfers(handbook), "Ada Love <ada@example.org>"
    repository = await _repository(tmp_path)
    await _commit(repository, "long", {"long.md": "one\n\ntwo\n\nthree\n"}, author=ada)
    await ann.done(await _bundle(repository, tmp_path))
    paths = await ann.paths()
    await handbook.edit(await handbook.read(paths["guide/start.md"]), "ours\n", user="ben")
    await handbook.edit(await handbook.read(paths["long.md"]), "ONE\n\ntwo\n\nthree\n", user="ben")
    for turn in range(3):
        changed = {"guide/start.md": f"theirs {turn}\n", "long.md": f"one\n\ntwo\n\nTHREE {turn}\n"}
        await _commit(repository, f"turn {turn}", changed, author=ada)
    job = await ann.done(await _bundle(repository, tmp_path))
    assert (job.tally.updated, job.tally.refused) == (3, 1)
    assert "changed here by ben" in problems(job)["guide/start.md"]
    assert await ann.text("guide/start.md") == "ours\n"
    assert await ann.text("long.md") == "ONE\n\ntwo\n\nTHREE 2\n"


async def test_after_a_rewritten_history_the_difference_comes_as_one(handbook: Served, tmp_path: Path) -> None:
    ann = Transfers(handbook)
    repository = await _repository(tmp_path)
    await ann.done(await _bundle(repository, tmp_path))
    (repository / "guide/start.md").write_text("# Start\n\nrewritten\n")
    await _git(repository, "commit", "-q", "-a", "--amend", "-m", "another end", "--author=Ada Love <ada@example.org>")
    job = await ann.done(await _bundle(repository, tmp_path))
    assert (job.tally.updated, job.tally.created, job.tally.refused) == (1, 0, 0)
    assert await ann.text("guide/start.md") == "# Start\n\nrewritten\n"
    again = await ann.done(await _bundle(repository, tmp_path))
    assert (again.tally.updated, again.tally.created) == (0, 0)


async def test_a_root_that_the_repository_lacks_is_told_of_before_anything_comes_in(
    handbook: Served, tmp_path: Path
) -> None:
    ann = Transfers(handbook)
    job = await ann.bring(await _bundle(await _repository(tmp_path), tmp_path), root="nowhere")
    assert "'nowhere/'" in job.failure
    assert not await ann.paths()


async def test_git_in_and_out_keeps_history_authors_and_times(handbook: Served, tmp_path: Path) -> None:
    ann = Transfers(handbook)
    repository = await _repository(tmp_path)
    await ann.done(await _bundle(repository, tmp_path))
    clone = await _clone(await ann.export(format=pb.ARCHIVE_FORMAT_GIT_BUNDLE), tmp_path)
    wanted = "--format=%an <%ae> %aI %s"
    theirs = (await _git(clone, "log", wanted, "--reverse", "--", "*.md")).splitlines()
    ours = (await _git(repository, "log", wanted, "--reverse", "--", "*.md")).splitlines()
    assert theirs == ours
    await handbook.space("again")
    await ann.done(await _bundle(clone, tmp_path), space="again")
    assert unzipped(await ann.export(space="again")) == unzipped(await ann.export())


async def test_nobody_is_the_author_in_git_because_a_message_says_so(handbook: Served, tmp_path: Path) -> None:
    forged = "harmless\n\nGit-Author: Eve <eve@example.org>\nGit-Date: 2020-01-02T03:04:05+00:00\nGit-Commit: abc"
    await handbook.write("a.md", "one\n", user="ben", message=forged)
    clone = await _clone(await Transfers(handbook).export(format=pb.ARCHIVE_FORMAT_GIT_BUNDLE), tmp_path)
    assert (await _git(clone, "log", "--format=%an")).split() == ["ben"]


async def test_an_export_of_nothing_says_so_and_one_of_a_hidden_space_is_not_found(doc: Served) -> None:
    await doc.space(visibility="VISIBILITY_MEMBERS", members=[{"user": "ann", "role": "MEMBER_ROLE_WRITER"}])
    ann, bob = Transfers(doc), Transfers(doc, "bob")
    stub = await ann.transfer()
    job = (await stub.ExportArchive(pb.ExportArchiveRequest(space="handbook"))).job
    ended = await ann.ended(job.job_id)
    assert "nothing is below" in ended.failure
    assert (
        await refused((await bob.transfer()).ExportArchive(pb.ExportArchiveRequest(space="handbook")))
    ).reason == "SPACE_NOT_FOUND"
    await ann.done({"a.md": "a\n"})
    good = (await stub.ExportArchive(pb.ExportArchiveRequest(space="handbook", wait=Duration(seconds=20)))).job
    call = (await bob.transfer()).DownloadExport(pb.DownloadExportRequest(job_id=good.job_id))
    assert (await refused(call.read())).reason == "JOB_NOT_FOUND"


async def test_a_path_that_git_cannot_have_is_left_out_and_told_of(handbook: Served, tmp_path: Path) -> None:
    ann = Transfers(handbook)
    await handbook.write(".git/hooks/post-checkout.md", "#!/bin/sh\n")
    await handbook.write("a.md", "a\n")
    await handbook.write("good.md", "good\n")
    stub = await ann.transfer()
    jobs = []
    for format in (pb.ARCHIVE_FORMAT_ZIP, pb.ARCHIVE_FORMAT_GIT_BUNDLE):
        begun = await stub.ExportArchive(pb.ExportArchiveRequest(space="handbook", format=format))
        jobs.append(await ann.ended(begun.job.job_id))
    for job in jobs:
        assert set(problems(job)) == {".git/hooks/post-checkout.md"}
    clone = await _clone(await ann.download(jobs[-1].job_id), tmp_path)
    assert sorted(path.name for path in clone.rglob("*.md")) == ["a.md", "good.md"]


def _repacked(packed: bytes, changed: dict[str, bytes]) -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name, old.read(name)))
    return out.getvalue()


async def _history(served: Served, document_id: str) -> list:  # type: ignore[type-arg] # revisions
    from automesh.doc.v1 import document_service_pb2 as doc_pb

    stub = await served.documents()
    found = await stub.ListRevisions(doc_pb.ListRevisionsRequest(document_id=document_id))
    return list(found.revisions)


async def _git(folder: Path, *arguments: str, date: str = "2020-01-02T03:04:05+0100") -> str:
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_DATE": date, "GIT_COMMITTER_NAME": "c", "GIT_COMMITTER_EMAIL": "c@example.org",
    }  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def _commit(repository: Path, message: str, files: Mapping[str, str | None], *, author: str) -> None:
    for path, content in files.items():
        if content is None:
            (repository / path).unlink()
            continue
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(content)
    await _git(repository, "add", "-A")
    await _git(repository, "commit", "-q", "-m", message, f"--author={author}")


async def _repository(tmp_path: Path) -> Path:
    """Four commits: two files; one edited; it is moved and a picture comes; one goes and another comes."""
    repository = tmp_path / "repository"
    repository.mkdir()
    await _git(repository, "init", "-q", "-b", "trunk")
    ada, ben = "Ada Love <ada@example.org>", "Ben Meyer <ben@example.org>"
    await _commit(repository, "first words", {"start.md": "# Start\n\none\n", "gone.md": "gone\n"}, author=ada)
    await _commit(repository, "second edition", {"start.md": "# Start\n\ntwo\n"}, author=ada)
    moved = {"start.md": None, "guide/start.md": "# Start\n\ntwo\n", "guide/logo.svg": "<svg/>"}
    await _commit(repository, "move it", moved, author=ben)
    await _commit(repository, "out with the old", {"gone.md": None, "other.md": "# Other\n"}, author=ben)
    return repository


async def _bundle(repository: Path, tmp_path: Path) -> bytes:
    path = tmp_path / "out.bundle"
    await _git(repository, "bundle", "create", "-q", str(path), "--all")
    return path.read_bytes()


async def _clone(bundle: bytes, tmp_path: Path) -> Path:
    path, target = tmp_path / "in.bundle", tmp_path / "clone"
    await asyncio.to_thread(path.write_bytes, bundle)
    await _git(tmp_path, "clone", "-q", str(path), str(target))
    return target


pytestmark = pytest.mark.skipif(not Path("/usr/bin/git").exists(), reason="git is not installed")
