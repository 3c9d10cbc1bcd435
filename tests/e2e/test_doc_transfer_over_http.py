"""Imports, exports, jobs and backups over HTTP, through the gateway: what the how-to pages show."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from automesh.testing.people import Json, Person, error_of

FILES = {
    "docs/start.md": b"# Start\n\n[more](more.md) ![a](a.png)\n",
    "docs/more.md": b"# More\n",
    "docs/a.png": b"\x89PNG\r\n\x1a\n1",
}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return out.getvalue()


@pytest.fixture(scope="module")
def space(admin: Person) -> str:
    return str(admin.done("POST", "/spaces", json={"space": "transfer"})["space"])


@pytest.fixture(scope="module")
def imported(space: str, developer: Person) -> Json:
    given = {"root": "docs", "prefix": "guides", "wait": "60s"}
    job: Json = developer.done("POST", f"/spaces/{space}/docs:import", params=given, content=zipped(FILES))
    return job


def test_the_body_of_an_import_is_the_archive(imported: Json, space: str, developer: Person) -> None:
    assert (imported["state"], imported["tally"]["created"]) == ("JOB_STATE_DONE", "3")
    found = developer.done("GET", "/docs", params={"space": space})["documents"]
    assert [each["path"] for each in found] == ["guides/more.md", "guides/start.md"]


def test_a_job_is_read_watched_and_listed(imported: Json, space: str, developer: Person) -> None:
    path = f"/doc/jobs/{imported['jobId']}"
    assert developer.done("GET", path)["state"] == "JOB_STATE_DONE"
    lines = developer.call("GET", f"{path}:watch").text.splitlines()
    assert json.loads(lines[-1])["result"]["state"] == "JOB_STATE_DONE"
    listed = developer.done("GET", "/doc/jobs", params={"space": space})["jobs"]
    assert imported["jobId"] in {each["jobId"] for each in listed}
    assert developer.done("POST", f"{path}:cancel", json={})["state"] == "JOB_STATE_DONE"


def test_an_export_is_downloaded_as_a_file(imported: Json, space: str, developer: Person) -> None:
    asked = {"prefix": "guides", "format": "ARCHIVE_FORMAT_ZIP", "wait": "60s"}
    job = developer.done("POST", f"/spaces/{space}/docs:export", json=asked)
    answer = developer.call("GET", f"/doc/jobs/{job['jobId']}/file")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        found = {f"docs/{name}": archive.read(name) for name in archive.namelist() if not name.startswith(".")}
    assert found == FILES


def test_a_git_bundle_can_be_cloned(imported: Json, space: str, developer: Person, tmp_path: Path) -> None:
    asked = {"format": "ARCHIVE_FORMAT_GIT_BUNDLE", "wait": "60s"}
    job = developer.done("POST", f"/spaces/{space}/docs:export", json=asked)
    (tmp_path / "x.bundle").write_bytes(developer.call("GET", f"/doc/jobs/{job['jobId']}/file").content)
    subprocess.run(["git", "clone", "-q", "x.bundle", "x"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "x/guides/more.md").read_bytes() == b"# More\n"


def test_a_broken_archive_and_one_of_nothing_are_told_of(space: str, developer: Person) -> None:
    path = f"/spaces/{space}/docs:import"
    job = developer.done("POST", path, params={"wait": "60s"}, content=zipped(FILES)[:-30])
    assert job["state"] == "JOB_STATE_FAILED"
    assert "broken or cut" in job["failure"]
    assert error_of(developer.call("POST", path, content=b""))[0] == 400


def test_a_backup_is_made_verified_and_restored_beside_what_is_there(
    imported: Json, space: str, admin: Person, developer: Person
) -> None:
    made = admin.done("POST", "/doc/backups", json={"spaces": [space], "wait": "60s"})
    assert made["state"] == "JOB_STATE_DONE"
    path = f"/doc/backups/{made['backupId']}"
    assert admin.done("GET", path)["spaces"][0]["documents"] == "2"
    assert made["backupId"] in {each["backupId"] for each in admin.done("GET", "/doc/backups")["backups"]}
    assert admin.done("POST", f"{path}:verify", json={"wait": "60s"})["state"] == "JOB_STATE_DONE"
    restored = admin.done("POST", f"{path}:restore", json={"space": space, "asSpace": "transfer-copy", "wait": "60s"})
    assert restored["tally"]["created"] == "3"
    found = developer.done("GET", "/docs", params={"space": "transfer-copy"})["documents"]
    assert [each["path"] for each in found] == ["guides/more.md", "guides/start.md"]
    assert error_of(developer.call("GET", path))[:2] == (403, "PERMISSION_DENIED")
    admin.done("DELETE", path)
    assert error_of(admin.call("GET", path))[:2] == (404, "BACKUP_NOT_FOUND")
