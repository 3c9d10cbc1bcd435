"""A stranger's gRPC tool (buf curl, where grpcurl is absent) against a running stack, knowing nothing of the protos."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from automesh.mesh.identity import IdentityFiles
from automesh.testing.live import LIMIT_S, LiveStack

pytestmark = pytest.mark.node

ROOT = Path(__file__).resolve().parents[2]


def curl(live: LiveStack, files: IdentityFiles, method: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """`buf curl` on the orchestrator, by reflection."""
    held = files.folder
    command: list[str | Path] = [
        ROOT / "tools" / "buf.sh",
        "curl",
        "--protocol",
        "grpc",
        "--servername",
        "orchestrator.automesh.local",
    ]
    command += ["--cacert", held / "bundle.pem", "--cert", held / "cert.pem", "--key", held / "key.pem", *options]
    url = f"https://127.0.0.1:{live.process('orchestrator').port}{method}"
    return subprocess.run([*command, url], capture_output=True, text=True, timeout=3 * LIMIT_S, check=False)


@pytest.fixture
def token(live: LiveStack) -> list[str]:
    return ["--header", f"authorization: Bearer {live.command('token').strip()}"]


def test_it_lists_services_and_methods(live: LiveStack, certificate: IdentityFiles) -> None:
    services = curl(live, certificate, "", "--list-services")
    methods = curl(live, certificate, "", "--list-methods")

    assert "automesh.orchestrator.v1.TaskService" in services.stdout.split(), services.stderr
    assert "automesh.orchestrator.v1.TaskService/CreateTask" in methods.stdout.split(), methods.stderr


def test_it_creates_a_task_and_watches_it_to_its_end(
    live: LiveStack, certificate: IdentityFiles, token: list[str]
) -> None:
    task = json.dumps({"task": {"type": "noop", "input": {"result": "by buf"}}})
    made = curl(live, certificate, "/automesh.orchestrator.v1.TaskService/CreateTask", *token, "--data", task)
    task_id = json.loads(made.stdout)["task"]["taskId"]
    asked = json.dumps({"taskId": task_id})
    watched = curl(live, certificate, "/automesh.orchestrator.v1.TaskService/WatchTask", *token, "--data", asked)

    assert "TASK_STATUS_COMPLETED" in watched.stdout, watched.stderr
    assert "by buf" in watched.stdout


def test_without_a_token_it_is_told_to_sign_in(live: LiveStack, certificate: IdentityFiles) -> None:
    refused = curl(live, certificate, "/automesh.orchestrator.v1.TaskService/ListTasks", "--data", "{}")

    assert refused.returncode != 0
    assert "unauthenticated" in refused.stderr


def test_an_error_comes_with_its_reason(live: LiveStack, certificate: IdentityFiles, token: list[str]) -> None:
    asked = json.dumps({"taskId": "task_00000000000000000000000"})
    refused = curl(live, certificate, "/automesh.orchestrator.v1.TaskService/GetTask", *token, "--data", asked)

    assert refused.returncode != 0
    told = json.loads(refused.stderr)
    assert (told["code"], told["details"][0]["type"]) == ("not_found", "google.rpc.ErrorInfo")
    assert b"TASK_NOT_FOUND" in base64.b64decode(told["details"][0]["value"] + "==")
