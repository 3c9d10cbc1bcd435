"""Tasks that people make by hand, files behind URLs, and tasks that fail elsewhere."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from automesh.core.errors import Unavailable
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import dataset_pb2
from automesh.data.v1 import processing_service_pb2 as work_pb
from automesh.data.v1 import processing_service_pb2_grpc as work_rpc
from automesh.storage.postgres import ENGINE
from services.data.domain.follower import TaskFollower
from tests.integration.data.data_house import Served, invalid, refused

pytestmark = pytest.mark.postgres
URL = "https://files.test/deep/rows.csv?x=1"


async def version(served: Served, data_id: str, number: int = 1) -> dataset_pb2.DatasetVersion:
    request = pb.GetDatasetVersionRequest(data_id=data_id, version=number)
    return (await (await served.data()).GetDatasetVersion(request)).version


# ---------------------------------------------------------------------- tasks made by hand
async def test_a_task_made_by_hand_makes_a_dataset_once(served: Served) -> None:
    given = {"name": "by hand", "source": {"generator": {"samples": 3.0, "steps": 5.0}}, "pipeline": {"steps": []}}
    served.tasks.add("task_hand", given, created_by="user_ann")
    claim = await served.claim("task_hand")
    assert json.loads(claim.job)["source"] == {"kind": "generator", "generator": {"samples": 3, "steps": 5}}
    again = await served.claim("task_hand")
    assert (again.data_id, again.version) == (claim.data_id, 1)
    await served.finish(again.claim_token, await served.outputs(again.claim_token))
    made = await version(served, claim.data_id)
    assert (made.task_id, made.created_by, made.state) == ("task_hand", "user_ann", dataset_pb2.VERSION_STATE_READY)


async def test_two_claims_at_once_of_a_task_made_by_hand_make_one_dataset(served: Served) -> None:
    served.tasks.add("task_hand", {"name": "x", "source": {"generator": {}}})
    token = served.tasks.take("task_hand")
    stub = await served.agent()
    request = work_pb.ClaimProcessingRequest(lease_token=token)
    claims = await asyncio.gather(*(stub.ClaimProcessing(request) for _ in range(4)))
    assert len({claim.data_id for claim in claims}) == 1
    assert len((await (await served.data()).ListDatasets(pb.ListDatasetsRequest())).datasets) == 1


async def test_an_input_that_nobody_can_follow_is_refused_by_its_field(served: Served) -> None:
    served.tasks.add("task_hand", {"name": "x", "source": {"generator": {"kind": "square"}}})
    error = await invalid(served.claim("task_hand"))
    assert error.violations[0].field == "source.generator.kind"


async def test_a_task_cannot_claim_the_version_of_another_task(served: Served) -> None:
    made = await served.process()
    served.tasks.add("task_thief", {"data_id": made.dataset.data_id, "version": 1.0})
    assert (await refused(served.claim("task_thief"))).reason == "CLAIM_REFUSED"
    served.tasks.add("task_foreign", {"data_id": made.dataset.data_id, "version": 1.0}, tenant_id="globex")
    assert (await refused(served.claim("task_foreign"))).reason == "DATASET_NOT_FOUND"
    served.tasks.add("task_other", {}, task_type="model_training")
    assert (await refused(served.claim("task_other"))).reason == "CLAIM_REFUSED"


async def test_an_agent_with_a_token_works_for_its_own_tenant_only(served: Served) -> None:
    made = await served.process()
    lease = work_pb.ClaimProcessingRequest(lease_token=served.tasks.take(made.task_id))
    foreign = work_rpc.ProcessingServiceStub(await served.mesh.signed_in(["work.lease"], tenant_id="globex"))
    assert (await refused(foreign.ClaimProcessing(lease))).reason == "PERMISSION_DENIED"
    own = work_rpc.ProcessingServiceStub(await served.mesh.signed_in(["work.lease"]))
    claim = await own.ClaimProcessing(lease)
    read = foreign.ReadInput(work_pb.ReadInputRequest(claim_token=claim.claim_token, name="rows.csv"))
    assert (await refused(read.read())).reason == "PERMISSION_DENIED"
    assert await served.read_input(claim.claim_token, "rows.csv") == b"a,b\n1,2\n"
    assert (await refused(served.read_input(claim.claim_token, "other"))).reason == "INPUT_NOT_FOUND"


# ---------------------------------------------------------------------- URLs
async def test_a_file_behind_a_url_is_fetched_once_and_given_to_every_attempt(served: Served) -> None:
    served.urls.files[URL] = b"a\n1\n"
    made = await served.process(name="x", source={"url": {"url": URL, "options": {"delimiter": ";"}}})
    claim = await served.claim(made.task_id)
    [told] = json.loads(claim.job)["source"]["files"]
    assert told == {"name": "rows.csv", "options": {"delimiter": ";", "format": "FILE_FORMAT_CSV"}}
    again = await served.claim(made.task_id)
    assert await served.read_input(again.claim_token, "rows.csv") == b"a\n1\n"
    assert served.urls.fetched == [URL]
    lineage = await (await served.data()).GetLineage(pb.GetLineageRequest(data_id=claim.data_id, version=1))
    assert [(node.kind, node.id) for node in lineage.upstream] == [("url", URL.partition("?")[0])]


async def test_a_file_that_is_not_there_fails_the_version_with_its_reason(served: Served) -> None:
    made = await served.process(name="x", source={"url": {"url": URL}})
    assert (await refused(served.claim(made.task_id))).reason == "URL_FETCH_FAILED"
    failed = await version(served, made.dataset.data_id)
    assert (failed.state, failed.failure.reason) == (dataset_pb2.VERSION_STATE_FAILED, "URL_FETCH_FAILED")
    assert "404" in failed.failure.message
    assert (await served.claim(made.task_id)).finished


async def test_a_url_that_is_away_may_be_tried_again(served: Served) -> None:
    served.urls.files[URL], served.urls.fails = b"a\n1\n", Unavailable("it does not answer")
    made = await served.process(name="x", source={"url": {"url": URL}})
    assert (await refused(served.claim(made.task_id))).reason == "UNAVAILABLE"
    served.urls.fails = None
    assert len((await served.claim(made.task_id)).inputs) == 1


async def test_claims_that_come_meanwhile_join_the_fetch(served: Served) -> None:
    served.urls.files[URL] = b"a\n1\n"
    served.urls.gate.clear()
    made = await served.process(name="x", source={"url": {"url": URL}})
    token = served.tasks.take(made.task_id)
    stub = await served.agent()
    request = work_pb.ClaimProcessingRequest(lease_token=token)
    claims = [asyncio.ensure_future(_claimed(stub, request)) for _ in range(3)]
    asyncio.get_running_loop().call_later(0.2, served.urls.gate.set)
    await asyncio.gather(*claims)
    assert served.urls.fetched == [URL]


async def _claimed(stub: work_rpc.ProcessingServiceStub, request: Any) -> work_pb.ClaimProcessingResponse:
    return await stub.ClaimProcessing(request)


async def test_a_url_that_is_not_allowed_is_refused_at_once(served: Served) -> None:
    error = await invalid(served.process(name="x", source={"url": {"url": "https://elsewhere.test/x"}}))
    assert (error.reason, error.violations[0].field) == ("URL_REFUSED", "source.url.url")


# ---------------------------------------------------------------------- tasks that end elsewhere
@pytest.mark.parametrize(
    ("status", "reason"),
    [("FAILED", "PROGRAM_DIED"), ("CANCELLED", "TASK_CANCELLED"), ("COMPLETED", "TASK_WITHOUT_RESULT")],
)
async def test_a_version_follows_its_task(served: Served, status: str, reason: str) -> None:
    made = await served.process()
    served.tasks.end(made.task_id, status, "PROGRAM_DIED", "out of memory")
    assert await served.engine.follower.follow() == 1
    failed = await version(served, made.dataset.data_id)
    assert (failed.state, failed.failure.reason) == (dataset_pb2.VERSION_STATE_FAILED, reason)
    assert await served.engine.follower.follow() == 0


async def test_a_version_whose_task_is_gone_fails(served: Served) -> None:
    made = await served.process()
    del served.tasks.tasks[made.task_id]
    await served.engine.follower.follow()
    assert (await version(served, made.dataset.data_id)).failure.reason == "TASK_GONE"


async def test_a_version_whose_task_waits_goes_on(served: Served) -> None:
    made = await served.process()
    assert await served.engine.follower.follow() == 1
    assert (await served.make(made.task_id)).state == dataset_pb2.VERSION_STATE_READY


async def test_one_that_was_heard_of_is_left_alone(served: Served) -> None:
    await served.process()
    engine = served.engine
    patient = TaskFollower(engine.versions, served.tasks, engine.maker, quiet_for=timedelta(minutes=1))
    assert await patient.follow() == 0


async def test_a_version_whose_task_was_never_made_gets_one(served: Served) -> None:
    made = await served.process()
    served.tasks.tasks.clear()
    await served.database.execute("UPDATE version SET task_id = NULL", tenant=ENGINE)
    await served.engine.follower.follow()
    assert (await version(served, made.dataset.data_id)).task_id == made.task_id
    assert (await served.make(made.task_id)).state == dataset_pb2.VERSION_STATE_READY


# ---------------------------------------------------------------------- bad orders
async def test_a_source_that_is_not_ready_is_refused(served: Served) -> None:
    made = await served.process()
    data_id = made.dataset.data_id
    error = await refused(served.process(data_id=data_id))
    assert (error.reason, "no version that is READY" in error.message) == ("VERSION_NOT_FOUND", True)
    error = await refused(served.process(name="x", source={"dataset": {"data_id": data_id, "version": 1}}))
    assert error.reason == "VERSION_NOT_READY"


async def test_drift_is_measured_against_the_version_that_is_the_latest_now(served: Served) -> None:
    drift = {"steps": [{"validate": {"expectations": [{"column": "a", "drift": {"max_psi": 0.1}}]}}]}
    first = await served.process(pipeline=drift)
    claim = await served.claim(first.task_id)
    assert json.loads(claim.job)["references"] == {}
    await served.finish(claim.claim_token, await served.outputs(claim.claim_token))
    data_id = first.dataset.data_id
    second = await served.process(data_id=data_id, pipeline=drift)
    job = json.loads((await served.claim(second.task_id)).job)
    assert job["references"] == {f"{data_id}/1": f"ref/{data_id}-1.statistics.json"}
    told = job["pipeline"]["steps"][0]["validate"]["expectations"][0]["drift"]
    assert (told["data_id"], told["version"]) == (data_id, 1)
