"""Programs that speak gRPC: generated stubs on a plain channel, the SDK over xDS, reflection and health."""

import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from automesh.mesh.identity import IdentityFiles
from automesh.orchestrator.v1 import task_pb2
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2_grpc as rpc
from automesh.testing.ca import ThrowawayCa
from automesh.testing.live import LIMIT_S, LiveStack
from automesh.testing.people import Json, Person

PROGRAMS = Path(__file__).parent / "programs"
SERVICES = {
    "orchestrator": ("TaskService", "WorkService", "ArtifactService"),
    "auth": ("TokenService", "UserService", "ApiKeyService", "CertificateService", "AuditService"),
    "control": ("MeshService", "RegistryService"),
    "data": ("DataService", "ProcessingService"),
    "model": ("RunService", "ModelService", "TrainingService", "WebhookService", "InferenceService"),
    "agent": ("AgentService",),
    "gateway": (),
}


def target(live: LiveStack, service: str) -> tuple[str, list[tuple[str, str]]]:
    """Address of a service, and the channel options that name it as its certificate does."""
    override = [("grpc.ssl_target_name_override", f"{service}.automesh.local")]
    if service != "gateway":
        return f"127.0.0.1:{live.process(service).port}", override
    ports = {each.laddr.port for each in live.running("gateway").net_connections("tcp") if each.status == "LISTEN"}
    return f"127.0.0.1:{(ports - {live.process('gateway').port}).pop()}", override  # the other one speaks HTTP


def credentials(files: IdentityFiles) -> grpc.ChannelCredentials:
    held = files.load()
    return grpc.ssl_channel_credentials(held.bundle_pem, held.key_pem, held.certificate_pem)


@pytest.fixture
async def tasks(live: LiveStack, certificate: IdentityFiles) -> "AsyncIterator[rpc.TaskServiceAsyncStub]":
    """A stub of TaskService, on a channel that knows nothing of the mesh."""
    address, options = target(live, "orchestrator")
    async with grpc.aio.secure_channel(address, credentials(certificate), options) as channel:
        yield rpc.TaskServiceStub(channel)


@pytest.fixture
def token(live: LiveStack) -> tuple[tuple[str, str], ...]:
    """Metadata with the access token that `automesh token` prints."""
    return (("authorization", f"Bearer {live.command('token').strip()}"),)


async def test_a_task_is_created_and_watched_with_generated_stubs_a_certificate_and_a_token(
    tasks: "rpc.TaskServiceAsyncStub", token: tuple[tuple[str, str], ...]
) -> None:
    task = task_pb2.Task(type="noop", priority=0)
    task.input.update({"sleep_s": 0.3, "result": "by stub"})
    created = (await tasks.CreateTask(pb.CreateTaskRequest(task=task), metadata=token, timeout=LIMIT_S)).task
    watch = tasks.WatchTask(pb.WatchTaskRequest(task_id=created.task_id), metadata=token, timeout=LIMIT_S)
    seen = [message.task async for message in watch]

    assert created.HasField("priority")
    assert created.priority == 0
    assert seen[-1].status == task_pb2.TASK_STATUS_COMPLETED
    assert MessageToDict(seen[-1].result) == {"result": "by stub", "slept_s": 0.3}


async def test_a_certificate_without_a_token_opens_nothing(tasks: "rpc.TaskServiceAsyncStub") -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await tasks.ListTasks(pb.ListTasksRequest(), timeout=LIMIT_S)

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "token" in (refused.value.details() or "")


