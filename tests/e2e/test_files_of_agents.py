"""Files that agents leave: big ones pass through the gateway whole, odd names find their way back."""

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from automesh.mesh.identity import IdentityFiles
from automesh.testing.live import LiveStack, until
from automesh.testing.people import Person

PROGRAM = Path(__file__).parent / "programs" / "files_agent.py"
BIG = 24 * 1024 * 1024  # more than any message of the mesh may hold
NAMES = [
    "a b.txt",
    "ü/ß/日本.txt",
    "100%.txt",
    "q?x=1&y#z.txt",
    "plus+sign;semi,comma.txt",
    "x:watch",
    "deep/er/and/deeper.txt",
]


@pytest.fixture(scope="module")
def files_agent(
    live: LiveStack, admin: Person, certificate: IdentityFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    key = admin.done("POST", "/apikeys", json={"apiKey": {"name": "files", "permissions": ["work.lease"]}})["secret"]
    env = live.environment(AUTOMESH_API_KEY=key, AUTOMESH_IDENTITY_DIR=str(certificate.folder))
    with (tmp_path_factory.mktemp("files") / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, PROGRAM], env=env, stdout=log, stderr=log)
    try:
        until(lambda: any(each["name"] == "files" for each in admin.done("GET", "/agents")["agents"]), "it to join")
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("files_agent")
def test_a_file_far_larger_than_a_message_is_downloaded_byte_for_byte(developer: Person) -> None:
    task_id = developer.finished(developer.submit("files", {"bytes": BIG})["taskId"])["taskId"]
    listed = developer.done("GET", f"/tasks/{task_id}/artifacts")["artifacts"]
    content = developer.call("GET", f"/tasks/{task_id}/artifacts/big.bin").content
    expected = random.Random(BIG).randbytes(BIG)

    assert [(each["name"], int(each["size"])) for each in listed] == [("big.bin", BIG)]
    assert hashlib.sha256(content).hexdigest() == listed[0]["sha256"] == hashlib.sha256(expected).hexdigest()


@pytest.mark.usefixtures("files_agent")
def test_files_of_odd_names_are_listed_and_found_under_those_names(developer: Person) -> None:
    task = developer.finished(developer.submit("files", {"names": NAMES})["taskId"])
    path = f"/tasks/{task['taskId']}/artifacts"
    listed = [each["name"] for each in developer.done("GET", path)["artifacts"]]
    contents = {name: developer.call("GET", f"{path}/{quote(name)}").text for name in NAMES}

    assert task["status"] == "TASK_STATUS_COMPLETED", task.get("failure")
    assert sorted(listed) == sorted(NAMES)
    assert contents == {name: name for name in NAMES}


@pytest.mark.usefixtures("files_agent")
@pytest.mark.parametrize("name", ["../escape.txt", "/etc/passwd", "a//b", "", "back\\slash", "x" * 600])
def test_a_name_that_leads_elsewhere_is_refused(developer: Person, name: str) -> None:
    failed = developer.finished(developer.submit("files", {"names": [name]}, retryPolicy={"maxRetries": 0})["taskId"])

    assert failed["status"] == "TASK_STATUS_FAILED"
    assert developer.done("GET", f"/tasks/{failed['taskId']}/artifacts")["artifacts"] == []


@pytest.mark.usefixtures("files_agent")
def test_a_deleted_task_takes_its_files_with_it(developer: Person) -> None:
    task_id = developer.finished(developer.submit("files", {"names": ["gone.txt"]})["taskId"])["taskId"]
    before = developer.call("GET", f"/tasks/{task_id}/artifacts/gone.txt")
    developer.done("DELETE", f"/tasks/{task_id}")

    assert before.status_code == 200
    assert developer.call("GET", f"/tasks/{task_id}/artifacts/gone.txt").status_code == 404
    assert developer.call("GET", f"/tasks/{task_id}/artifacts").status_code == 404


def test_what_lies_on_the_disk_is_not_what_was_uploaded(live: LiveStack, developer: Person, files_agent: None) -> None:
    secret = "a very particular text that only this test writes"
    developer.finished(developer.submit("files", {"names": [secret]})["taskId"])
    blobs = [path for path in live.state.blobs.rglob("*") if path.is_file()]

    assert blobs
    assert [path for path in blobs if secret.encode() in path.read_bytes()] == []
