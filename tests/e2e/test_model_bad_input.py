"""What cannot be trained, predicted or read: each is refused with a message that says what is wrong, and where."""

import gzip
import io
import struct
from collections.abc import Callable
from typing import Any

import pytest

from automesh.testing.live import LiveStack, until
from automesh.testing.people import Json, Person, error_of
from automesh.testing.trainings import begin, definition, ended, run_of

pytestmark = pytest.mark.torch

BOMB_BYTES = 400_000_000
"""Unpacked; more than tests/e2e/conftest.py allows."""
WINDOW = {"window": {"length": 4, "stride": 1}}
ROW = [0.5, 0.5, 0.5, 0.5]


def uploaded(person: Person, name: str, content: bytes, *steps: Json) -> Json:
    """The version made of a file, at its end."""
    upload = person.done("POST", "/data/uploads", params={"name": name}, content=content)["uploadId"]
    source = {"upload": {"uploadId": upload}}
    told = {"name": name, "source": source, "pipeline": {"steps": list(steps)}, "wait": "60s"}
    version: Json = person.done("POST", "/data/process", json=told)["version"]
    return version


def table(header: str, *rows: object) -> bytes:
    return "\n".join([header, *map(str, rows), ""]).encode()


REFUSED: dict[str, tuple[Json, int, str]] = {
    "an unknown architecture": ({"architecture": {"gru": {"hidden": 8}}}, 400, "spec.architecture.gru"),
    "heads that do not divide": (
        {"architecture": {"transformer": {"hidden": 10, "heads": 4}}},
        400,
        "hidden is 10, which 4 heads do not divide: take 8",
    ),
    "a column that is not there": ({"data": {"features": ["f0", "f9"]}}, 400, "has no column 'f9'; it has series, "),
    "no such dataset": ({"data": {"dataId": "data_0"}}, 404, "there is no dataset 'data_0'"),
    "an absurd learning rate": ({"optimization": {"learningRate": 1e9}}, 400, "learning_rate is 1e+09"),
    "a GPU where there is none": (
        {"resources": {"device": "DEVICE_CUDA", "withoutDevice": "NO_DEVICE_FAIL"}},
        400,
        "no agent with a GPU is connected: start one, or set spec.resources.without_device to wait or cpu",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_definition_that_cannot_work_is_refused_at_once(developer: Person, waves: Json, what: str) -> None:
    change, wanted, hint = REFUSED[what]
    spec = definition(waves)
    for part, values in change.items():
        spec[part] = values if part == "architecture" else {**spec.get(part, {}), **values}
    status, _, message = error_of(developer.call("POST", "/models/train", json={"spec": spec}))

    assert status == wanted
    assert hint in message


@pytest.fixture(scope="module")
def failed(developer: Person, waves: Json) -> dict[str, Json]:
    """The ends of trainings whose flaw only the trainer sees; they train at the same time."""
    holes = uploaded(
        developer, "holes.csv", table("a,b", *(f"{n},{'NaN' if n == 7 else 0.5}" for n in range(30))), WINDOW
    )
    same = uploaded(developer, "same.csv", table("a,kind", *(f"{n},up" for n in range(30))), WINDOW)
    fast = {"epochs": 5, "batchSize": 32, "optimizer": "sgd", "learningRate": 1e6}
    specs = {
        "nan": definition(holes),
        "short": definition(waves, data={"dataId": waves["dataId"], "window": 64}),
        "one class": definition(
            same,
            objective={"kind": "OBJECTIVE_KIND_CLASSIFICATION"},
            data={"dataId": same["dataId"], "targets": ["kind"]},
        ),
        "diverging": definition(waves, optimization=fast),
        "plugin": definition(waves, architecture="lstm") | {"architecture": {"plugin": {"name": "gru"}}},
    }
    begun = {what: begin(developer, spec) for what, spec in specs.items()}
    return {what: ended(developer, ids["runId"]) for what, ids in begun.items()}


@pytest.mark.parametrize(
    ("what", "reason", "hint"),
    [
        (
            "nan",
            "DATA_NOT_FINITE",
            "column 'b' of part 'train' has 1 rows with null, NaN or infinity, the first in row 7",
        ),
        ("short", "DATA_TOO_SHORT", "the 64 rows of one window and 1 rows after it: take a smaller spec.data.window"),
        ("one class", "ONE_CLASS_ONLY", "column 'kind' has the class 'up' alone"),
        ("diverging", "TRAINING_DIVERGED", "Take a smaller spec.optimization.learning_rate than 1e+06"),
        ("plugin", "PLUGIN_UNKNOWN", "no installed package offers the architecture 'gru'"),
    ],
)
def test_a_training_that_cannot_work_fails_for_good_and_says_why(
    failed: dict[str, Json], developer: Person, what: str, reason: str, hint: str
) -> None:
    run = failed[what]
    task = developer.finished(run["taskId"])

    assert (run["state"], run["failure"]["reason"]) == ("RUN_STATE_FAILED", reason)
    assert hint in run["failure"]["message"]
    assert (task["status"], task["attempt"]) == ("TASK_STATUS_FAILED", 1)
    assert task["failure"]["reason"] == reason


def test_who_asks_for_a_gpu_may_wait_for_one_or_take_the_cpu(developer: Person, waves: Json) -> None:
    def asked(without: str) -> str:
        spec = definition(waves, epochs=1000, resources={"device": "DEVICE_CUDA", "withoutDevice": without})
        return str(begin(developer, spec)["runId"])

    waiting, on_cpu = asked("NO_DEVICE_WAIT"), asked("NO_DEVICE_CPU")
    until(lambda: run_of(developer, on_cpu)["state"] == "RUN_STATE_RUNNING", "the training on the CPU to begin")
    state = run_of(developer, waiting)["state"]
    stopped = [developer.done("POST", f"/runs/{run_id}:cancel", json={})["state"] for run_id in (waiting, on_cpu)]

    assert state == "RUN_STATE_QUEUED"
    assert stopped == ["RUN_STATE_CANCELLED"] * 2


def tensor(**changes: Any) -> Json:
    whole = {"name": "input", "datatype": "FP32", "shape": [1, 8, 4], "data": [ROW] * 8}
    return {"inputs": [{**whole, **changes}]}


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (tensor(datatype="INT64"), "input 'input' is INT64, but the model takes FP32: convert it first"),
        (tensor(shape=[1, 4, 8]), "has shape [1, 4, 8], but the model takes [-1, 8, 4]"),
        (tensor(shape=[1, -8, 4]), "[1, -8, 4]"),
        (tensor(name="x"), "the model takes the input 'input'; what came is: 'x'"),
        (tensor(data=ROW), "input 'input' has 4 values, but shape [1, 8, 4] needs 32"),
        (tensor(data=["a"] * 32), "data holds 'a': only numbers are taken"),
        ({"inputs": []}, "input"),
        ({**tensor(), "outputs": [{"name": "y"}]}, "'y'"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_with_both_sides(
    live: LiveStack, developer: Person, lstm: Json, body: Json, hint: str
) -> None:
    answer = developer.call("POST", f"{live.url}/v2/models/{lstm['modelId']}/infer", json=body)

    assert answer.status_code == 400
    assert hint in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"instances": []}, "from 1 to 1024 instances are predicted at once, not 0"),
        ({"instances": [[[1, 2]]]}, "has shape [1, 1, 2], but the model takes [-1, 8, 4]"),
        ({"instances": [[["a"] * 4] * 8]}, "instances[0][0][0] is string"),
        (
            {"instances": [[ROW] * 6 + [[1, 2, 3, 4, 5], [1, 2, 3]]]},
            "instances[0][6] has 5 values, but instances[0][0] has 4",
        ),
        ({"instances": [[ROW] * 8], "version": 99}, "99"),
        ({"instances": [[ROW] * 8], "alias": "nobody"}, "nobody"),
    ],
)
def test_windows_that_do_not_fit_are_refused_with_their_place(
    developer: Person, lstm: Json, body: Json, hint: str
) -> None:
    answer = developer.call("POST", f"/models/{lstm['modelId']}:predict", json=body)

    assert answer.status_code in (400, 404)
    assert hint in answer.json()["message"]


