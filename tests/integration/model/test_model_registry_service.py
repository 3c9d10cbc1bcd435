"""ModelService against a real server, a real PostgreSQL and a real blob folder."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from automesh.core.errors import ValidationError
from automesh.mesh.errors import from_rpc_error
from automesh.model.v1 import model_pb2
from automesh.model.v1 import model_service_pb2 as pb
from automesh.testing.postgres import PostgresForTests
from services.model.domain.registry.drift import ColumnShape
from tests.integration.model.registry_house import PEOPLE, TENANT, Prediction, RegistryHouse, registry_house

pytestmark = pytest.mark.postgres
STRICT = {"alias": "champion", "gates": [{"metric": {"metric": "val/loss", "comparator": "<=", "threshold": 0.1}}]}


@pytest.fixture
async def house(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[RegistryHouse]:
    async with (
        postgres.fresh({"model": "services.model.migrations"}) as dsn,
        registry_house(dsn, tmp_path) as house,
    ):
        yield house


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), from_rpc_error(caught.value).reason


def holding(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def gated(house: RegistryHouse, *gates: Mapping[str, object], **fields: Any) -> str:
    model_id = await house.trained(**fields)
    text = ParseDict({"name": "prices", "gates": list(gates)}, model_pb2.Model())
    await (await house.models()).UpdateModel(pb.UpdateModelRequest(model_id=model_id, model=text))
    return model_id


async def test_a_model_is_read_changed_and_listed(house: RegistryHouse) -> None:
    stub = await house.models()
    model_id = await house.trained()
    text = ParseDict(
        {"name": "waves", "tags": {"team": "blue"}, "gates": [STRICT], "serving": {"max_delay_us": 0}},
        model_pb2.Model(),
    )
    changed = (await stub.UpdateModel(pb.UpdateModelRequest(model_id=model_id, model=text))).model
    assert (changed.name, changed.tags["team"], changed.latest_version) == ("waves", "blue", 1)
    assert changed.serving.HasField("max_delay_us")
    assert changed.gates == text.gates
    assert (await stub.GetModel(pb.GetModelRequest(model_id=model_id))).model == changed
    await house.trained("other")
    page = await stub.ListModels(pb.ListModelsRequest(page_size=1))
    rest = await stub.ListModels(pb.ListModelsRequest(page_size=1, page_token=page.next_page_token))
    assert [each.name for each in (*page.models, *rest.models)] == ["other", "waves"]
    assert rest.next_page_token == ""
    tagged = await stub.ListModels(pb.ListModelsRequest(tag="team=blue", name_contains="WAV"))
    assert [each.model_id for each in tagged.models] == [model_id]


async def test_a_version_comes_with_its_card_files_and_definition(house: RegistryHouse) -> None:
    model_id = await house.trained(
        files={"model.onnx": b"onnx", "plots/loss.png": b"png"}, metrics={"val/loss": math.nan}
    )
    version = (await (await house.models()).GetModelVersion(pb.GetModelVersionRequest(model_id=model_id))).version
    assert (version.version, version.created_by) == (1, "user_ann")
    assert math.isnan(version.metrics["val/loss"])
    assert version.card["about"] == "a wave"
    assert (version.spec.optimization.epochs, version.spec.seed) == (3, 7)
    assert list(version.signature.inputs[0].shape) == [-1, 3, 1]
    assert sorted((each.name, each.size) for each in version.files) == [("model.onnx", 4), ("plots/loss.png", 3)]
    assert version.HasField("create_time")


async def test_a_file_is_exported_with_its_type(house: RegistryHouse, tmp_path: Path) -> None:
    content = b"needle " * 200_000
    model_id = await house.trained(files={"model.onnx": content})
    stub = await house.models()
    call = stub.ExportModel(pb.ExportModelRequest(model_id=model_id, version=1, name="model.onnx"))
    bodies = [body async for body in call]
    assert b"".join(body.data for body in bodies) == content
    assert [body.content_type for body in bodies] == ["application/octet-stream"] + [""] * (len(bodies) - 1)
    assert not holding(tmp_path / "blobs", b"needle")
    missing = stub.ExportModel(pb.ExportModelRequest(model_id=model_id, name="model.pkl"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [body async for body in missing]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "it has model.onnx" in (caught.value.details() or "")


async def test_another_tenant_finds_nothing(house: RegistryHouse) -> None:
    model_id = await house.trained()
    stub = await house.models("globex")
    for call in (
        stub.GetModel(pb.GetModelRequest(model_id=model_id)),
        stub.GetModelVersion(pb.GetModelVersionRequest(model_id=model_id)),
        stub.SetAlias(pb.SetAliasRequest(model_id=model_id, alias="champion", version=1)),
        stub.CheckGates(pb.CheckGatesRequest(model_id=model_id, alias="champion")),
        stub.ListAliasMoves(pb.ListAliasMovesRequest(model_id=model_id)),
        stub.ListModelVersions(pb.ListModelVersionsRequest(model_id=model_id)),
        stub.DeleteModel(pb.DeleteModelRequest(model_id=model_id)),
        stub.UpdateModel(pb.UpdateModelRequest(model_id=model_id, model=model_pb2.Model(name="mine"))),
    ):
        assert await refusal(call) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert list((await stub.ListModels(pb.ListModelsRequest())).models) == []


async def test_every_right_is_asked_for(house: RegistryHouse) -> None:
    model_id = await house.trained()
    reader = await house.models(permissions=["model.read"])
    for call in (
        reader.SetAlias(pb.SetAliasRequest(model_id=model_id, alias="champion", version=1)),
        reader.DeleteModel(pb.DeleteModelRequest(model_id=model_id)),
        reader.UpdateModel(pb.UpdateModelRequest(model_id=model_id, model=model_pb2.Model(name="x"))),
        reader.Predict(pb.PredictRequest(model_id=model_id)),
    ):
        assert (await refusal(call))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_gates_refuse_a_move_and_an_override_is_recorded_and_audited(house: RegistryHouse) -> None:
    model_id = await gated(house, STRICT)
    stub = await house.models()
    asked = pb.SetAliasRequest(model_id=model_id, alias="champion", version=1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SetAlias(asked)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "val/loss <= 0.1: measured 0.25" in (caught.value.details() or "")
    asked.override_reason = "measured by hand"
    moved = await stub.SetAlias(asked)
    assert dict(moved.model.aliases) == {"champion": 1}
    assert [(each.passed, each.value, each.bound) for each in moved.results] == [(False, 0.25, 0.1)]
    [move] = (await stub.ListAliasMoves(pb.ListAliasMovesRequest(model_id=model_id))).moves
    assert (move.override_reason, move.moved_by, move.from_version) == ("measured by hand", "user_ann", 0)
    assert move.move_time.endswith("Z")
    entry = house.mesh.audited[-1]
    for audited in house.mesh.audited:
        if audited.method.endswith("SetAlias") and audited.outcome == "OK":
            entry = audited
    assert (entry.reason, entry.resource, entry.subject) == ("measured by hand", model_id, "user_ann")


async def test_gates_measure_latency_size_and_drift(house: RegistryHouse) -> None:
    gates = {
        "alias": "champion",
        "gates": [
            {"latency": {"max_ms": 5}},
            {"size": {"max_bytes": 100}},
            {"drift": {}},
            {"not_worse": {"metric": "val/loss", "max_percent": 10}},
        ],
    }
    model_id = await gated(house, gates)
    await house.trained(model_id=model_id, data_version=2, metrics={"val/loss": 0.27})
    even = ColumnShape(edges=(0.0, 1.0, 2.0), counts=(50, 50), rows=100)
    house.around.columns_of = {
        ("data_1", 1): {"a": even},
        ("data_1", 2): {"a": ColumnShape(edges=(0.0, 1.0, 2.0), counts=(99, 1), rows=100)},
    }
    stub = await house.models()
    await stub.SetAlias(pb.SetAliasRequest(model_id=model_id, alias="champion", version=1))
    house.around.p99 = 6.0
    checked = await stub.CheckGates(pb.CheckGatesRequest(model_id=model_id, version=0, alias="champion"))
    assert [each.passed for each in checked.results] == [False, True, False, True]
    assert checked.results[2].message == "worst feature: a"
    assert checked.results[3].bound == pytest.approx(0.275)
    assert not checked.passed
    assert (await stub.CheckGates(pb.CheckGatesRequest(model_id=model_id, alias="candidate"))).passed


async def test_two_who_move_the_same_alias_end_with_one_and_two_records(house: RegistryHouse) -> None:
    not_worse = {"alias": "champion", "gates": [{"not_worse": {"metric": "val/loss", "max_percent": 0}}]}
    model_id = await gated(house, not_worse, metrics={"val/loss": 0.2})
    for loss in (0.3, 0.1):
        await house.trained(model_id=model_id, metrics={"val/loss": loss})
    stub = await house.models()
    asked = [pb.SetAliasRequest(model_id=model_id, alias="champion", version=number) for number in (1, 2, 3)]
    await asyncio.gather(*(stub.SetAlias(each) for each in asked), return_exceptions=True)
    # Whoever came first, the best one holds it in the end, and no worse one ever came after a better one.
    assert dict((await stub.GetModel(pb.GetModelRequest(model_id=model_id))).model.aliases) == {"champion": 3}
    moves = (await stub.ListAliasMoves(pb.ListAliasMovesRequest(model_id=model_id))).moves
    losses = {1: 0.2, 2: 0.3, 3: 0.1}
    for move in moves:
        assert move.from_version == 0 or losses[move.to_version] <= losses[move.from_version]
    assert {move.to_version for move in moves} >= {3}


async def test_an_alias_is_removed_and_moves_are_paged(house: RegistryHouse) -> None:
    model_id = await house.trained()
    stub = await house.models()
    for alias in ("champion", "candidate"):
        await stub.SetAlias(pb.SetAliasRequest(model_id=model_id, alias=alias, version=1))
    model = (await stub.RemoveAlias(pb.RemoveAliasRequest(model_id=model_id, alias="champion"))).model
    assert dict(model.aliases) == {"candidate": 1}
    again = stub.RemoveAlias(pb.RemoveAliasRequest(model_id=model_id, alias="champion"))
    assert await refusal(again) == (grpc.StatusCode.NOT_FOUND, "ALIAS_NOT_FOUND")
    page = await stub.ListAliasMoves(pb.ListAliasMovesRequest(model_id=model_id, page_size=2))
    rest = await stub.ListAliasMoves(pb.ListAliasMovesRequest(model_id=model_id, page_token=page.next_page_token))
    assert [each.to_version for each in (*page.moves, *rest.moves)] == [0, 1, 1]
    bad = stub.ListAliasMoves(pb.ListAliasMovesRequest(model_id="model_other", page_token=page.next_page_token))
    assert await refusal(bad) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION")


async def test_versions_stand_side_by_side(house: RegistryHouse) -> None:
    first = await house.trained("a")
    second = await house.trained(
        "b", metrics={"val/mae": 0.5}, spec={"name": "b", "optimization": {"epochs": 9}, "seed": "7"}
    )
    stub = await house.models()
    refs = [pb.VersionRef(model_id=first), pb.VersionRef(model_id=second, version=1)]
    found = await stub.CompareVersions(pb.CompareVersionsRequest(versions=refs))
    assert [each.model_id for each in found.versions] == [first, second]
    assert [row.name for row in found.metrics] == ["val/loss", "val/mae"]
    assert {row.path: list(row.values) for row in found.parameters} == {
        "name": ['"a"', '"b"'],
        "optimization.epochs": ["3", "9"],
    }
    one = stub.CompareVersions(pb.CompareVersionsRequest(versions=refs[:1]))
    assert (await refusal(one))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_deleted_model_takes_its_files_along_and_the_data_service_hears_of_it(
    house: RegistryHouse, tmp_path: Path
) -> None:
    model_id = await house.trained(files={"model.onnx": b"x", "plots/loss.png": b"y"})
    stub = await house.models()
    await stub.SetAlias(pb.SetAliasRequest(model_id=model_id, alias="champion", version=1))
    refused = stub.DeleteModel(pb.DeleteModelRequest(model_id=model_id))
    assert await refusal(refused) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_HAS_ALIASES")
    house.around.away = True
    await stub.DeleteModel(pb.DeleteModelRequest(model_id=model_id, force=True, reason="replaced"))
    deleted = [each for each in house.mesh.audited if each.method.endswith("DeleteModel") and each.outcome == "OK"]
    assert [(each.reason, each.resource) for each in deleted] == [("replaced", model_id)]
    assert (await refusal(stub.GetModel(pb.GetModelRequest(model_id=model_id))))[0] is grpc.StatusCode.NOT_FOUND
    house.around.away = False
    await house.database.execute("UPDATE released_model SET due_at = now()", tenant=TENANT)

    await house.around.heard.until(lambda: house.around.released == [(TENANT, model_id)])
    await house.engine.upkeep.sweep()
    assert [entry async for entry in house.blobs.list("runs")] == []


async def test_a_model_that_trains_is_not_deleted(house: RegistryHouse) -> None:
    model_id = await house.trained()
    await house.database.execute(
        """
        INSERT INTO run (run_id, tenant_id, model_id, spec, submission, waits_for_gpu, claims, last_batch,
                         last_sequence, model_version, cancel_reason, sweep_id, detail, settled, created_by, request_id,
                         fingerprint)
        VALUES ('run_1', $2, $1, '{}', 1, false, 0, 0, 0, 0, '', '', '{}', false, 'user_ann', '', '')
        """,
        model_id,
        TENANT,
        tenant=TENANT,
    )
    refused = (await house.models()).DeleteModel(pb.DeleteModelRequest(model_id=model_id, force=True, reason="x"))
    assert await refusal(refused) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_TRAINS")


async def test_a_prediction_goes_to_serving_and_comes_back(house: RegistryHouse) -> None:
    model_id = await house.trained()
    house.around.prediction = Prediction([[0.25, 0.75], [[1.0], [2.0]]], ["b", "a"], 4)
    stub = await house.models()
    request = ParseDict({"model_id": "prices", "alias": "champion", "instances": [[[1], [2.5]]]}, pb.PredictRequest())
    answer = await stub.Predict(request)
    assert house.around.asked == [(TENANT, "prices", "champion", [[[1.0], [2.5]]])]
    assert (list(answer.labels), answer.version) == (["b", "a"], 4)
    assert [value.number_value for value in answer.predictions[0].list_value.values] == [0.25, 0.75]
    assert answer.predictions[1].list_value.values[1].list_value.values[0].number_value == 2.0
    for bad, field in (
        ({"instances": []}, "instances"),
        ({"instances": [[[1]]] * 1025}, "instances"),
        ({"instances": [[[1, "x"]]]}, "instances[0][0][1]"),
        ({"instances": [[[1]]], "version": 2, "alias": "champion"}, "alias"),
        ({"instances": [[[1]]], "version": -1}, "version"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Predict(ParseDict({"model_id": model_id, **bad}, pb.PredictRequest()))
        error = from_rpc_error(caught.value)
        assert isinstance(error, ValidationError)
        assert [each.field for each in error.violations] == [field]


@pytest.mark.parametrize(
    "text",
    [
        {"name": ""},
        {"name": "x", "gates": [{"alias": "Champion"}]},
        {"name": "x", "gates": [{"alias": "a"}, {"alias": "a"}]},
        {"name": "x", "gates": [{"alias": "a", "gates": [{}]}]},
        {"name": "x", "gates": [{"alias": "a", "gates": [{"metric": {"metric": "m", "comparator": "!="}}]}]},
        {"name": "x", "serving": {"max_batch_size": -1}},
    ],
)
async def test_a_text_that_makes_no_sense_is_refused_and_changes_nothing(
    house: RegistryHouse, text: dict[str, object]
) -> None:
    model_id = await house.trained()
    stub = await house.models()
    bad = stub.UpdateModel(pb.UpdateModelRequest(model_id=model_id, model=ParseDict(text, model_pb2.Model())))
    assert await refusal(bad) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION")
    assert (await stub.GetModel(pb.GetModelRequest(model_id=model_id))).model.name == "prices"


async def test_lists_refuse_foreign_tokens_and_odd_filters(house: RegistryHouse) -> None:
    stub = await house.models(permissions=PEOPLE)
    for request in (
        pb.ListModelsRequest(page_token="made up"),
        pb.ListModelsRequest(tag="no-separator"),
        pb.ListModelsRequest(page_size=-1),
    ):
        assert (await refusal(stub.ListModels(request)))[0] is grpc.StatusCode.INVALID_ARGUMENT
