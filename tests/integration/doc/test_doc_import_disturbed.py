"""Imports that others write into, that die half-way, or whose archives leave something open."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from automesh.core.errors import Unavailable
from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import transfer_service_pb2 as pb
from services.doc.domain.attachments.attachment import Attachment
from services.doc.domain.attachments.shelf import AttachmentShelf
from services.doc.domain.documents.document import Head
from services.doc.store.imports import SqlImportStore
from services.doc.store.jobs import SqlJobStore
from tests.integration.doc.doc_house import Served, refused
from tests.integration.doc.doc_house_transfer import Transfers, problems, zipped


def linked(*names: str, **files: str) -> bytes:
    """A zip with links of these names."""
    out = io.BytesIO(zipped(files))
    with zipfile.ZipFile(out, "a") as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "elsewhere.md")
    return out.getvalue()


def before_the_first_commit(monkeypatch: pytest.MonkeyPatch, disturb: Any) -> None:
    """Somebody does something while an import is about to write."""
    commit, first = SqlImportStore.commit, [True]

    async def disturbed(self: SqlImportStore, *args: Any) -> Sequence[Head]:
        if first:
            first.clear()
            await disturb()
        return await commit(self, *args)

    monkeypatch.setattr(SqlImportStore, "commit", disturbed)


async def test_what_cannot_be_taken_is_not_missing_all_the_same(handbook: Served) -> None:
    ann = Transfers(handbook)
    await ann.done({"a.md": "# A\n", "b.md": "# B\n", "c.md": "# C\n"})
    job = await ann.done(linked("a.md", **{"b.md": "# B\n"}), delete_missing=True)
    assert problems(job) == {"a.md": "is a link: put the file itself into the archive"}
    assert set(await ann.paths()) == {"a.md", "b.md"}


async def test_what_somebody_wrote_meanwhile_is_told_of_and_each_problem_once(
    handbook: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Transfers(handbook)

    async def ben_writes() -> None:
        await handbook.write("a.md", "# Ben's\n", user="ben")

    before_the_first_commit(monkeypatch, ben_writes)
    job = await ann.done({"a.md": "# Ann's\n", "bad.md": b"\xff", "good.md": "# Good\n"})
    assert [each.path for each in job.problems] == ["bad.md", "a.md"], job.problems
    assert "never imported" in problems(job)["a.md"]
    assert (job.tally.created, job.tally.refused) == (1, 2)
    assert await ann.text("a.md") == "# Ben's\n"


async def test_what_somebody_brought_meanwhile_is_counted_as_unchanged(
    handbook: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Transfers(handbook)

    async def ben_writes() -> None:
        await handbook.write("a.md", "# A\n", user="ben")

    before_the_first_commit(monkeypatch, ben_writes)
    job = await ann.done({"a.md": "# A\n", "b.md": "# B\n"})
    assert (job.tally.created, job.tally.unchanged, job.tally.refused) == (1, 1, 0)
    job = await ann.done({"a.md": "# A2\n", "b.md": "# B\n"})  # the import knows what it brought
    assert (job.tally.updated, job.tally.refused) == (1, 0), job


async def test_an_import_that_dies_among_its_attachments_counts_and_tells_of_each_once(
    handbook: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Transfers(handbook)
    died: list[str] = []
    keep = AttachmentShelf.keep
    monkeypatch.setattr("services.doc.loops.jobs.TRY_AGAIN_S", 0.0)
    monkeypatch.setattr("services.doc.loops.jobs.TELL_EVERY_S", 0.0)

    async def dying(
        self: AttachmentShelf, person: Any, space: str, branch: str, path: str, *rest: Any, **more: Any
    ) -> Attachment:
        if path == "p5.txt" and not died:
            died.append(path)
            raise Unavailable("the store is away")
        return await keep(self, person, space, branch, path, *rest, **more)

    monkeypatch.setattr(AttachmentShelf, "keep", dying)
    files = {"a.md": "# A\n", **{f"p{at}.txt": f"{at}" for at in range(1, 8)}, "con.txt": "y"}
    job = await ann.bring(files)
    assert died
    assert job.state == job_pb2.JOB_STATE_DONE
    assert len(job.problems) == job.tally.refused
    assert job.tally.created + job.tally.refused == len(files), job
    assert job.tally.unchanged == 0
    again = await ann.done(files)
    assert again.tally.created == again.tally.updated == 0


async def test_the_progress_of_an_import_never_goes_back_nor_beyond_its_end(
    handbook: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Transfers(handbook)
    monkeypatch.setattr("services.doc.loops.jobs.TELL_EVERY_S", 0.0)
    seen: list[tuple[int, int]] = []
    told = SqlJobStore.tell

    async def telling(self: SqlJobStore, job_id: str, attempt: int, sight: Any, lease_s: float) -> None:
        seen.append((sight.done, sight.total))
        await told(self, job_id, attempt, sight, lease_s)

    monkeypatch.setattr(SqlJobStore, "tell", telling)
    await ann.done({"a.md": "# A\n", "con.md": "x", **{f"p{at}.txt": f"{at}" for at in range(5)}})
    repository = await ann.export(format=pb.ARCHIVE_FORMAT_GIT_BUNDLE)
    seen.clear()
    await ann.done(repository, prefix="copy")
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= total or not total for done, total in seen), seen


async def test_an_upload_for_which_there_is_no_place_is_not_kept(
    handbook: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.doc.domain.jobs.desk.MAX_OPEN", 0)
    error = await refused(Transfers(handbook).begin(zipped({"a.md": "# A\n"})))
    assert error.reason == "TOO_MANY_JOBS"
    waiting = await handbook.database.fetch("SELECT blob, due_at <= now() AS due FROM discarded_blob", tenant=None)
    assert all(row["due"] for row in waiting), waiting
