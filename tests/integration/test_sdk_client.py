"""The typed client, tokens and certificates, against real servers that play the platform."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from automesh.auth.v1 import certificate_service_pb2 as certificate_pb
from automesh.auth.v1 import certificate_service_pb2_grpc as certificate_rpc
from automesh.auth.v1 import token_service_pb2 as token_pb
from automesh.auth.v1 import token_service_pb2_grpc as token_rpc
from automesh.core.errors import NotFound, Unauthenticated, Unavailable, ValidationError
from automesh.mesh.errors import abort
from automesh.mesh.identity import SpiffeId
from automesh.orchestrator.v1 import artifact_service_pb2 as artifact_pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as artifact_rpc
from automesh.orchestrator.v1 import task_pb2
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.orchestrator.v1 import task_service_pb2_grpc as rpc
from automesh.sdk import Client, ConfigurationError
from automesh.sdk.certificate import ClientCertificates
from automesh.sdk.tokens import ApiKeyTokens, FileTokens
from automesh.testing.orchestrator import LIMIT_S, FakeConnection

Context = Any
RUNNING, COMPLETED = task_pb2.TASK_STATUS_RUNNING, task_pb2.TASK_STATUS_COMPLETED


class Platform(
    rpc.TaskServiceServicer,
    artifact_rpc.ArtifactServiceServicer,
    token_rpc.TokenServiceServicer,
    certificate_rpc.CertificateServiceServicer,
):
    """Plays orchestrator and auth."""

    def __init__(self) -> None:
        self.created: list[pb.CreateTaskRequest] = []
        self.watched: list[str] = []  # the cursors
        self.exchanged: list[str] = []
        self.artifacts = {"report.json": b"{}", "tests/test_it.py": b"x" * 100_000}
        self.token_life = timedelta(minutes=5)
        self.certificates: list[tuple[str, str]] = []

    async def CreateTask(self, request: pb.CreateTaskRequest, context: Context) -> pb.CreateTaskResponse:
        self.created.append(request)
        task = task_pb2.Task(task_id="task_1", type=request.task.type)
        return pb.CreateTaskResponse(task=task)

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        if request.task_id != "task_1":
            await abort(context, NotFound(f"there is no task {request.task_id}"))
        return pb.GetTaskResponse(task=task_pb2.Task(task_id="task_1"))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        page = int(request.page_token or 0)
        tasks = [task_pb2.Task(task_id=f"task_{page}_{number}") for number in range(2)]
        return pb.ListTasksResponse(tasks=tasks, next_page_token=str(page + 1) if page < 2 else "")

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:
        return pb.CancelTaskResponse(task=task_pb2.Task(task_id=request.task_id, description=request.reason))

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Context) -> AsyncIterator[pb.WatchTaskResponse]:
        self.watched.append(request.cursor)
        if request.task_id == "endless":
            await asyncio.Event().wait()
        if not request.cursor:
            yield pb.WatchTaskResponse(task=task_pb2.Task(status=RUNNING), cursor="c1")
            await abort(context, Unavailable("this replica goes away"))
        yield pb.WatchTaskResponse(task=task_pb2.Task(status=COMPLETED), cursor="c2")

    async def ListArtifacts(
        self, request: artifact_pb.ListArtifactsRequest, context: Context
    ) -> artifact_pb.ListArtifactsResponse:
        return artifact_pb.ListArtifactsResponse(artifacts=[artifact_pb.Artifact(name=name) for name in self.artifacts])

    async def DownloadArtifact(
        self, request: artifact_pb.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[HttpBody]:
        content = self.artifacts[request.name]
        for start in range(0, len(content), 30_000):
            yield HttpBody(data=content[start : start + 30_000])

    async def ExchangeApiKey(
        self, request: token_pb.ExchangeApiKeyRequest, context: Context
    ) -> token_pb.ExchangeApiKeyResponse:
        if request.api_key != "am_good":
            await abort(context, Unauthenticated("this key is not, or no longer, valid"))
        self.exchanged.append(request.api_key)
        tokens = token_pb.TokenPair(access_token=f"token-{len(self.exchanged)}")
        tokens.expires_in.FromTimedelta(self.token_life)
        return token_pb.ExchangeApiKeyResponse(tokens=tokens)

    async def IssueClientCertificate(
        self, request: certificate_pb.IssueClientCertificateRequest, context: Context
    ) -> certificate_pb.IssueClientCertificateResponse:
        self.certificates.append((request.name, dict(context.invocation_metadata())["authorization"]))
        chain = certificate_pb.CertificateChain(certificate_pem=request.csr_pem, bundle_pem="roots")
        return certificate_pb.IssueClientCertificateResponse(chain=chain)


@pytest.fixture
def platform() -> Platform:
    return Platform()  # type: ignore[abstract]  # only what the client uses is played


@pytest.fixture
async def channel(platform: Platform) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    rpc.add_TaskServiceServicer_to_server(platform, server)
    artifact_rpc.add_ArtifactServiceServicer_to_server(platform, server)
    token_rpc.add_TokenServiceServicer_to_server(platform, server)
    certificate_rpc.add_CertificateServiceServicer_to_server(platform, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.fixture
def client(channel: grpc.aio.Channel) -> Client:
    return Client(FakeConnection(channel))


async def test_a_task_is_created_with_what_was_asked_for(client: Client, platform: Platform) -> None:
    when = datetime(2030, 1, 1, tzinfo=UTC)
    task = await client.create_task(
        "noop",
        {"sleep_s": 1, "list": [1, {"a": None}]},
        priority=0,
        attempt_timeout=timedelta(minutes=2),
        run_at=when,
        max_retries=0,
        request_id="once",
    )
    sent = platform.created[0]
    assert task.task_id == "task_1"
    assert (sent.task.priority, sent.task.HasField("priority"), sent.request_id) == (0, True, "once")
    assert (sent.task.timeout.seconds, sent.task.run_at.ToDatetime(UTC)) == (120, when)
    assert (sent.task.retry_policy.max_retries, sent.task.input["sleep_s"]) == (0, 1)


async def test_what_is_not_said_is_not_sent(client: Client, platform: Platform) -> None:
    await client.create_task("noop")
    sent = platform.created[0].task
    assert not any(sent.HasField(name) for name in ("priority", "timeout", "run_at", "retry_policy"))


async def test_input_that_is_not_json_is_refused_before_it_is_sent(client: Client, platform: Platform) -> None:
    with pytest.raises(ValidationError, match="JSON"):
        await client.create_task("noop", {"x": object()})
    assert platform.created == []


async def test_errors_come_back_as_what_the_service_raised(client: Client) -> None:
    with pytest.raises(NotFound, match="there is no task task_2"):
        await client.get_task("task_2")
    assert (await client.get_task("task_1")).task_id == "task_1"


async def test_lists_go_over_all_pages(client: Client) -> None:
    assert [task.task_id async for task in client.list_tasks()] == [
        f"task_{page}_{number}" for page in range(3) for number in range(2)
    ]


async def test_cancel_tells_why(client: Client) -> None:
    assert (await client.cancel_task("task_1", "no need")).description == "no need"


async def test_wait_goes_on_where_a_lost_stream_ended(client: Client, platform: Platform) -> None:
    async with asyncio.timeout(LIMIT_S):
        assert (await client.wait("task_1")).status == COMPLETED
    assert platform.watched == ["", "c1"]


async def test_wait_ends_after_its_limit(client: Client) -> None:
    with pytest.raises(TimeoutError):
        await client.wait("endless", timeout_s=0.05)


async def test_artifacts_are_stored_below_the_folder(client: Client, platform: Platform, tmp_path: Path) -> None:
    paths = await client.download("task_1", tmp_path / "out")
    assert [path.relative_to(tmp_path) for path in paths] == [Path("out/report.json"), Path("out/tests/test_it.py")]
    assert paths[1].read_bytes() == platform.artifacts["tests/test_it.py"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file()) == [
        "report.json",
        "test_it.py",
    ]


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../escape", "."])
async def test_an_artifact_cannot_leave_the_folder(
    client: Client, platform: Platform, tmp_path: Path, name: str
) -> None:
    platform.artifacts = {name: b"bad"}
    with pytest.raises(ValidationError, match="leads out of the folder"):
        await client.download("task_1", tmp_path / "out")


async def test_an_api_key_is_traded_once_until_the_token_gets_old(
    channel: grpc.aio.Channel, platform: Platform
) -> None:
    now = [0.0]
    tokens = ApiKeyTokens("am_good", channel, clock=lambda: now[0])
    assert set(await asyncio.gather(*(tokens.access_token() for _ in range(5)))) == {"token-1"}
    now[0] = 0.69 * 300
    assert await tokens.access_token() == "token-1"
    now[0] = 0.71 * 300
    assert await tokens.access_token() == "token-2"
    assert len(platform.exchanged) == 2


async def test_a_key_that_is_no_good_is_said_to_be(channel: grpc.aio.Channel) -> None:
    with pytest.raises(Unauthenticated, match="no longer"):
        await ApiKeyTokens("am_bad", channel).access_token()


async def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    tokens = FileTokens(file)
    with pytest.raises(ConfigurationError, match="cannot read"):
        await tokens.access_token()
    file.write_text("")
    with pytest.raises(ConfigurationError, match="empty"):
        await tokens.access_token()
    for text in ("one", "two"):
        file.write_text(f"{text}\n")
        assert await tokens.access_token() == text


@pytest.mark.parametrize("name", ["echo", "acme--echo"])
async def test_a_client_certificate_is_renewed_under_its_own_name(
    channel: grpc.aio.Channel, platform: Platform, name: str
) -> None:
    identity = SpiffeId.for_client("automesh.local", "dev", name)
    chain = await ClientCertificates(FakeConnection(channel), identity).issue(b"csr")
    assert platform.certificates == [("echo", "Bearer fake")]
    assert (chain.certificate_pem, chain.bundle_pem) == (b"csr", b"roots")
