"""Uploads, lists, previews, statistics, downloads, lineage and deletion, on a real server and a real PostgreSQL."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import processing_service_pb2 as work_pb
from automesh.data.v1 import processing_service_pb2_grpc as work_rpc
from automesh.data.v1 import source_pb2
from automesh.mesh.acting import SUBJECT, TENANT
from automesh.storage.postgres import ENGINE
from services.data.convert import datasets
from tests.integration.data.data_house import MIB, Served, invalid, refused

pytestmark = pytest.mark.postgres
TRAINS = ((TENANT, "default"), (SUBJECT, "user_test"))


async def dependents(served: Served) -> work_rpc.ProcessingServiceStub:
    """The model service."""
    return work_rpc.ProcessingServiceStub(await served.mesh.channel("model"))


# ---------------------------------------------------------------------- uploads
async def test_an_upload_is_kept_sealed_and_described(served: Served) -> None:
    content = b"name,secret\nann,needle in the hay\n" * 100_000
    upload = await served.upload(content, "people.csv")
    assert (upload.size, upload.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert upload.format == source_pb2.FILE_FORMAT_CSV
    assert upload.expire_time.seconds - upload.create_time.seconds == 24 * 3600
    assert [path for path in served.blobs() if b"needle" in path.read_bytes()] == []


async def test_a_file_that_is_not_the_one_announced_is_refused_and_goes(served: Served) -> None:
    error = await invalid(served.upload(b"a\n1\n", sha256="0" * 64))
    assert (error.reason, error.violations[0].field) == ("CHECKSUM_MISMATCH", "sha256")
    assert await served.engine.housekeeping.sweep() == 1
    assert served.blobs() == []
    good = hashlib.sha256(b"a\n1\n").hexdigest()
    assert (await served.upload(b"a\n1\n", sha256=good)).sha256 == good


async def test_a_file_that_is_too_large_is_refused(served: Served) -> None:
    error = await refused(served.upload(b"x" * (4 * MIB + 1)))
    assert (error.reason, "AUTOMESH_DATA_MAX_UPLOAD_BYTES" in error.message) == ("FILE_TOO_LARGE", True)
    assert served.blobs() == []


async def test_a_tenant_keeps_no_more_than_its_quota(served: Served) -> None:
    for number in range(4):
        await served.upload(b"x" * 4 * MIB, f"{number}.csv")
    assert (await refused(served.upload(b"x"))).reason == "QUOTA_EXCEEDED"
    assert (await refused(served.process(name="x", source={"generator": {}}))).reason == "QUOTA_EXCEEDED"


async def test_an_upload_that_breaks_off_leaves_nothing(served: Served) -> None:
    stub = await served.data()
    call = stub.UploadFile()
    await call.write(pb.UploadFileRequest(name="a.csv", content={"data": b"a,b\n"}))
    call.cancel()
    assert served.blobs() == []
    assert await served.engine.uploads.used("default") == 0


async def test_uploads_expire_but_not_while_something_is_made_of_them(served: Served) -> None:
    made = await served.process()
    idle = await served.upload(b"a\n1\n")
    await served.database.execute("UPDATE upload SET expires_at = now() - interval '1 s'", tenant=ENGINE)
    assert await served.engine.uploads.expire(10) == 1
    assert (await refused(served.process(name="y", source={"upload": {"upload_id": idle.upload_id}}))).reason == (
        "UPLOAD_NOT_FOUND"
    )
    await served.make(made.task_id)
    assert await served.engine.uploads.expire(10) == 1
    await served.engine.housekeeping.clean_up()
    assert len(served.blobs()) == 3


# ---------------------------------------------------------------------- lists
async def test_datasets_are_listed_latest_change_first_in_pages(served: Served) -> None:
    made = [(await served.process(name=name, labels={"n": name})).dataset.data_id for name in ("A one", "b two", "c")]
    stub = await served.data()
    first = await stub.ListDatasets(pb.ListDatasetsRequest(page_size=2))
    assert [each.data_id for each in first.datasets] == [made[2], made[1]]
    rest = await stub.ListDatasets(pb.ListDatasetsRequest(page_size=2, page_token=first.next_page_token))
    assert ([each.data_id for each in rest.datasets], rest.next_page_token) == ([made[0]], "")
    named = await stub.ListDatasets(pb.ListDatasetsRequest(name_contains="a O"))
    assert [each.name for each in named.datasets] == ["A one"]
    labelled = await stub.ListDatasets(pb.ListDatasetsRequest(label="n=c"))
    assert [each.name for each in labelled.datasets] == ["c"]
    mixed = pb.ListDatasetsRequest(page_token=first.next_page_token, label="n=c")
    assert (await invalid(stub.ListDatasets(mixed))).violations[0].field == "page_token"
    bad = pb.ListDatasetsRequest(label="nonsense")
    assert (await invalid(stub.ListDatasets(bad))).violations[0].field == "label"


async def test_versions_are_listed_newest_first_in_pages(served: Served) -> None:
    data_id = (await served.ready()).data_id
    for _ in range(2):
        await served.ready(data_id=data_id)
    stub = await served.data()
    first = await stub.ListDatasetVersions(pb.ListDatasetVersionsRequest(data_id=data_id, page_size=2))
    assert [each.version for each in first.versions] == [3, 2]
    token = first.next_page_token
    rest = await stub.ListDatasetVersions(pb.ListDatasetVersionsRequest(data_id=data_id, page_token=token))
    assert ([each.version for each in rest.versions], rest.next_page_token) == ([1], "")


# ---------------------------------------------------------------------- preview, statistics, download
async def test_versions_of_thousands_of_columns_come_in_shorter_pages(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await served.ready()
    await served.process(data_id=first.data_id, source={"generator": {}})
    monkeypatch.setattr(datasets, "MAX_PAGE_BYTES", 1)
    stub, token, seen = await served.data(), "", []
    for _ in range(2):
        request = pb.ListDatasetVersionsRequest(data_id=first.data_id, page_token=token)
        page = await stub.ListDatasetVersions(request)
        seen += [each.version for each in page.versions]
        token = page.next_page_token
    assert (seen, token) == ([2, 1], "")


async def test_files_that_are_not_what_their_maker_should_have_written_are_damaged(served: Served) -> None:
    claim = await served.claim((await served.process()).task_id)
    manifest = await served.outputs(claim.claim_token)
    for name, content in (("preview.json", b'{"train": {"rows": 5}}'), ("statistics.json", b"[" * 100_000)):
        info = await served.write(claim.claim_token, name, content)
        others = [each for each in manifest["files"] if each["name"] != name]
        manifest["files"] = [*others, {"name": name, "size": info.size, "sha256": info.sha256}]
    made = (await served.finish(claim.claim_token, manifest)).version
    stub = await served.data()
    for call in (
        stub.PreviewDataset(pb.PreviewDatasetRequest(data_id=made.data_id)),
        stub.GetStatistics(pb.GetStatisticsRequest(data_id=made.data_id)),
    ):
        assert (await refused(call)).reason == "VERSION_DAMAGED"


async def test_the_first_rows_are_shown_in_the_order_of_the_columns(served: Served) -> None:
    made = await served.ready()
    stub = await served.data()
    shown = await stub.PreviewDataset(pb.PreviewDatasetRequest(data_id=made.data_id, rows=1))
    assert [column.name for column in shown.columns] == ["a", "b"]
    assert [list(row) for row in shown.rows] == [[1.0, "x"]]
    whole = await stub.PreviewDataset(pb.PreviewDatasetRequest(data_id=made.data_id, version=1, part="train"))
    assert [list(row) for row in whole.rows] == [[1.0, "x"], [2.0, None]]
    error = await refused(stub.PreviewDataset(pb.PreviewDatasetRequest(data_id=made.data_id, part="test")))
    assert (error.reason, "only train" in error.message) == ("PART_NOT_FOUND", True)
    error = await invalid(stub.PreviewDataset(pb.PreviewDatasetRequest(data_id=made.data_id, rows=101)))
    assert error.violations[0].field == "rows"


async def test_statistics_come_as_they_were_stored(served: Served) -> None:
    made = await served.ready()
    stub = await served.data()
    found = await stub.GetStatistics(pb.GetStatisticsRequest(data_id=made.data_id))
    assert [(each.column, each.max, each.distinct) for each in found.columns] == [("a", 2.0, 2)]


async def test_a_part_is_downloaded_as_stored_or_converted(served: Served) -> None:
    made = await served.ready()
    stub = await served.data()
    request = pb.DownloadDatasetRequest(data_id=made.data_id, version=1, part="train")
    [body] = [body async for body in stub.DownloadDataset(request)]
    assert (body.content_type, body.data) == ("application/vnd.apache.parquet", b"PAR1 train")
    request.format = source_pb2.FILE_FORMAT_CSV
    [body] = [body async for body in stub.DownloadDataset(request)]
    assert (body.content_type, body.data) == ("text/csv; charset=utf-8", b"FILE_FORMAT_CSV:PAR1 train")


async def test_a_version_is_read_for_training_under_a_live_lease(served: Served) -> None:
    made = await served.ready()
    served.tasks.add("task_train", {"run_id": "run_1"}, task_type="model_training")
    request = work_pb.ReadVersionRequest(lease_token=served.tasks.take("task_train"), data_id=made.data_id)
    messages = [message async for message in (await served.agent()).ReadVersion(request)]
    assert messages[0].WhichOneof("part") == "manifest"
    assert made.digest.encode() in messages[0].manifest
    files = {message.file.name for message in messages if message.HasField("file")}
    assert files == {"train.parquet", "statistics.json"}
    request.manifest_only = True
    assert len([message async for message in (await served.agent()).ReadVersion(request)]) == 1
    served.tasks.add("task_theirs", {}, tenant_id="globex", task_type="model_training")
    foreign = work_pb.ReadVersionRequest(lease_token=served.tasks.take("task_theirs"), data_id=made.data_id)
    assert (await refused(_drained((await served.agent()).ReadVersion(foreign)))).reason == "DATASET_NOT_FOUND"


async def _drained(stream: AsyncIterator[Any]) -> list[Any]:
    return [message async for message in stream]


# ---------------------------------------------------------------------- lineage and deletion
async def test_lineage_goes_up_to_the_file_and_down_to_the_models(served: Served) -> None:
    first = await served.ready()
    middle = await served.ready(name="middle", source={"dataset": {"data_id": first.data_id}})
    last = await served.ready(name="last", source={"dataset": {"data_id": middle.data_id, "version": 1}})
    await (await dependents(served)).AddDependent(_uses(last.data_id), metadata=TRAINS)
    stub = await served.data()
    up = (await stub.GetLineage(pb.GetLineageRequest(data_id=last.data_id))).upstream
    assert [(node.kind, node.distance) for node in up] == [("dataset", 1), ("dataset", 2), ("upload", 3)]
    assert [node.id for node in up[:2]] == [middle.data_id, first.data_id]
    down = (await stub.GetLineage(pb.GetLineageRequest(data_id=first.data_id, version=1))).downstream
    assert [(node.kind, node.id, node.version, node.distance) for node in down] == [
        ("dataset", middle.data_id, 1, 1),
        ("dataset", last.data_id, 1, 2),
        ("model", "model_a", 1, 3),
    ]


def _uses(data_id: str, model_version: int = 1) -> work_pb.AddDependentRequest:
    return work_pb.AddDependentRequest(data_id=data_id, version=1, model_id="model_a", model_version=model_version)


async def test_a_dataset_in_use_is_not_deleted_unless_forced_with_a_reason(served: Served) -> None:
    made = await served.ready()
    model = await dependents(served)
    await model.AddDependent(_uses(made.data_id), metadata=TRAINS)
    await model.AddDependent(_uses(made.data_id), metadata=TRAINS)  # safe to repeat
    stub = await served.data()
    error = await refused(stub.DeleteDataset(pb.DeleteDatasetRequest(data_id=made.data_id)))
    assert (error.reason, "model model_a/1" in error.message) == ("DATASET_IN_USE", True)
    error = await invalid(stub.DeleteDataset(pb.DeleteDatasetRequest(data_id=made.data_id, force=True)))
    assert error.violations[0].field == "reason"
    await stub.DeleteDataset(pb.DeleteDatasetRequest(data_id=made.data_id, force=True, reason="GDPR request 7"))
    assert served.mesh.audited[-1].reason == "GDPR request 7"
    assert served.mesh.audited[-1].resource == made.data_id
    assert (await refused(stub.GetDataset(pb.GetDatasetRequest(data_id=made.data_id)))).reason == "DATASET_NOT_FOUND"
    await served.engine.housekeeping.clean_up()
    assert len(served.blobs()) == 1  # the upload lives on until it expires


async def test_a_dataset_whose_models_are_gone_is_deleted(served: Served) -> None:
    made = await served.ready()
    model = await dependents(served)
    for number in (1, 2):
        await model.AddDependent(_uses(made.data_id, number), metadata=TRAINS)
    await model.RemoveDependent(work_pb.RemoveDependentRequest(model_id="model_a"), metadata=TRAINS)
    stub = await served.data()
    await stub.DeleteDataset(pb.DeleteDatasetRequest(data_id=made.data_id))
    assert (await refused(stub.GetDataset(pb.GetDatasetRequest(data_id=made.data_id)))).reason == "DATASET_NOT_FOUND"


async def test_a_dataset_that_another_one_is_made_of_is_not_deleted(served: Served) -> None:
    first = await served.ready()
    other = await served.process(name="other", source={"dataset": {"data_id": first.data_id}})
    stub = await served.data()
    error = await refused(stub.DeleteDataset(pb.DeleteDatasetRequest(data_id=first.data_id)))
    assert f"dataset {other.dataset.data_id}/1" in error.message
    await stub.DeleteDataset(pb.DeleteDatasetRequest(data_id=other.dataset.data_id))
    assert served.tasks.cancelled == [other.task_id]
    await stub.DeleteDataset(pb.DeleteDatasetRequest(data_id=first.data_id))


async def test_only_the_model_service_says_what_depends_on_data(served: Served) -> None:
    made = await served.ready()
    for caller in ("gateway", "agent"):
        stub = work_rpc.ProcessingServiceStub(await served.mesh.channel(caller))
        assert (await refused(stub.AddDependent(_uses(made.data_id), metadata=TRAINS))).reason == "PERMISSION_DENIED"
    stub = await dependents(served)
    bad = work_pb.AddDependentRequest(data_id=made.data_id, version=2, model_id="model_a", model_version=1)
    assert (await refused(stub.AddDependent(bad, metadata=TRAINS))).reason == "VERSION_NOT_FOUND"


async def test_a_reader_may_not_write(served: Served) -> None:
    reader = await served.data("default", "data.read")
    made = await served.ready()
    calls = [
        reader.ProcessData(pb.ProcessDataRequest(data_id=made.data_id)),
        reader.UpdateDataset(pb.UpdateDatasetRequest(data_id=made.data_id)),
        reader.DeleteDataset(pb.DeleteDatasetRequest(data_id=made.data_id)),
    ]
    assert {(await refused(call)).reason for call in calls} == {"PERMISSION_DENIED"}
    writer = await served.data("default", "data.read", "data.write")
    assert (await refused(writer.DeleteDataset(pb.DeleteDatasetRequest(data_id=made.data_id)))).reason == (
        "PERMISSION_DENIED"
    )


# ---------------------------------------------------------------------- the rows themselves
async def test_what_the_rows_hold_of_the_data_is_sealed(served: Served) -> None:
    made = await served.process(name="x")
    claim = await served.claim(made.task_id)
    manifest = await served.outputs(claim.claim_token, facts={"note": "needle in the hay"})
    await served.finish(claim.claim_token, manifest)
    rows = await served.database.fetch("SELECT * FROM version", tenant=ENGINE)
    assert all(b"needle" not in value for row in rows for value in row.values() if isinstance(value, bytes))
    assert await served.engine.versions.forget_requests(timedelta(0)) == 0


TABLES = ("dataset", "version", "version_file", "upload", "lineage", "dependent", "version_request")


async def test_the_database_itself_keeps_tenants_apart(served: Served) -> None:
    made = await served.ready(request_id="once")
    await (await dependents(served)).AddDependent(_uses(made.data_id), metadata=TRAINS)
    for table in TABLES:
        query = f"SELECT 1 FROM {table}"  # noqa: S608 # names of this file
        assert await served.database.fetch(query, tenant="default"), table
        assert await served.database.fetch(query, tenant="globex") == [], table
        assert await served.database.fetch(query, tenant=None) == [], table
