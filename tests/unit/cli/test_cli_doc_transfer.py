"""`automesh doc push|pull|import|export|job`: folders to spaces and back; changes made here stay."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from automesh.cli import doc_jobs
from automesh.cli.doc_copy import RECORD, Copy, Source
from automesh.cli.doc_files import LocalFiles
from automesh.cli.doc_pull import ORIGIN, unpack
from automesh.cli.doc_push import pack
from automesh.doc.v1 import job_pb2, space_service_pb2, transfer_service_pb2
from automesh.doc.v1 import job_service_pb2 as jobs
from services.doc.domain.errors import SpaceNotFound
from tests.unit.cli.conftest import ScriptedGateway, Terminal


def job(state: Any, **fields: Any) -> job_pb2.Job:
    return job_pb2.Job(job_id="job_1", kind=job_pb2.JOB_KIND_IMPORT, state=state, **fields)


def running(gateway: ScriptedGateway, end: job_pb2.Job) -> None:
    """A job that runs, and then ends like this."""
    begun = job(job_pb2.JOB_STATE_QUEUED)
    gateway.on("ImportArchive", transfer_service_pb2.ImportArchiveResponse(job=begun))
    gateway.on("ExportArchive", transfer_service_pb2.ExportArchiveResponse(job=begun))
    middle = job(job_pb2.JOB_STATE_RUNNING, done=1, total=2, step="guides/start.md")
    gateway.on("WatchJob", [jobs.WatchJobResponse(job=each) for each in (begun, middle, end)])
    gateway.on("GetJob", jobs.GetJobResponse(job=end))


DONE = job(job_pb2.JOB_STATE_DONE, done=2, total=2, tally=job_pb2.Tally(created=2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    (made / "guides").mkdir(parents=True)
    (made / "guides" / "Übersicht.md").write_text("# Overview\n")
    (made / "logo.png").write_bytes(b"\x89PNG")
    (made / ".git").mkdir()
    (made / ".git" / "config").write_text("secret")
    (made / ".hidden.md").write_text("hidden")
    (made / "link.md").symlink_to("/etc/passwd")
    return made


def packed(files: dict[str, str], *, evil: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in {**files, **({evil: "evil"} if evil else {})}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


# ---------------------------------------------------------------------- push
def test_a_folder_is_sent_as_an_archive_without_what_is_hidden(
    automesh: Terminal, gateway: ScriptedGateway, folder: Path
) -> None:
    running(gateway, DONE)
    done = automesh(
        "doc", "push", str(folder), "--space", "handbook", "--prefix", "a/b", "-m", "why", "--delete-missing"
    )
    assert done.exit_code == 0, done.output
    [request] = gateway.requests("ImportArchive")
    assert (request.space, request.prefix, request.message, request.delete_missing) == ("handbook", "a/b", "why", True)
    with tarfile.open(fileobj=io.BytesIO(gateway.bodies[0])) as archive:
        assert sorted(archive.getnames()) == ["guides/Übersicht.md", "logo.png"]
    assert "2 created" in done.output


def test_a_push_shows_what_was_refused_and_says_so_with_its_status(
    automesh: Terminal, gateway: ScriptedGateway, folder: Path
) -> None:
    problem = job_pb2.Problem(path="guides/Übersicht.md", message="[red]it is not UTF-8")
    failed = job(job_pb2.JOB_STATE_FAILED, failure="the archive is broken at byte 7", problems=[problem])
    running(gateway, failed)
    done = automesh("doc", "push", str(folder), "--space", "handbook")
    assert done.exit_code == 3
    for said in ("guides/Übersicht.md", "[red]it is not UTF-8", "broken at byte 7"):
        assert said in done.output


def test_a_push_that_left_files_out_does_not_look_like_success(
    automesh: Terminal, gateway: ScriptedGateway, folder: Path
) -> None:
    running(gateway, job(job_pb2.JOB_STATE_DONE, tally=job_pb2.Tally(created=1, refused=1)))
    done = automesh("doc", "push", str(folder), "--space", "handbook")
    assert (done.exit_code, "1 created, 1 refused" in done.output) == (3, True)


def test_a_job_goes_on_when_nobody_waits_for_it(
    gateway: ScriptedGateway, automesh: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(gateway, DONE)

    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(doc_jobs, "watch_job", interrupted)
    done = automesh("doc", "push", str(folder), "--space", "handbook")
    assert "automesh doc job job_1" in done.output
    assert done.exit_code != 0


def test_push_makes_the_space_when_it_is_told_to(automesh: Terminal, gateway: ScriptedGateway, folder: Path) -> None:
    running(gateway, DONE)
    gateway.on("GetSpace", SpaceNotFound("no such space"))
    gateway.on("CreateSpace", space_service_pb2.CreateSpaceResponse())
    assert automesh("doc", "push", str(folder), "--space", "handbook", "--create").exit_code == 0
    [request] = gateway.requests("CreateSpace")
    assert request.space.space == "handbook"


def test_an_empty_folder_is_refused_before_anything_is_sent(automesh: Terminal, gateway: ScriptedGateway) -> None:
    empty = automesh.folder / "empty"
    empty.mkdir()
    done = automesh("doc", "push", str(empty), "--space", "handbook")
    assert "no files to push" in str(done.exception)
    assert gateway.seen == []


def test_a_watch_that_is_cut_is_taken_up_again(automesh: Terminal, gateway: ScriptedGateway, folder: Path) -> None:
    running(gateway, DONE)
    cut = [jobs.WatchJobResponse(job=job(job_pb2.JOB_STATE_RUNNING, done=1, total=2))]
    streams = [cut, [jobs.WatchJobResponse(job=DONE)]]
    gateway.on("WatchJob", lambda _: streams.pop(0))
    assert automesh("doc", "push", str(folder), "--space", "handbook").exit_code == 0
    assert len(gateway.requests("WatchJob")) == 2


def test_an_archive_is_imported_as_it_is(automesh: Terminal, gateway: ScriptedGateway) -> None:
    running(gateway, DONE)
    file = automesh.folder / "docs.zip"
    file.write_bytes(b"PK whatever")
    done = automesh("doc", "import", str(file), "--space", "handbook", "--root", "site/docs")
    assert done.exit_code == 0, done.output
    assert gateway.bodies == [b"PK whatever"]
    assert gateway.requests("ImportArchive")[0].root == "site/docs"


def test_a_job_is_printed_as_json(automesh: Terminal, gateway: ScriptedGateway, folder: Path) -> None:
    running(gateway, DONE)
    done = automesh("doc", "push", str(folder), "--space", "handbook", "--json")
    assert json.loads(done.output)["tally"]["created"] == "2"


# ---------------------------------------------------------------------- pull
def pulled(automesh: Terminal, gateway: ScriptedGateway, files: dict[str, str], *flags: str, evil: str = "") -> Any:
    running(gateway, DONE)
    gateway.on("DownloadExport", lambda _: packed(files, evil=evil))
    return automesh("doc", "pull", str(automesh.folder / "here"), "--space", "handbook", *flags)


def test_a_space_becomes_files_and_follows_its_changes(automesh: Terminal, gateway: ScriptedGateway) -> None:
    here = automesh.folder / "here"
    assert pulled(automesh, gateway, {"a.md": "1", "x/b.md": "2"}).exit_code == 0
    assert ((here / "a.md").read_text(), (here / "x" / "b.md").read_text()) == ("1", "2")
    second = pulled(automesh, gateway, {"a.md": "new"})
    assert second.exit_code == 0, second.output
    assert (here / "a.md").read_text() == "new"
    assert not (here / "x").exists(), "what is gone there and was not changed here goes as well"


def test_what_was_changed_here_is_left_alone_and_told(automesh: Terminal, gateway: ScriptedGateway) -> None:
    here = automesh.folder / "here"
    pulled(automesh, gateway, {"a.md": "1", "b.md": "2", "c.md": "3"})
    (here / "a.md").write_text("mine")
    (here / "b.md").write_text("mine too")
    (here / "own.md").write_text("only here")
    done = pulled(automesh, gateway, {"a.md": "theirs", "c.md": "3"})
    assert done.exit_code == 3
    assert ((here / "a.md").read_text(), (here / "b.md").read_text()) == ("mine", "mine too")
    assert (here / "own.md").read_text() == "only here"
    assert "a.md" in done.output
    again = pulled(automesh, gateway, {"a.md": "theirs", "c.md": "3"})
    assert again.exit_code == 3, "it stays so until somebody decides"
    forced = pulled(automesh, gateway, {"a.md": "theirs", "c.md": "3"}, "--force")
    assert (here / "a.md").read_text() == "theirs"
    assert (here / "b.md").read_text() == "mine too", "--force replaces, it removes nothing that was changed"
    assert forced.exit_code == 3


@pytest.mark.parametrize("evil", ["../evil.md", "/nowhere/evil.md", "a/../../evil.md"])
def test_an_archive_cannot_write_beside_the_folder(automesh: Terminal, gateway: ScriptedGateway, evil: str) -> None:
    done = pulled(automesh, gateway, {"a.md": "1"}, evil=evil)
    assert "leads out of" in str(done.exception)
    assert not (automesh.folder / "evil.md").exists()


def test_a_folder_with_links_cannot_be_led_astray(automesh: Terminal, gateway: ScriptedGateway) -> None:
    here, outside = automesh.folder / "here", automesh.folder / "outside"
    here.mkdir()
    outside.mkdir()
    os.symlink(outside, here / "x")
    done = pulled(automesh, gateway, {"x/b.md": "2"})
    assert "leads out of" in str(done.exception)
    assert list(outside.iterdir()) == []


def test_an_export_needs_an_ending_that_says_what_it_is(automesh: Terminal, gateway: ScriptedGateway) -> None:
    done = automesh("doc", "export", str(automesh.folder / "docs.exe"), "--space", "handbook")
    assert ".zip" in getattr(done.exception, "next_step", "")
    running(gateway, DONE)
    gateway.on("DownloadExport", lambda _: b"bundle")
    file = automesh.folder / "docs.bundle"
    assert automesh("doc", "export", str(file), "--space", "handbook").exit_code == 0
    assert file.read_bytes() == b"bundle"
    assert gateway.requests("ExportArchive")[0].format == transfer_service_pb2.ARCHIVE_FORMAT_GIT_BUNDLE
    assert "is there already" in str(automesh("doc", "export", str(file), "--space", "handbook").exception)


def origins(gateway: ScriptedGateway) -> dict[str, str] | None:
    """What the archive that was sent last says that its files were made from."""
    with tarfile.open(fileobj=io.BytesIO(gateway.bodies[-1])) as archive:
        if ORIGIN not in archive.getnames():
            return None
        told = archive.extractfile(ORIGIN)
        assert told is not None
        return dict(json.loads(told.read())["documents"])


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_copy_tells_what_it_was_made_from_when_it_is_pushed(automesh: Terminal, gateway: ScriptedGateway) -> None:
    here = automesh.folder / "here"
    pulled(automesh, gateway, {"a.md": "1", "b.md": "2"})
    (here / "a.md").write_text("mine")
    assert automesh("doc", "push", str(here), "--space", "handbook").exit_code == 0
    assert origins(gateway) == {"a.md": sha("1"), "b.md": sha("2")}
    automesh("doc", "push", str(here), "--space", "handbook")
    assert origins(gateway) == {"a.md": sha("mine"), "b.md": sha("2")}, "both sides have met meanwhile"


@pytest.mark.parametrize("elsewhere", [("--space", "other"), ("--space", "handbook", "--prefix", "x")])
def test_a_copy_says_nothing_of_places_that_it_was_not_made_from(
    automesh: Terminal, gateway: ScriptedGateway, elsewhere: tuple[str, ...]
) -> None:
    here = automesh.folder / "here"
    pulled(automesh, gateway, {"a.md": "1"})
    (here / "a.md").write_text("mine")
    automesh("doc", "push", str(here), *elsewhere)
    assert origins(gateway) is None
    found = Copy.of(here)
    assert found is not None
    assert found.files == {"a.md": sha("1")}


def test_a_folder_that_is_no_copy_is_not_made_one(automesh: Terminal, gateway: ScriptedGateway, folder: Path) -> None:
    running(gateway, DONE)
    automesh("doc", "push", str(folder), "--space", "handbook")
    assert origins(gateway) is None
    assert not (folder / RECORD).exists()


def test_what_was_pushed_is_followed_again_and_what_was_refused_is_not(
    automesh: Terminal, gateway: ScriptedGateway
) -> None:
    here = automesh.folder / "here"
    pulled(automesh, gateway, {"x/a.md": "1", "x/b.md": "2"}, "--prefix", "p")
    (here / "x" / "a.md").write_text("mine")
    (here / "x" / "b.md").write_text("mine")
    problem = job_pb2.Problem(path="p/x/b.md", message="changed here by ben")
    running(gateway, job(job_pb2.JOB_STATE_DONE, tally=job_pb2.Tally(refused=1), problems=[problem]))
    automesh("doc", "push", str(here), "--space", "handbook", "--prefix", "p")
    again = pulled(automesh, gateway, {"x/a.md": "both", "x/b.md": "ben"}, "--prefix", "p")
    assert again.exit_code == 3
    assert ((here / "x" / "a.md").read_text(), (here / "x" / "b.md").read_text()) == ("both", "mine")


def test_a_push_that_failed_has_met_nothing(automesh: Terminal, gateway: ScriptedGateway) -> None:
    here = automesh.folder / "here"
    pulled(automesh, gateway, {"a.md": "1"})
    (here / "a.md").write_text("mine")
    for end in (job(job_pb2.JOB_STATE_FAILED), job(job_pb2.JOB_STATE_DONE, tally=job_pb2.Tally(refused=1001))):
        running(gateway, end)
        automesh("doc", "push", str(here), "--space", "handbook")
        found = Copy.of(here)
        assert found is not None
        assert found.files == {"a.md": sha("1")}


def test_a_file_that_was_there_before_the_first_pull_was_not_made_from_what_is_pulled(
    automesh: Terminal, gateway: ScriptedGateway
) -> None:
    here = automesh.folder / "here"
    here.mkdir()
    (here / "a.md").write_text("my own")
    assert pulled(automesh, gateway, {"a.md": "theirs", "b.md": "2"}).exit_code == 3
    found = Copy.of(here)
    assert found is not None
    assert found.files == {"b.md": sha("2")}


def test_another_space_in_the_same_folder_removes_nothing(automesh: Terminal, gateway: ScriptedGateway) -> None:
    here = automesh.folder / "here"
    pulled(automesh, gateway, {"a.md": "1"})
    running(gateway, DONE)
    gateway.on("DownloadExport", lambda _: packed({"b.md": "2"}))
    assert automesh("doc", "pull", str(here), "--space", "other").exit_code == 0
    assert (here / "a.md").read_text() == "1"


def test_a_pull_that_ends_in_the_middle_leaves_no_half_file_and_knows_what_it_wrote(
    automesh: Terminal, gateway: ScriptedGateway
) -> None:
    here = automesh.folder / "here"
    (here / "b.md").mkdir(parents=True)
    assert pulled(automesh, gateway, {"a.md": "1", "b.md": "2"}).exit_code != 0
    found = Copy.of(here)
    assert found is not None
    assert found.files == {"a.md": sha("1")}
    (here / "b.md").rmdir()
    assert pulled(automesh, gateway, {"a.md": "new", "b.md": "2"}).exit_code == 0
    assert sorted(path.name for path in here.iterdir()) == [RECORD, "a.md", "b.md"]


@pytest.mark.parametrize(
    "record", ["", "[]", "{}", '{"a.md": "1"}', '{"space": 1, "branch": "", "prefix": "", "files": []}']
)
def test_a_record_that_is_not_understood_is_none(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    assert Copy.of(tmp_path) is None


def test_a_folder_that_cannot_be_read_stops_a_push_before_what_is_in_it_is_missed(
    automesh: Terminal, gateway: ScriptedGateway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def closed(path: str) -> Any:
        if str(path).endswith("guides"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    done = automesh("doc", "push", str(folder), "--space", "handbook", "--delete-missing")
    assert isinstance(done.exception, PermissionError)
    assert gateway.seen == []


def test_two_names_of_one_file_are_two_files_and_links_are_told_of(
    automesh: Terminal, gateway: ScriptedGateway, folder: Path
) -> None:
    os.link(folder / "logo.png", folder / "other.png")
    (folder / "folder").symlink_to(folder / "guides")
    running(gateway, DONE)
    done = automesh("doc", "push", str(folder), "--space", "handbook")
    assert "Left here, as links: folder, link.md" in done.output
    with tarfile.open(fileobj=io.BytesIO(gateway.bodies[0])) as archive:
        assert all(member.isfile() and not member.uname for member in archive)
        assert "other.png" in archive.getnames()


def test_what_an_export_says_of_itself_is_no_file_of_the_folder(tmp_path: Path) -> None:
    archive = tmp_path / "in.tar.gz"
    archive.write_bytes(packed({"a.md": "# A\n", ORIGIN: "{}"}))
    unpack(archive, tmp_path / "out", Source("handbook"), force=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [RECORD, "a.md"]


def test_what_is_packed_is_told_by_its_hash(folder: Path, tmp_path: Path) -> None:
    sent = pack(LocalFiles.of(folder).files, tmp_path / "out.tar.gz", quiet=True)
    assert sent["guides/Übersicht.md"] == sha("# Overview\n")
