"""From rows to predictions: trained, watched, gated, promoted and asked, with the real agent, trainer and server."""

import json
import math
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from automesh.mesh.identity import IdentityFiles
from automesh.testing.live import LIMIT_S, LiveStack, until
from automesh.testing.people import Json, Person, error_of
from automesh.testing.trainings import (
    COMPLETED,
    ENDED,
    SMALL,
    TRAINING_LIMIT_S,
    begin,
    definition,
    followed,
    points,
    run_of,
    trained,
    until_checkpoint,
    updates,
    windows,
)

pytestmark = pytest.mark.torch

TRITON = Path(__file__).resolve().parents[2] / ".tools" / "tritonclient" / "bin" / "python"
PROGRAM = Path(__file__).parent / "programs" / "triton_predict.py"
LONG = 120
"""Epochs of a training that can be cut in the middle, also on a fast machine."""
STEPS = 6 * LONG
"""192 windows in batches of 32."""
WINDOWS = [[[math.sin(row + column) for column in range(4)] for row in range(8)] for _ in range(3)]
UNREACHABLE = {"metric": {"metric": "val/loss", "comparator": "<", "threshold": 1e-9}}


@pytest.fixture(scope="module")
def cancelled(developer: Person, waves: Json) -> Json:
    """A training that was cancelled in the middle, once its task has ended, too."""
    begun = begin(developer, definition(waves, epochs=LONG))
    until_checkpoint(developer, begun["runId"])
    answer = developer.done("POST", f"/runs/{begun['runId']}:cancel", json={"reason": "the test wants it"})
    assert answer["state"] == "RUN_STATE_CANCELLED"
    until(lambda: developer.task(begun["taskId"])["status"] == "TASK_STATUS_CANCELLED", "its task to end")
    return run_of(developer, begun["runId"])


@pytest.fixture(scope="module")
def runs(developer: Person, waves: Json, cancelled: Json, lstm_run: Json) -> Json:
    """Trainings that go on while the tests begin: the ids of each."""
    resumed = developer.done("POST", f"/runs/{cancelled['runId']}:resume", json={})
    whole = begin(developer, definition(waves, epochs=LONG))
    other = begin(developer, definition(waves, architecture="transformer"))
    dropped = begin(developer, definition(waves, epochs=LONG))
    developer.done("POST", f"/tasks/{dropped['taskId']}:cancel", json={})
    return {"resumed": resumed, "whole": whole, "dropped": dropped, "lstm": lstm_run, "transformer": other}


def path_of(version: Json) -> str:
    return f"/models/{version['modelId']}/versions/{version['version']}"


def test_a_watch_that_is_cut_goes_on_without_a_gap_or_a_repetition(developer: Person, runs: Json) -> None:
    run_id, seen = runs["whole"]["runId"], []
    for update in updates(developer, run_id):
        seen.append(update)
        if len(points(seen)) > 40:
            break  # in the middle
    rest = followed(developer, run_id, after=int(seen[-1]["sequence"]))
    listed = developer.done("GET", f"/runs/{run_id}/metrics", params={"pageSize": 10_000})["points"]

    assert seen[-1]["state"] == "RUN_STATE_RUNNING"
    assert points(seen) + points(rest) == listed
    assert len(listed) == int(rest[-1]["sequence"]) == 8 * LONG
    assert {update["dropped"] for update in seen + rest} == {"0"}
    assert [update["state"] in ENDED for update in rest] == [*([False] * (len(rest) - 1)), True]


def test_a_cancelled_training_is_resumed_and_ends_with_the_weights_of_one_that_was_not(
    developer: Person, cancelled: Json, runs: Json
) -> None:
    resumed = runs["resumed"]
    version, whole = trained(developer, resumed["runId"]), trained(developer, runs["whole"]["runId"])
    steps = [int(point["step"]) for point in points(followed(developer, resumed["runId"]))]

    assert cancelled["state"] == "RUN_STATE_CANCELLED"
    assert 0 < int(cancelled["checkpointStep"]) < STEPS
    assert (resumed["state"], resumed["runId"]) == ("RUN_STATE_QUEUED", cancelled["runId"])
    assert resumed["taskId"] != cancelled["taskId"]
    assert version["digest"] == whole["digest"]
    assert version["metrics"] == whole["metrics"]
    assert steps[-1] == STEPS


def test_a_run_whose_task_is_cancelled_is_cancelled_too(developer: Person, runs: Json) -> None:
    last = followed(developer, runs["dropped"]["runId"])[-1]

    assert (last["state"], last["modelVersion"]) == ("RUN_STATE_CANCELLED", 0)


