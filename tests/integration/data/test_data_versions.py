"""Versions from the call that asks for them to their end, on a real server and a real PostgreSQL."""

import asyncio
import hashlib
import json
from typing import Any

import asyncpg
import pytest

from automesh.core.errors import AutomationError, Exhausted
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import dataset_pb2
from automesh.data.v1 import processing_service_pb2 as work_pb
from automesh.storage.postgres import ENGINE
from services.data.domain.version import FileInfo, StoredFile
from tests.integration.data.data_house import Served, invalid, refused

pytestmark = pytest.mark.postgres
READY, REJECTED = dataset_pb2.VERSION_STATE_READY, dataset_pb2.VERSION_STATE_REJECTED
PROCESSING, FAILED = dataset_pb2.VERSION_STATE_PROCESSING, dataset_pb2.VERSION_STATE_FAILED


async def version(served: Served, data_id: str, number: int = 0) -> dataset_pb2.DatasetVersion:
    request = pb.GetDatasetVersionRequest(data_id=data_id, version=number)
    return (await (await served.data()).GetDatasetVersion(request)).version


async def dataset(served: Served, data_id: str) -> dataset_pb2.Dataset:
    return (await (await served.data()).GetDataset(pb.GetDatasetRequest(data_id=data_id))).dataset


async def test_a_version_is_made_from_an_upload_and_read(served: Served) -> None:
    made = await served.process(name="Houses", labels={"team": "ml"})
    assert (made.dataset.name, made.version.version, made.version.state) == ("Houses", 1, PROCESSING)
    assert made.task_id == made.version.task_id
    claim = await served.claim(made.task_id)
    job = json.loads(claim.job)
    assert job["op"] == "process"
    assert job["source"] == {"kind": "files", "files": [{"name": "rows.csv", "options": {"format": "FILE_FORMAT_CSV"}}]}
    [given] = claim.inputs
    content = await served.read_input(claim.claim_token, given.name)
    assert (given.size, given.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert content == b"a,b\n1,2\n"

    done = await served.finish(claim.claim_token, await served.outputs(claim.claim_token))

    assert (done.version.state, done.version.rows, [part.name for part in done.version.parts]) == (READY, 2, ["train"])
    assert dict(done.result)["state"] == "READY"
    seen = await version(served, made.dataset.data_id)
    assert seen == done.version
    assert seen.facts["scale"]["a"]["mean"] == 1.5
    assert [column.name for column in seen.columns] == ["a", "b"]
    assert (await dataset(served, seen.data_id)).latest_version == 1


async def test_waiting_for_the_end_answers_with_the_end(served: Served) -> None:
    upload = await served.upload(b"a\n1\n")
    request = pb.ProcessDataRequest(name="x", source={"upload": {"upload_id": upload.upload_id}})
    request.wait.seconds = 20
    stub = await served.data()
    waiting = asyncio.create_task(_awaited(stub, request))
    task_id = await _submitted(served)
    await served.make(task_id)
    assert (await asyncio.wait_for(waiting, 20)).version.state == READY


async def _awaited(stub: Any, request: pb.ProcessDataRequest) -> pb.ProcessDataResponse:
    response: pb.ProcessDataResponse = await stub.ProcessData(request)
    return response


async def _submitted(served: Served) -> str:
    await asyncio.wait_for(served.tasks.submitted.wait(), 20)
    return next(iter(served.tasks.tasks))


async def test_a_wait_that_is_too_long_is_refused_by_its_field(served: Served) -> None:
    request = pb.ProcessDataRequest(name="x", source={"generator": {"samples": 1}})
    request.wait.seconds = 61
    error = await invalid((await served.data()).ProcessData(request))
    assert (error.reason, error.violations[0].field) == ("VALIDATION", "wait")
    assert served.tasks.tasks == {}


@pytest.mark.slow
async def test_a_wait_beyond_the_deadline_of_the_call_is_answered_in_time(served: Served) -> None:
    request = pb.ProcessDataRequest(name="x", source={"generator": {"samples": 1}})
    request.wait.seconds = 60
    made = await (await served.data()).ProcessData(request, timeout=12)
    assert made.version.state == PROCESSING


async def test_a_request_id_makes_one_version(served: Served) -> None:
    upload = await served.upload(b"a\n1\n")
    asked = {"name": "x", "source": {"upload": {"upload_id": upload.upload_id}}, "request_id": "once"}
    made = await asyncio.gather(*(served.process(**asked) for _ in range(6)))
    assert len({each.version.data_id for each in made}) == 1
    assert {each.task_id for each in made} == {made[0].task_id}
    error = await refused(served.process(**{**asked, "name": "another"}))
    assert error.reason == "REQUEST_ID_REUSED"


async def test_another_version_of_a_dataset_counts_on_and_the_first_stays(served: Served) -> None:
    first = await served.ready()
    second = await served.process(data_id=first.data_id)
    claim = await served.claim(second.task_id)
    names = [each.name for each in claim.inputs]
    assert names == ["source/manifest.json", "source/train.parquet"]
    assert json.loads(await served.read_input(claim.claim_token, names[0]))["digest"] == first.digest
    assert await served.read_input(claim.claim_token, names[1]) == b"PAR1 train"
    assert (await dataset(served, first.data_id)).latest_version == 1
    await served.finish(claim.claim_token, await served.outputs(claim.claim_token, b"PAR1 more"))
    assert await version(served, first.data_id, 1) == first
    latest = await version(served, first.data_id)
    assert (latest.version, latest.source.dataset.version) == (2, 1)


async def test_a_put_edits_and_makes_a_new_version(served: Served) -> None:
    first = await served.ready()
    stub = await served.data()
    request = pb.UpdateDatasetRequest(data_id=first.data_id, name="New name", labels={"a": "b"})
    edited = await stub.UpdateDataset(request)
    assert (edited.dataset.name, dict(edited.dataset.labels), edited.task_id) == ("New name", {"a": "b"}, "")
    request.pipeline.steps.add().drop.columns.append("b")
    made = await stub.UpdateDataset(request)
    assert (made.version.version, made.version.state) == (2, PROCESSING)
    assert (await served.make(made.task_id)).pipeline.steps[0].drop.columns == ["b"]


async def test_an_old_claim_is_stale_once_there_is_a_new_one(served: Served) -> None:
    made = await served.process()
    old = await served.claim(made.task_id)
    manifest = await served.outputs(old.claim_token)
    new = await served.claim(made.task_id)
    assert (await refused(served.write(old.claim_token, "a", b"x"))).reason == "CLAIM_STALE"
    assert (await refused(served.finish(old.claim_token, manifest))).reason == "CLAIM_STALE"
    assert (await refused(served.read_input(old.claim_token, "rows.csv"))).reason == "CLAIM_STALE"
    # What the old claim wrote is not the new one's: its manifest names files that were never written.
    error = await refused(served.finish(new.claim_token, manifest))
    assert (error.reason, "never written" in error.message) == ("VALIDATION", True)
    await served.finish(new.claim_token, await served.outputs(new.claim_token))
    assert (await version(served, made.dataset.data_id)).state == READY


async def test_a_lost_lease_claims_nothing(served: Served) -> None:
    made = await served.process()
    lost = served.tasks.take(made.task_id)
    served.tasks.take(made.task_id)
    stub = await served.agent()
    call = stub.ClaimProcessing(work_pb.ClaimProcessingRequest(lease_token=lost))
    assert (await refused(call)).reason == "LEASE_LOST"


async def test_two_claims_at_once_leave_one_good(served: Served) -> None:
    made = await served.process()
    token = served.tasks.take(made.task_id)
    stub = await served.agent()
    request = work_pb.ClaimProcessingRequest(lease_token=token)
    claims = await asyncio.gather(*(stub.ClaimProcessing(request) for _ in range(2)))
    written = await asyncio.gather(
        *(served.write(claim.claim_token, "train.parquet", b"x") for claim in claims), return_exceptions=True
    )
    assert sorted(isinstance(each, Exception) for each in written) == [False, True]


async def test_a_finished_version_is_not_made_again(served: Served) -> None:
    made = await served.process()
    claim = await served.claim(made.task_id)
    manifest = await served.outputs(claim.claim_token)
    first = await served.finish(claim.claim_token, manifest)
    again = await served.finish(claim.claim_token, manifest)
    assert again == first
    late = await served.claim(made.task_id)
    assert (late.finished, late.claim_token, dict(late.result)) == (True, b"", dict(first.result))
    assert (await refused(served.write(claim.claim_token, "train.parquet", b"x"))).reason == "CLAIM_STALE"


async def test_a_crash_between_writing_and_finishing_leaves_nothing_half_registered(served: Served) -> None:
    made = await served.process()
    first = await served.claim(made.task_id)
    await served.outputs(first.claim_token, b"PAR1 of the agent that died")
    assert (await version(served, made.dataset.data_id, 1)).state == PROCESSING
    second = await served.claim(made.task_id)
    await served.finish(second.claim_token, await served.outputs(second.claim_token))
    before = len(served.blobs())
    assert await served.engine.housekeeping.sweep() == 3
    assert len(served.blobs()) == before - 3 == 4  # three files and the upload


async def test_files_that_the_manifest_does_not_name_go(served: Served) -> None:
    made = await served.process()
    claim = await served.claim(made.task_id)
    await served.write(claim.claim_token, "scratch.bin", b"x")
    await served.finish(claim.claim_token, await served.outputs(claim.claim_token))
    assert set(await served.engine.versions.files("default", made.dataset.data_id, 1)) == {
        "train.parquet", "preview.json", "statistics.json",
    }  # fmt: skip
    assert await served.engine.housekeeping.sweep() == 1


async def test_data_that_fails_its_expectations_is_put_aside_with_a_report(served: Served) -> None:
    made = await served.process()
    claim = await served.claim(made.task_id)
    rejected = await served.write(claim.claim_token, "rejected.parquet", b"PAR1 bad rows")
    check = {"column": "a", "check": "0 <= value", "passed": False, "failed_rows": "1", "row_examples": ["4"]}
    manifest = {
        "state": "REJECTED",
        "rows": 9,
        "columns": [],
        "report": {"passed": False, "checks": [check]},
        "files": [{"name": rejected.name, "size": rejected.size, "sha256": rejected.sha256}],
    }
    done = await served.finish(claim.claim_token, manifest)
    assert (done.version.state, done.version.report.checks[0].row_examples) == (REJECTED, [4])
    assert (await dataset(served, made.dataset.data_id)).latest_version == 0
    stub = await served.data()
    error = await refused(stub.PreviewDataset(pb.PreviewDatasetRequest(data_id=made.dataset.data_id, version=1)))
    assert error.reason == "VERSION_NOT_READY"


async def test_a_failure_is_recorded_with_its_words(served: Served) -> None:
    made = await served.process()
    claim = await served.claim(made.task_id)
    await served.write(claim.claim_token, "train.parquet", b"half")
    done = await served.fail(claim.claim_token, "CSV_RAGGED", "line 3 has 4 values, the header has 3")
    assert (done.version.state, done.version.failure.reason) == (FAILED, "CSV_RAGGED")
    assert (await version(served, made.dataset.data_id, 1)).failure.message == "line 3 has 4 values, the header has 3"
    assert await served.engine.housekeeping.sweep() == 1


async def test_a_file_that_is_not_the_one_that_was_written_is_refused(served: Served) -> None:
    claim = await served.claim((await served.process()).task_id)
    manifest = await served.outputs(claim.claim_token)
    manifest["files"][0]["sha256"] = "0" * 64
    error = await refused(served.finish(claim.claim_token, manifest))
    assert "is another one" in error.message


async def test_ready_versions_cannot_be_changed_even_in_the_database(served: Served) -> None:
    made = await served.ready()
    tamper = [
        "UPDATE version SET digest = repeat('0', 64)",
        "UPDATE version SET state = 'PROCESSING', finished_at = NULL, manifest = NULL",
        "UPDATE version_file SET sha256 = repeat('0', 64)",
    ]
    for statement in tamper:
        with pytest.raises(asyncpg.RestrictViolationError):
            await served.database.execute(statement, tenant=ENGINE)
    with pytest.raises(AutomationError):
        await served.engine.claims.add_file(b"0" * 32, StoredFile(FileInfo("x", 1, "0" * 64), "blob"))
    assert await version(served, made.data_id) == made


async def test_a_queue_that_is_full_leaves_no_dataset_behind(served: Served) -> None:
    served.tasks.refuses = Exhausted("the queue is full")
    error = await refused(served.process(request_id="again"))
    assert error.reason == "EXHAUSTED"
    listed = await (await served.data()).ListDatasets(pb.ListDatasetsRequest())
    assert list(listed.datasets) == []
    served.tasks.refuses = None
    assert (await served.process(request_id="again")).version.state == PROCESSING


async def test_rows_of_other_tenants_are_not_found(served: Served) -> None:
    made = await served.ready()
    upload = await served.upload(b"a\n1\n")
    foreign = await served.data("globex")
    calls = [
        foreign.GetDataset(pb.GetDatasetRequest(data_id=made.data_id)),
        foreign.GetDatasetVersion(pb.GetDatasetVersionRequest(data_id=made.data_id)),
        foreign.ListDatasetVersions(pb.ListDatasetVersionsRequest(data_id=made.data_id)),
        foreign.PreviewDataset(pb.PreviewDatasetRequest(data_id=made.data_id)),
        foreign.GetLineage(pb.GetLineageRequest(data_id=made.data_id)),
        foreign.DeleteDataset(pb.DeleteDatasetRequest(data_id=made.data_id)),
        foreign.UpdateDataset(pb.UpdateDatasetRequest(data_id=made.data_id, name="mine")),
        foreign.ProcessData(pb.ProcessDataRequest(data_id=made.data_id)),
    ]
    assert [(await refused(call)).reason for call in calls] == ["DATASET_NOT_FOUND"] * len(calls)
    request = pb.ProcessDataRequest(name="x", source={"upload": {"upload_id": upload.upload_id}})
    assert (await refused(foreign.ProcessData(request))).reason == "UPLOAD_NOT_FOUND"
    assert list((await foreign.ListDatasets(pb.ListDatasetsRequest())).datasets) == []
