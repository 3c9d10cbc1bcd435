"""ArtifactService against a real server, a real PostgreSQL and a real blob folder."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from automesh.orchestrator.v1 import artifact_service_pb2 as pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as rpc
from automesh.orchestrator.v1 import task_service_pb2
from automesh.orchestrator.v1 import work_service_pb2 as work
from automesh.testing.wire import OrchestratorOnWire, WireAgent, task_request
from services.orchestrator.domain.shelf import READ_CHUNK
from services.orchestrator.engine import Engine

pytestmark = pytest.mark.postgres
MIB = 1024 * 1024


@pytest.fixture
async def agent(served: OrchestratorOnWire) -> AsyncIterator[WireAgent]:
    async with served.attached() as agent:
        yield agent


@pytest.fixture
async def lease(served: OrchestratorOnWire, agent: WireAgent) -> work.Lease:
    """A running task of the tenant `default`."""
    await (await served.tasks()).CreateTask(task_request())
    return await agent.take()


async def upload(
    served: OrchestratorOnWire,
    token: bytes,
    name: str,
    *chunks: bytes,
    content_type: str = "",
    channel: grpc.aio.Channel | None = None,
) -> pb.Artifact:
    async def requests() -> AsyncIterator[pb.UploadArtifactRequest]:
        header = pb.UploadArtifactHeader(lease_token=token, name=name, content_type=content_type)
        yield pb.UploadArtifactRequest(header=header)
        for chunk in chunks:
            yield pb.UploadArtifactRequest(chunk=chunk)

    stub = rpc.ArtifactServiceStub(channel or await served.mesh.channel("agent"))
    answer = await stub.UploadArtifact(requests())
    return answer.artifact


async def download(served: OrchestratorOnWire, task_id: str, name: str, tenant_id: str = "default") -> list[object]:
    stub = await served.artifacts(tenant_id)
    return [body async for body in stub.DownloadArtifact(pb.DownloadArtifactRequest(task_id=task_id, name=name))]


async def names(served: OrchestratorOnWire, task_id: str, **request: object) -> list[str]:
    stub = await served.artifacts()
    page = await stub.ListArtifacts(pb.ListArtifactsRequest(task_id=task_id, **request))  # type: ignore[arg-type]
    return [artifact.name for artifact in page.artifacts]


def blobs(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "artifacts" in path.parts]


async def code_of(call: object) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call  # type: ignore[misc] # awaitable
    return error.value.code()


async def test_a_file_comes_back_as_it_was_sent(served: OrchestratorOnWire, lease: work.Lease, tmp_path: Path) -> None:
    content = [b"a" * MIB, b"needle in the hay", b"b" * 1000]
    stored = await upload(served, lease.lease_token, "tests/test_version.py", *content)
    whole = b"".join(content)
    assert (stored.size, stored.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert stored.content_type == "text/x-python"
    assert stored.HasField("create_time")
    bodies = await download(served, lease.task_id, "tests/test_version.py")
    assert b"".join(body.data for body in bodies) == whole  # type: ignore[attr-defined]
    assert [body.content_type for body in bodies] == ["text/x-python"] + [""] * (len(bodies) - 1)  # type: ignore[attr-defined]
    assert max(len(body.data) for body in bodies) <= READ_CHUNK  # type: ignore[attr-defined]
    assert all(b"needle" not in path.read_bytes() for path in blobs(tmp_path))


async def test_an_empty_file_has_its_content_type(served: OrchestratorOnWire, lease: work.Lease) -> None:
    await upload(served, lease.lease_token, "empty.txt")
    [body] = await download(served, lease.task_id, "empty.txt")
    assert (body.content_type, body.data) == ("text/plain", b"")  # type: ignore[attr-defined]


async def test_files_are_listed_by_name_in_pages(served: OrchestratorOnWire, lease: work.Lease) -> None:
    for name in ("c", "a", "b"):
        await upload(served, lease.lease_token, name, b"x")
    stub = await served.artifacts()
    first = await stub.ListArtifacts(pb.ListArtifactsRequest(task_id=lease.task_id, page_size=2))
    assert [artifact.name for artifact in first.artifacts] == ["a", "b"]
    assert await names(served, lease.task_id, page_token=first.next_page_token) == ["c"]
    bad = stub.ListArtifacts(pb.ListArtifactsRequest(task_id="task_other", page_token=first.next_page_token))
    assert await code_of(bad) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_file_of_the_same_name_is_replaced_and_the_old_bytes_go(
    served: OrchestratorOnWire, lease: work.Lease, engine: Engine, tmp_path: Path
) -> None:
    await upload(served, lease.lease_token, "a", b"old")
    await upload(served, lease.lease_token, "a", b"new")
    [body] = await download(served, lease.task_id, "a")
    assert body.data == b"new"  # type: ignore[attr-defined]
    assert len(blobs(tmp_path)) == 2
    assert await engine.shelf.sweep() == 1
    assert len(blobs(tmp_path)) == 1


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a//b", "a/./b", "a\\b", "a\nb", "x" * 513, "a/"])
async def test_an_odd_name_is_refused(served: OrchestratorOnWire, lease: work.Lease, name: str) -> None:
    assert await code_of(upload(served, lease.lease_token, name, b"x")) is grpc.StatusCode.INVALID_ARGUMENT


async def test_bounds_are_kept(served: OrchestratorOnWire, lease: work.Lease) -> None:
    too_big = upload(served, lease.lease_token, "a", b"x" * (MIB + 1))
    assert await code_of(too_big) is grpc.StatusCode.INVALID_ARGUMENT
    too_much = upload(served, lease.lease_token, "a", *[b"x" * MIB] * 5)
    assert await code_of(too_much) is grpc.StatusCode.INVALID_ARGUMENT
    assert await names(served, lease.task_id) == []


async def test_an_upload_without_a_good_lease_is_aborted(
    served: OrchestratorOnWire, lease: work.Lease, agent: WireAgent
) -> None:
    assert await code_of(upload(served, b"made up", "a", b"x")) is grpc.StatusCode.ABORTED
    forged = lease.lease_token[:-1] + bytes([lease.lease_token[-1] ^ 1])
    assert await code_of(upload(served, forged, "a", b"x")) is grpc.StatusCode.ABORTED
    await agent.complete(lease)
    assert await code_of(upload(served, lease.lease_token, "a", b"x")) is grpc.StatusCode.ABORTED


async def test_a_lease_lost_during_the_upload_leaves_no_file(
    served: OrchestratorOnWire, lease: work.Lease, agent: WireAgent
) -> None:
    stub = rpc.ArtifactServiceStub(await served.mesh.channel("agent"))
    call = stub.UploadArtifact()
    header = pb.UploadArtifactHeader(lease_token=lease.lease_token, name="a")
    await call.write(pb.UploadArtifactRequest(header=header))
    await call.write(pb.UploadArtifactRequest(chunk=b"x" * MIB))
    await agent.complete(lease)
    await call.done_writing()
    assert await code_of(call) is grpc.StatusCode.ABORTED
    assert await names(served, lease.task_id) == []


async def test_the_lease_of_another_tenant_is_no_use(served: OrchestratorOnWire, lease: work.Lease) -> None:
    foreign = await served.mesh.signed_in(["work.lease"], tenant_id="acme")
    refused = upload(served, lease.lease_token, "a", b"x", channel=foreign)
    assert await code_of(refused) is grpc.StatusCode.PERMISSION_DENIED


async def test_files_of_another_tenant_are_not_found(served: OrchestratorOnWire, lease: work.Lease) -> None:
    await upload(served, lease.lease_token, "a", b"x")
    stub = await served.artifacts("acme")
    listed = stub.ListArtifacts(pb.ListArtifactsRequest(task_id=lease.task_id))
    assert await code_of(listed) is grpc.StatusCode.NOT_FOUND
    assert await code_of(download(served, lease.task_id, "a", "acme")) is grpc.StatusCode.NOT_FOUND
    assert await code_of(download(served, lease.task_id, "b")) is grpc.StatusCode.NOT_FOUND


async def test_files_go_with_their_task(
    served: OrchestratorOnWire, lease: work.Lease, agent: WireAgent, engine: Engine, tmp_path: Path
) -> None:
    await upload(served, lease.lease_token, "a", b"x")
    await agent.complete(lease)
    stub = await served.tasks()
    await stub.DeleteTask(task_service_pb2.DeleteTaskRequest(task_id=lease.task_id))
    assert await engine.shelf.sweep() == 1
    assert blobs(tmp_path) == []
