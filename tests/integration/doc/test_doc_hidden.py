"""What somebody does not find tells nothing of itself, now or under its old name, on a real database."""

from __future__ import annotations

from typing import Any

import pytest

from automesh.doc.v1 import analytics_service_pb2 as analytics_pb
from automesh.doc.v1 import analytics_service_pb2_grpc as analytics_rpc
from automesh.doc.v1 import document_pb2, job_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as pb
from automesh.doc.v1 import draft_service_pb2 as draft_pb
from automesh.doc.v1 import draft_service_pb2_grpc as draft_rpc
from automesh.doc.v1 import job_service_pb2 as job_pb
from automesh.doc.v1 import job_service_pb2_grpc as job_rpc
from automesh.doc.v1 import space_service_pb2 as space_pb
from automesh.doc.v1 import transfer_service_pb2 as transfer_pb
from automesh.doc.v1 import transfer_service_pb2_grpc as transfer_rpc
from services.doc.domain.errors import DocumentNotFound
from services.doc.domain.jobs.errors import JobNotFound
from services.doc.domain.search.ports import Searched
from tests.integration.doc.doc_house import Served, refused


@pytest.fixture
async def vault(doc: Served) -> Served:
    """A space that only ann finds."""
    await make_vault(doc, visibility=space_pb2.VISIBILITY_MEMBERS, members=[member("ann")])
    return doc


async def make_vault(doc: Served, **fields: Any) -> None:
    await doc.space("vault", **fields)


def member(user: str) -> space_pb2.Member:
    return space_pb2.Member(user=user, role=space_pb2.MEMBER_ROLE_OWNER)


async def forget_vault(doc: Served) -> None:
    spaces = await doc.spaces()
    await spaces.DeleteSpace(space_pb.DeleteSpaceRequest(space="vault", force=True, reason="over"))


@pytest.mark.parametrize("what", ["UpdateDocument", "DeleteDocument", "RestoreDocument"])
@pytest.mark.parametrize("head", ["the head", "rev_none"])
async def test_who_writes_to_a_document_of_a_space_they_do_not_find_is_told_there_is_none(
    vault: Served, what: str, head: str
) -> None:
    document = await vault.write(space="vault")
    stub = await vault.documents("ben")

    async def told(document_id: str) -> str:
        request = getattr(pb, f"{what}Request")(
            document_id=document_id, expected_head=document.head if head == "the head" else head
        )
        error = await refused(getattr(stub, what)(request))
        assert isinstance(error, DocumentNotFound)
        return str(error).replace(document_id, "ID")

    assert await told(document.document_id) == await told("doc_none")


async def test_a_draft_does_not_tell_whether_a_document_is_in_another_space(vault: Served) -> None:
    document = await vault.write(space="vault")
    await vault.space("open")
    assert not await behind(vault, "ben", "open", document)
    assert await behind(vault, "ann", "vault", document)


async def behind(doc: Served, user: str, space: str, document: document_pb2.Document) -> bool:
    """Whether a draft that begins a new document is told that there is one."""
    drafts = draft_rpc.DraftServiceStub(await doc.channel(user))
    request = draft_pb.SaveDraftRequest(draft_id=document.document_id, space=space, content="mine")
    return (await drafts.SaveDraft(request)).draft.behind


async def test_a_space_with_the_name_of_a_deleted_one_shows_nothing_of_what_was_searched_there(vault: Served) -> None:
    search = Searched(search_id="s1", tenant_id="default", space="vault", person="ann", query="layoffs", results=0)
    vault.engine.core.search_log.searched(search)
    await vault.engine.core.recorder.write()
    before = await figures(vault, "ann")
    assert [each.query for each in before.without_results] == ["layoffs"]
    await forget_vault(vault)
    await make_vault(vault)
    after = await figures(vault, "ben")
    assert not after.without_results
    assert sum(day.searches for day in after.days) == 0


async def figures(doc: Served, user: str) -> analytics_pb.GetSpaceStatisticsResponse:
    stub = analytics_rpc.AnalyticsServiceStub(await doc.channel(user))
    return await stub.GetSpaceStatistics(analytics_pb.GetSpaceStatisticsRequest(space="vault"))


async def test_an_export_of_a_deleted_space_is_not_handed_out_in_one_of_its_name(vault: Served) -> None:
    await vault.write(space="vault")
    transfer = transfer_rpc.TransferServiceStub(await vault.channel("ann"))
    request = transfer_pb.ExportArchiveRequest(space="vault")
    job_id = (await transfer.ExportArchive(request)).job.job_id
    jobs = job_rpc.JobServiceStub(await vault.channel("ann"))
    told = [each.job.state async for each in jobs.WatchJob(job_pb.WatchJobRequest(job_id=job_id))]
    assert told[-1] == job_pb2.JOB_STATE_DONE
    await forget_vault(vault)
    await make_vault(vault)
    ben = await vault.channel("ben")
    assert isinstance(await refused(download(ben, job_id)), JobNotFound)
    listed = await job_rpc.JobServiceStub(ben).ListJobs(job_pb.ListJobsRequest(space="vault"))
    assert not listed.jobs


async def download(channel: Any, job_id: str) -> bytes:
    stub = transfer_rpc.TransferServiceStub(channel)
    return b"".join([each.data async for each in stub.DownloadExport(transfer_pb.DownloadExportRequest(job_id=job_id))])
