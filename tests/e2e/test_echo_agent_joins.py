"""docs/examples/echo_agent.py, started as its first lines say."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from automesh.mesh.identity import IdentityFiles
from automesh.testing.live import LIMIT_S, LiveStack, until
from automesh.testing.people import Json, Person

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "echo_agent.py"


def echo_agent(person: Person) -> Json | None:
    agents = person.done("GET", "/agents")["agents"]
    return next((each for each in agents if each["name"] == "echo" and each["connected"]), None)


@pytest.fixture(scope="module")
def echo(
    live: LiveStack, admin: Person, certificate: IdentityFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[bytes]]:
    """The agent at work."""
    made = json.loads(live.command("key", "create", "echo", "--json"))
    key_file = tmp_path_factory.mktemp("echo") / "key"
    key_file.write_text(made["secret"])
    env = live.environment(AUTOMESH_API_KEY_FILE=str(key_file), AUTOMESH_IDENTITY_DIR=str(certificate.folder))
    with (key_file.parent / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, EXAMPLE], env=env, stdout=log, stderr=log)
    try:
        until(lambda: echo_agent(admin), "the echo agent to join")
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_agent_of_ones_own_joins_with_a_key_and_a_certificate_and_does_its_tasks(
    echo: subprocess.Popen[bytes], developer: Person
) -> None:
    task_id = developer.submit("echo", {"text": "hello big mesh"})["taskId"]
    messages = list(developer.watch(task_id))
    task = messages[-1]["task"]

    assert task["status"] == "TASK_STATUS_COMPLETED"
    assert task["result"] == {"text": "hello big mesh", "words": 3, "attempt": 1}
    assert [line["text"] for each in messages for line in each["logLines"]] == ["hello", "big", "mesh"]
    assert developer.call("GET", f"/tasks/{task_id}/artifacts/echo.txt").content == b"hello big mesh"


def test_its_permanent_error_reaches_whoever_asked(echo: subprocess.Popen[bytes], developer: Person) -> None:
    failed = developer.finished(developer.submit("echo", {})["taskId"])

    assert (failed["status"], failed["attempt"]) == ("TASK_STATUS_FAILED", 1)
    assert failed["failure"]["reason"] == "TEXT_MISSING"
    assert '{"text": "hello"}' in failed["failure"]["message"]


def test_an_agent_that_signed_in_for_one_tenant_is_unknown_in_others(
    echo: subprocess.Popen[bytes], ann: Person
) -> None:
    refused = ann.call("POST", "/tasks", json={"type": "echo", "input": {"text": "hello"}})

    assert refused.status_code == 400
    assert echo_agent(ann) is None


def test_told_to_stop_it_finishes_what_it_holds_and_ends_well(echo: subprocess.Popen[bytes], developer: Person) -> None:
    task_id = developer.submit("echo", {"text": " ".join(["word"] * 15)})["taskId"]
    developer.began(task_id)
    echo.send_signal(signal.SIGTERM)
    task = developer.finished(task_id)

    assert echo.wait(LIMIT_S) == 0
    assert (task["status"], task["attempt"]) == ("TASK_STATUS_COMPLETED", 1)