def test_data_that_a_model_was_trained_on_cannot_be_deleted_unawares(
    developer: Person, waves: Json, lstm: Json
) -> None:
    path = f"/data/{waves['dataId']}"
    down = developer.done("GET", f"{path}/versions/1/lineage")["downstream"]
    status, reason, message = error_of(developer.call("DELETE", path))

    assert (status, reason) == (400, "DATASET_IN_USE")
    assert "model" in message
    assert lstm["modelId"] in {node["id"] for node in down if node["kind"] == "model"}


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_a_training_becomes_a_version_with_metrics_signature_and_files(
    developer: Person, runs: Json, architecture: str
) -> None:
    seen = followed(developer, runs[architecture]["runId"])
    version = trained(developer, runs[architecture]["runId"])
    losses = [point["value"] for point in points(seen) if point["name"] == "val/loss"]
    files = {each["name"]: each for each in version["files"]}

    assert losses[0] > losses[-1] > 0
    assert {"val/loss", "test/loss", "test/mae"} <= version["metrics"].keys()
    assert version["signature"]["inputs"] == [{"name": "input", "datatype": "FP32", "shape": ["-1", "8", "4"]}]
    assert {"model.safetensors", "model.onnx", "card.json", "plots/loss.json"} <= files.keys()
    for name, magic in (("plots/loss.png", b"\x89PNG"), ("plots/prediction.png", b"\x89PNG"), ("card.json", b"{")):
        answer = developer.call("GET", f"{path_of(version)}/files/{name}")
        assert (answer.status_code, answer.content[: len(magic)]) == (200, magic)
        assert len(answer.content) == int(files[name]["size"])
        assert answer.headers["content-type"] == files[name]["contentType"]
    shown = developer.done("GET", f"{path_of(version)}/files/plots/loss.json")
    assert {line["name"] for line in shown["series"]} == {"train/loss", "val/loss"}


@pytest.fixture(scope="module")
def by_task(developer: Person, waves: Json) -> Json:
    """The tasks that somebody made by hand, at their end."""
    given = {"name": "by task", "source": {"generator": SMALL}, "pipeline": windows()}
    data = developer.finished(developer.submit("data_processing", given)["taskId"])
    task_id = developer.submit("model_training", definition(waves))["taskId"]
    return {"data": data, "model": developer.finished(task_id, limit_s=TRAINING_LIMIT_S)}


def test_a_data_processing_task_by_hand_makes_the_very_same_data(by_task: Json, waves: Json) -> None:
    task = by_task["data"]
    assert task["status"] == "TASK_STATUS_COMPLETED", task.get("failure")
    result = task["result"]
    assert result.keys() == {"data_id", "version", "state", "rows", "digest"}
    assert (result["state"], result["rows"], result["digest"]) == ("READY", int(waves["rows"]), waves["digest"])


def test_a_model_training_task_by_hand_makes_the_very_same_model(
    by_task: Json, developer: Person, runs: Json, lstm: Json
) -> None:
    task, sent = by_task["model"], developer.finished(runs["lstm"]["taskId"])
    assert task["status"] == "TASK_STATUS_COMPLETED", task.get("failure")
    assert task["result"].keys() == sent["result"].keys() == {"model_id", "model_version", "run_id", "metrics"}
    assert task["result"]["metrics"] == sent["result"]["metrics"] == lstm["metrics"]
    version = developer.done("GET", f"/models/{task['result']['model_id']}/versions/1")
    assert version["digest"] == lstm["digest"]
    assert run_of(developer, version["runId"])["createdBy"] == task["createdBy"] == developer.who()["subject"]


@pytest.fixture(scope="module")
def champion(developer: Person, lstm: Json) -> Json:
    """The LSTM's version as the champion of its model, against a gate that it fails."""
    model = developer.done("GET", f"/models/{lstm['modelId']}")
    gates = [{"alias": "champion", "gates": [UNREACHABLE, {"size": {"maxBytes": "1000000"}}]}]
    developer.done("PUT", f"/models/{lstm['modelId']}", json={**model, "gates": gates})
    alias = f"/models/{lstm['modelId']}/aliases/champion"
    refused = developer.call("PUT", alias, json={"version": 1})
    moved = developer.done("PUT", alias, json={"version": 1, "overrideReason": "checked by hand"})
    return {**lstm, "refused": error_of(refused), "moved": moved}


