"""Datasets, models, runs, webhooks and predictions of one tenant do not exist for another; and roles hold."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from automesh.testing.live import LiveStack
from automesh.testing.people import Person, error_of, newcomer
from automesh.testing.trainings import begin, dataset, definition, ended, trained

pytestmark = pytest.mark.torch

INSTANCES = {"instances": [[[0.0] * 4] * 8]}
TENSOR = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 8, 4], "data": [0.0] * 32}]}
FORECAST = {"kind": "OBJECTIVE_KIND_FORECASTING"}
NOBODYS = {"data": "data_0", "model": "model_0", "run": "run_0", "sweep": "sweep_0", "webhook": "webhook_0"}

Call = tuple[str, str, Any]

FOREIGN: list[Call] = [
    ("GET", "/data/{data}", None),
    ("PUT", "/data/{data}", {"name": "mine now"}),
    ("DELETE", "/data/{data}?force=true&reason=mine", None),
    ("GET", "/data/{data}/versions", None),
    ("GET", "/data/{data}/versions/1", None),
    ("GET", "/data/{data}/versions/1/preview", None),
    ("GET", "/data/{data}/versions/1/statistics", None),
    ("GET", "/data/{data}/versions/1/lineage", None),
    ("GET", "/data/{data}/versions/1/parts/train", None),
    ("POST", "/data/process", {"name": "copy", "source": {"dataset": {"dataId": "{data}"}}}),
    ("POST", "/data/process", {"dataId": "{data}", "pipeline": {"steps": []}}),
    ("POST", "/models/train", {"spec": {"name": "thief", "data": {"dataId": "{data}"}, "objective": FORECAST}}),
    ("GET", "/models/{model}", None),
    ("PUT", "/models/{model}", {"name": "mine now"}),
    ("DELETE", "/models/{model}?force=true&reason=mine", None),
    ("GET", "/models/{model}/versions", None),
    ("GET", "/models/{model}/versions/1", None),
    ("GET", "/models/{model}/versions/1/files/model.onnx", None),
    ("GET", "/models/{model}/versions/1/gates/champion", None),
    ("GET", "/models/{model}/moves", None),
    ("PUT", "/models/{model}/aliases/champion", {"version": 1}),
    ("POST", "/models/{model}:predict", INSTANCES),
    ("GET", "/v2/models/{model}", None),
    ("GET", "/v2/models/{model}/ready", None),
    ("POST", "/v2/models/{model}/infer", TENSOR),
    ("GET", "/runs/{run}", None),
    ("GET", "/runs/{run}/metrics", None),
    ("GET", "/runs/{run}:watch", None),
    ("POST", "/runs/{run}:cancel", {}),
    ("POST", "/runs/{run}:resume", {}),
    ("GET", "/sweeps/{sweep}", None),
    ("POST", "/sweeps/{sweep}:cancel", {}),
    ("GET", "/webhooks/{webhook}/deliveries", None),
    ("POST", "/webhooks/{webhook}:test", {}),
]


@pytest.fixture(scope="module")
def olga(live: LiveStack, admin: Person) -> Iterator[Person]:
    """Everything that is possible in a tenant of her own."""
    with newcomer(live, admin, "olga", "admin", "developer", tenant="gamma") as person:
        yield person


@pytest.fixture(scope="module")
def olgas(olga: Person, bob: Person) -> dict[str, str]:
    """What belongs to tenant gamma, by kind."""
    version = dataset(olga, name="secret waves")
    begun = begin(olga, definition(version, epochs=1, name="secret"))
    sweep = {"spec": definition(version, name="sweep"), "parameters": [{"path": "seed", "values": ["1"]}]}
    started = olga.done("POST", "/sweeps", json=sweep)
    olga.done("POST", f"/sweeps/{started['sweepId']}:cancel", json={})
    hook = olga.done("POST", "/webhooks", json={"url": "https://hooks.example.org/olga"})
    trained(olga, begun["runId"])
    return {
        "data": version["dataId"],
        "model": begun["modelId"],
        "run": begun["runId"],
        "sweep": started["sweepId"],
        "webhook": hook["webhook"]["webhookId"],
    }


def filled(text: str, ids: dict[str, str]) -> str:
    for kind, name in ids.items():
        text = text.replace("{" + kind + "}", name)
    return text


def answer(person: Person, call: Call, ids: dict[str, str]) -> tuple[int, str, str]:
    """Status, reason and message of a refused call, with all ids taken out of it."""
    method, path, body = call
    url = str(person.http.base_url.join(path)) if path.startswith("/v2") else path
    sent = {} if body is None else {"json": json.loads(filled(json.dumps(body), ids))}
    status, reason, message = error_of(person.call(method, filled(url, ids), **sent))
    for kind, name in ids.items():
        message = message.replace(name, kind)
    return status, reason, message


@pytest.mark.parametrize("call", FOREIGN, ids=lambda call: f"{call[0]} {call[1]}")
def test_what_another_tenant_has_is_not_found_just_like_what_never_was(
    bob: Person, olgas: dict[str, str], call: Call
) -> None:
    foreign, absent = answer(bob, call, olgas), answer(bob, call, NOBODYS)

    assert foreign[0] == 404
    assert foreign == absent


def test_nothing_of_what_others_tried_has_happened(olga: Person, bob: Person, olgas: dict[str, str]) -> None:
    assert olga.done("GET", f"/data/{olgas['data']}")["name"] == "secret waves"
    model = olga.done("GET", f"/models/{olgas['model']}")
    assert (model["name"], model["aliases"], model["latestVersion"]) == ("secret", {}, 1)
    assert len(olga.done("POST", f"/models/{olgas['model']}:predict", json=INSTANCES)["predictions"]) == 1


def test_lists_show_nothing_of_another_tenant(bob: Person, olgas: dict[str, str]) -> None:
    for path in ("/data", "/models", "/runs", "/webhooks", "/tasks", f"/runs?modelId={olgas['model']}"):
        text = json.dumps(bob.done("GET", path))
        assert not [name for name in olgas.values() if name in text], path
    assert "secret" not in json.dumps(bob.done("GET", "/models"))


def test_a_deletion_of_a_foreign_webhook_leaves_it_alone(olga: Person, bob: Person, olgas: dict[str, str]) -> None:
    bob.call("DELETE", f"/webhooks/{olgas['webhook']}")
    assert olgas["webhook"] in json.dumps(olga.done("GET", "/webhooks"))


def test_the_same_model_name_in_two_tenants_is_two_models(olga: Person, bob: Person, olgas: dict[str, str]) -> None:
    begun = begin(bob, definition(dataset(bob, name="bobs"), epochs=1, name="secret"))
    bob.done("POST", f"/runs/{begun['runId']}:cancel", json={})
    assert ended(bob, begun["runId"])["state"] == "RUN_STATE_CANCELLED"
    assert begun["modelId"] != olgas["model"]
    assert bob.call("POST", "/models/secret:predict", json=INSTANCES).status_code == 404  # no version of his own
    assert olga.done("POST", "/models/secret:predict", json=INSTANCES)["version"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "permission"),
    [
        ("POST", "/models/train", {"spec": {"name": "x"}}, "model.train"),
        ("POST", "/sweeps", {}, "model.train"),
        ("POST", "/runs/run_0:cancel", {}, "model.train"),
        ("POST", "/runs/run_0:resume", {}, "model.train"),
        ("PUT", "/models/model_0", {"name": "x"}, "model.write"),
        ("DELETE", "/models/model_0", None, "model.delete"),
        ("PUT", "/models/model_0/aliases/champion", {"version": 1}, "model.promote"),
        ("POST", "/models/model_0:predict", INSTANCES, "model.predict"),
        ("POST", "/webhooks", {"url": "https://hooks.example.org/"}, "webhook.write"),
        ("POST", "/data/process", {"name": "x"}, "data.write"),
        ("DELETE", "/data/data_0", None, "data.delete"),
    ],
)
def test_a_viewer_only_looks(viewer: Person, method: str, path: str, body: Any, permission: str) -> None:
    options = {} if body is None else {"json": body}
    status, reason, message = error_of(viewer.call(method, path, **options))

    assert (status, reason) == (403, "PERMISSION_DENIED")
    assert permission in message


def test_a_viewer_sees_models_runs_and_data(viewer: Person) -> None:
    assert {viewer.call("GET", path).status_code for path in ("/models", "/runs", "/data", "/webhooks")} == {200}


def test_an_agents_own_calls_are_not_for_people(live: LiveStack, developer: Person) -> None:
    for path in ("automesh.model.v1.TrainingService/ClaimRun", "automesh.data.v1.ProcessingService/ClaimProcessing"):
        assert developer.call("POST", f"{live.url}/{path}", json={}).status_code in (404, 405)