def test_a_hundred_megabytes_are_refused_and_the_server_predicts_on(developer: Person, lstm: Json) -> None:
    path = f"/models/{lstm['modelId']}:predict"
    huge = b'{"instances": [' + b"[1.0, 2.0, 3.0]," * (100 * 1024 * 1024 // 16) + b"[1]]}"
    answer = developer.call("POST", path, content=huge, headers={"content-type": "application/json"})
    after = developer.call("POST", path, json={"instances": [[ROW] * 8]})

    assert error_of(answer)[:2] == (413, "BODY_TOO_LARGE")
    assert after.status_code == 200


def parquet(rows: int) -> bytes:
    import polars as pl

    buffer = io.BytesIO()
    pl.DataFrame({"a": pl.zeros(rows, dtype=pl.Int64, eager=True)}).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def lying_footer() -> bytes:
    whole = bytearray(parquet(3))
    whole[-8:-4] = struct.pack("<I", 2**31 - 1)
    return bytes(whole)


FILES: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    "ragged": (
        "ragged.csv",
        lambda: table("a,b", "1,2", "3,4,5"),
        "DATA_UNREADABLE",
        "line 3 has 3 fields, the header has 2",
    ),
    "encoding": ("city.csv", lambda: "a\nKöln\n".encode("latin-1"), "DATA_UNREADABLE", "city.csv is not utf-8: byte 3"),
    "columns": (
        "wide.csv",
        lambda: table(",".join(f"c{n}" for n in range(10_000)), ",".join("1" * 10_000)),
        "DATA_TOO_LARGE",
        "wide.csv has 10000 columns, at most 4096 are possible",
    ),
    "footer": ("lie.parquet", lying_footer, "DATA_UNREADABLE", "lie.parquet is damaged or not what it is said to be"),
    "packed": (
        "bomb.csv",
        lambda: gzip.compress(b"a,b\n" + b"0,0\n" * (BOMB_BYTES // 4), 1),
        "DATA_TOO_LARGE",
        "bomb.csv",
    ),
    "columnar": ("bomb.parquet", lambda: parquet(BOMB_BYTES // 8), "DATA_TOO_LARGE", "bomb.parquet"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_good_becomes_no_version_and_the_reason_is_told(developer: Person, what: str) -> None:
    name, content, reason, hint = FILES[what]
    version = uploaded(developer, name, content())

    assert version["state"] == "VERSION_STATE_FAILED"
    assert version["failure"]["reason"] == reason
    assert hint in version["failure"]["message"]


def test_formulas_are_data_and_are_never_handed_to_a_spreadsheet_as_such(developer: Person) -> None:
    version = uploaded(developer, "sums.csv", table("a,b", "=1+1,3", "@x,-4"))
    path = f"/data/{version['dataId']}/versions/1"
    shown = developer.done("GET", f"{path}/preview")["rows"]
    text = developer.call("GET", f"{path}/parts/train", params={"format": "FILE_FORMAT_CSV"}).text

    assert shown == [["=1+1", 3], ["@x", -4]]
    assert text.split() == ["a,b", "'=1+1,3", "'@x,-4"]