def test_a_gate_that_fails_says_what_it_measured_and_against_which_bound(champion: Json, developer: Person) -> None:
    status, reason, message = champion["refused"]
    held = developer.done("GET", f"{path_of(champion)}/gates/champion")

    assert (status, reason) == (400, "GATES_NOT_PASSED")
    assert "val/loss < 1e-09: measured 0." in message
    assert (held["passed"], [result["passed"] for result in held["results"]]) == (False, [False, True])


def test_an_override_is_recorded_with_the_move_and_in_the_audit_log(
    champion: Json, developer: Person, admin: Person
) -> None:
    model_id = champion["modelId"]
    [move] = developer.done("GET", f"/models/{model_id}/moves")["moves"]

    def audited() -> Json:
        events = admin.done("GET", "/audit/events", params={"resource": model_id, "pageSize": 100})["events"]
        return {each["outcome"]: each for each in events if each["method"].endswith("/SetAlias")}

    until(lambda: len(audited()) == 2, "the entries of both tries")
    assert champion["moved"]["model"]["aliases"] == {"champion": 1}
    assert (move["overrideReason"], move["movedBy"]) == ("checked by hand", developer.who()["subject"])
    assert audited()["OK"]["reason"] == "checked by hand"
    assert audited()["FAILED_PRECONDITION"]["reason"] == "GATES_NOT_PASSED"


def predicted(person: Person, version: Json) -> list[Any]:
    answer = person.done("POST", f"/models/{version['modelId']}:predict", json={"instances": WINDOWS})
    assert answer["version"] == version["version"]
    predictions: list[Any] = answer["predictions"]
    return predictions


def test_the_champion_predicts_alike_under_both_http_interfaces(
    live: LiveStack, champion: Json, developer: Person
) -> None:
    name = developer.done("GET", f"/models/{champion['modelId']}")["name"]
    tensor = {"name": "input", "datatype": "FP32", "shape": [3, 8, 4], "data": WINDOWS}
    twin = developer.done("POST", f"{live.url}/v2/models/{name}/infer", json={"id": "r1", "inputs": [tensor]})
    [output] = twin["outputs"]

    assert (twin["id"], twin["model_name"], twin["model_version"]) == ("r1", name, "1")
    assert (output["name"], output["datatype"], output["shape"]) == ("output", "FP32", [3, 1, 4])
    flat = [value for window in predicted(developer, champion) for row in window for value in row]
    assert output["data"] == pytest.approx(flat)
    assert len(set(flat)) == 4  # three equal windows


def test_tritonclient_predicts_with_an_issued_certificate_and_a_token(
    live: LiveStack, champion: Json, developer: Person, certificate: IdentityFiles
) -> None:
    if not TRITON.exists():
        pytest.skip("there is no tritonclient here: run `make .tools/tritonclient/ready`")
    address = f"127.0.0.1:{live.process('model').port}"
    command = [TRITON, PROGRAM, address, certificate.folder, "model.automesh.local", champion["modelId"]]

    def ask(token: str) -> Json:
        given = f"{token}\n{json.dumps(WINDOWS)}\n"
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr
        answer: Json = json.loads(done.stdout)
        return answer

    answer = ask(developer.token())
    assert answer["version"] == "1"
    for asked, got in zip(predicted(developer, champion), answer["output"], strict=True):
        assert got[0] == pytest.approx(asked[0])
    assert ask("")["status"] == "StatusCode.UNAUTHENTICATED"


def test_a_sweep_by_halving_lets_the_best_go_on(developer: Person, waves: Json) -> None:
    rate = {"path": "optimization.learning_rate", "min": 0.001, "max": 0.1, "log": True}
    asked = {"spec": definition(waves), "method": "SWEEP_METHOD_HALVING", "trials": 4, "maxParallel": 4, "seed": 3}
    sweep = developer.done("POST", "/sweeps", json={**asked, "parameters": [rate]})

    def look() -> Json | None:
        now = developer.done("GET", f"/sweeps/{sweep['sweepId']}")
        return now if now["state"] in ENDED else None

    over = until(look, "the sweep to end", 2 * TRAINING_LIMIT_S)
    first = [run for run in over["runs"] if run["round"] == 0]
    later = [run for run in over["runs"] if run["round"] > 0]
    assert (over["state"], over["waiting"], len(first)) == (COMPLETED, 0, 4)
    assert {run["state"] for run in over["runs"]} == {COMPLETED}
    assert len({run["parameters"]["optimization.learning_rate"] for run in first}) == 4
    assert all(one["value"] <= other["value"] for one, other in pairwise(over["runs"]))
    best = min(first, key=lambda run: run["value"])
    assert later
    assert best["parameters"] in [run["parameters"] for run in later]
