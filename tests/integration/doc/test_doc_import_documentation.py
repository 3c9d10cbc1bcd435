"""What agents write under a task comes in as if the task's creator had imported it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import transfer_service_pb2 as pb
from automesh.doc.v1 import transfer_service_pb2_grpc as rpc
from automesh.testing.postgres import PostgresForTests
from services.doc.fakes.tasks import FakeTasks
from tests.integration.doc.doc_house import Served, doc_service, invalid, refused
from tests.integration.doc.doc_house_transfer import Transfers

ADMIN = ("doc.read", "doc.write", "doc.admin")


@pytest.fixture
def tasks() -> FakeTasks:
    return FakeTasks()


@pytest.fixture
async def served(postgres: PostgresForTests, tmp_path: Path, tasks: FakeTasks) -> AsyncIterator[Served]:
    async with doc_service(postgres, tmp_path, tasks=tasks) as served:
        yield served


async def store(served: Served, token: bytes, files: Mapping[str, bytes]) -> job_pb2.Job:
    """As an agent, in pieces."""

    async def requests() -> AsyncIterator[pb.StoreDocumentationRequest]:
        yield pb.StoreDocumentationRequest(header=pb.StoreDocumentationHeader(lease_token=token))
        for path, content in files.items():
            yield pb.StoreDocumentationRequest(path=path)
            for start in range(0, len(content), 7):
                yield pb.StoreDocumentationRequest(chunk=content[start : start + 7])

    channel = await served.mesh.channel("agent")
    call = rpc.TransferServiceStub(channel).StoreDocumentation(requests(), timeout=60)
    return (await call).job


async def test_files_of_an_agent_become_documents_of_the_space(served: Served, tasks: FakeTasks) -> None:
    await served.space("api")
    token = tasks.take({"space": "api", "prefix": "reference", "package": "x"})
    job = await store(served, token, {"a.md": b"# A\n\n[b](b.md)\n", "b.md": b"# B\n", "x.png": b"\x89PNG\r\n\x1a\n"})
    assert (job.state, job.tally.created, job.created_by) == (job_pb2.JOB_STATE_DONE, 3, "user_ann")
    assert set(await Transfers(served).paths("api")) == {"reference/a.md", "reference/b.md"}


async def test_the_same_files_again_change_nothing_and_what_is_gone_goes(served: Served, tasks: FakeTasks) -> None:
    await served.space("api")
    token = tasks.take({"space": "api", "delete_missing": True})
    await store(served, token, {"a.md": b"# A\n", "b.md": b"# B\n"})
    again = await store(served, token, {"a.md": b"# A\n", "b.md": b"# B\n"})
    assert (again.tally.unchanged, again.tally.created) == (2, 0)
    last = await store(served, token, {"a.md": b"# A\n"})
    assert last.tally.deleted == 1


async def test_without_the_lease_nothing_is_stored(served: Served, tasks: FakeTasks) -> None:
    await served.space("api")
    token = tasks.take({"space": "api"})
    tasks.again(token)
    error = await refused(store(served, token, {"a.md": b"# A\n"}))
    assert (error.kind, error.reason) == ("aborted", "LEASE_LOST")
    other = tasks.take({"space": "api"})
    tasks.asked, tasks.lose_after = 0, 1
    assert (await refused(store(served, other, {"a.md": b"# A\n"}))).reason == "LEASE_LOST"
    tasks.lose_after = 0
    jobs = await Transfers(served, "root", *ADMIN).jobs()
    from automesh.doc.v1 import job_service_pb2 as job_pb

    assert not (await jobs.ListJobs(job_pb.ListJobsRequest())).jobs


async def test_a_task_of_another_type_or_without_a_space_is_refused(served: Served, tasks: FakeTasks) -> None:
    other = tasks.take({"space": "api"}, task_type="test_generation")
    assert "documentation" in (await invalid(store(served, other, {"a.md": b"a"}))).message
    nowhere = tasks.take({"spaces": "api"})
    assert "names no space" in (await invalid(store(served, nowhere, {"a.md": b"a"}))).message
    await served.space("api")
    nothing = tasks.take({"space": "api"})
    assert "no file" in (await invalid(store(served, nothing, {}))).message


async def test_a_creator_who_may_not_write_there_stores_nothing(served: Served, tasks: FakeTasks) -> None:
    await served.space("secret", visibility="VISIBILITY_MEMBERS")
    token = tasks.take({"space": "secret"})
    error = await refused(store(served, token, {"a.md": b"a"}))
    assert error.reason == "SPACE_NOT_FOUND"


async def test_a_task_makes_no_space(served: Served, tasks: FakeTasks) -> None:
    error = await refused(store(served, tasks.take({"space": "new"}), {"a.md": b"a"}))
    assert error.reason == "SPACE_NOT_FOUND"