async def test_a_token_without_a_certificate_does_not_even_connect(
    live: LiveStack, certificate: IdentityFiles, token: tuple[tuple[str, str], ...]
) -> None:
    address, options = target(live, "orchestrator")
    only_roots = grpc.ssl_channel_credentials(certificate.load().bundle_pem)
    async with grpc.aio.secure_channel(address, only_roots, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc.TaskServiceStub(channel).ListTasks(pb.ListTasksRequest(), metadata=token, timeout=LIMIT_S)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_does_not_even_connect(
    live: LiveStack, certificate: IdentityFiles, token: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    address, options = target(live, "orchestrator")
    foreign = ThrowawayCa(tmp_path).service("orchestrator").load()
    shown = grpc.ssl_channel_credentials(certificate.load().bundle_pem, foreign.key_pem, foreign.certificate_pem)
    async with grpc.aio.secure_channel(address, shown, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc.TaskServiceStub(channel).ListTasks(pb.ListTasksRequest(), metadata=token, timeout=LIMIT_S)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_plain_text_is_not_spoken(live: LiveStack) -> None:
    async with grpc.aio.insecure_channel(target(live, "orchestrator")[0]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc.TaskServiceStub(channel).ListTasks(pb.ListTasksRequest(), timeout=LIMIT_S)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.fixture(params=SERVICES)
def served(
    live: LiveStack, certificate: IdentityFiles, request: pytest.FixtureRequest
) -> Iterator[tuple[str, grpc.Channel]]:
    """Each service, and a channel to it without a token."""
    address, options = target(live, request.param)
    with grpc.secure_channel(address, credentials(certificate), options) as channel:
        yield request.param, channel


def test_every_service_tells_by_reflection_what_it_serves(served: tuple[str, grpc.Channel]) -> None:
    service, channel = served
    database = ProtoReflectionDescriptorDatabase(channel)
    names = set(database.get_services())

    own = {name for name in names if name.startswith("automesh.")}
    assert own == {f"automesh.{service}.v1.{name}" for name in SERVICES[service]}
    assert {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names
    for name in own:
        file = database.FindFileContainingSymbol(name)
        assert name.rpartition(".")[2] in [each.name for each in file.service]


def test_every_service_tells_its_health(served: tuple[str, grpc.Channel]) -> None:
    service, channel = served
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know no methods
    asked = ["", *(f"automesh.{service}.v1.{name}" for name in SERVICES[service])]
    answers = {name: stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=LIMIT_S).status for name in asked}

    assert set(answers.values()) == {health_pb2.HealthCheckResponse.SERVING}
    with pytest.raises(grpc.RpcError) as refused:
        stub.Check(health_pb2.HealthCheckRequest(service="automesh.none.v1.None"), timeout=LIMIT_S)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_client_of_the_sdk_finds_the_services_by_xds_and_sees_a_task_through(
    live: LiveStack, developer: Person, certificate: IdentityFiles, tmp_path: Path
) -> None:
    made = developer.done("POST", "/apikeys", json={"apiKey": {"name": "sdk"}})
    env = live.environment(AUTOMESH_API_KEY=made["secret"], AUTOMESH_IDENTITY_DIR=str(certificate.folder))
    command = [sys.executable, str(PROGRAMS / "sdk_client.py"), str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["status"] == "TASK_STATUS_COMPLETED"
    assert told["statuses_seen"][-1] == "TASK_STATUS_COMPLETED"
    assert told["result"] == {"result": "by sdk", "slept_s": 0.3}
    assert told["refused"] == "UNKNOWN_TASK_TYPE"
    assert told["listed"] is True
    assert developer.task(told["task_id"])["createdBy"] == made["apiKey"]["keyId"]


def test_the_sdk_downloads_artifacts_byte_for_byte(
    live: LiveStack, developer: Person, generated: Json, certificate: IdentityFiles, tmp_path: Path
) -> None:
    task_id = generated["taskId"]
    key = developer.done("POST", "/apikeys", json={"apiKey": {"name": "sdk-download"}})["secret"]
    env = live.environment(AUTOMESH_API_KEY=key, AUTOMESH_IDENTITY_DIR=str(certificate.folder))
    command = [sys.executable, str(PROGRAMS / "sdk_client.py"), str(tmp_path), task_id]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr

    listed = developer.done("GET", f"/tasks/{task_id}/artifacts")["artifacts"]
    digests = {each["name"]: hashlib.sha256((tmp_path / each["name"]).read_bytes()).hexdigest() for each in listed}
    assert digests == {each["name"]: each["sha256"] for each in listed}
    assert "report.json" in digests
