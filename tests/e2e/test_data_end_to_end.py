"""Data from a file to a dataset and back, over HTTP and by the command line, with the real agent and its program."""

import csv
import io
import json
from pathlib import Path

import pytest

from automesh.testing.live import LiveStack
from automesh.testing.people import Json, Person, error_of

ROWS = [("a", n, 100 + n, "Ulm") for n in range(6)] + [("b", n, 200 - n, "Köln") for n in range(6)]
CSV = "house,day,price,town\n" + "".join(f"{house},{day},{price},{town}\n" for house, day, price, town in ROWS)
SPLIT = {"split": {"method": "SPLIT_METHOD_TIME", "testFraction": 0.5}}
PIPELINE = {"seriesColumn": "house", "timeColumn": "day", "steps": [SPLIT]}


def upload(person: Person, content: str, name: str = "houses.csv") -> str:
    answer = person.done("POST", "/data/uploads", params={"name": name}, content=content.encode())
    assert int(answer["size"]) == len(content.encode())
    return str(answer["uploadId"])


def processed(person: Person, upload_id: str, **request: object) -> Json:
    """A version of the upload, at its end."""
    told = {"name": "houses", "source": {"upload": {"uploadId": upload_id}}, "wait": "60s", **request}
    made = person.done("POST", "/data/process", json=told, timeout=90)
    version: Json = made["version"]
    return version


def path_of(version: Json) -> str:
    return f"/data/{version['dataId']}/versions/{version['version']}"


@pytest.fixture(scope="module")
def houses(developer: Person) -> Json:
    """A dataset of a CSV file."""
    return processed(developer, upload(developer, CSV), pipeline=PIPELINE, labels={"team": "e2e"})


def test_a_csv_file_becomes_a_version_with_parts(developer: Person, houses: Json) -> None:
    assert (houses["state"], houses["rows"]) == ("VERSION_STATE_READY", "12"), houses.get("failure")
    assert [(part["name"], part["rows"]) for part in houses["parts"]] == [("train", "6"), ("test", "6")]
    task = developer.task(houses["taskId"])
    assert task["result"]["digest"] == houses["digest"]
    assert task["status"] == "TASK_STATUS_COMPLETED"


def test_its_rows_and_statistics_are_shown(developer: Person, houses: Json) -> None:
    shown = developer.done("GET", f"{path_of(houses)}/preview", params={"rows": 2})
    assert [column["name"] for column in shown["columns"]] == ["house", "day", "price", "town"]
    assert shown["rows"] == [["a", 0, 100, "Ulm"], ["a", 1, 101, "Ulm"]]
    found = developer.done("GET", f"{path_of(houses)}/statistics", params={"part": "test"})["columns"]
    price = next(each for each in found if each["column"] == "price")
    assert (price["min"], price["max"]) == (103, 197)
    assert sum(map(int, price["histogram"]["counts"])) == 6


def test_its_parts_are_downloaded_whole_in_any_format(developer: Person, houses: Json) -> None:
    stored = developer.call("GET", f"{path_of(houses)}/parts/train")
    assert (stored.headers["content-type"], stored.content[:4]) == ("application/vnd.apache.parquet", b"PAR1")
    text = ""
    for part in ("train", "test"):
        answer = developer.call("GET", f"{path_of(houses)}/parts/{part}", params={"format": "FILE_FORMAT_CSV"})
        assert answer.headers["content-type"].startswith("text/csv")
        text += answer.content.decode()
    rows = [row for row in csv.reader(io.StringIO(text)) if row[0] != "house"]
    assert sorted(rows) == sorted([*map(str, row)] for row in ROWS)


def test_a_put_makes_a_new_version_and_the_first_stays(developer: Person, houses: Json) -> None:
    data_id = houses["dataId"]
    body = {"labels": {"team": "e2e"}, "pipeline": {"steps": [{"select": {"columns": ["price"]}}]}, "wait": "60s"}
    made = developer.done("PUT", f"/data/{data_id}", json=body, timeout=90)["version"]
    assert (made["version"], made["state"]) == (houses["version"] + 1, "VERSION_STATE_READY"), made.get("failure")
    assert developer.done("GET", path_of(houses)) == houses
    listed = developer.done("GET", f"/data/{data_id}/versions")["versions"]
    assert [each["version"] for each in listed][:2] == [made["version"], houses["version"]]
    up = developer.done("GET", f"{path_of(made)}/lineage")["upstream"]
    assert [(node["kind"], node["distance"]) for node in up] == [("dataset", 1), ("upload", 2)]


def test_a_task_made_by_hand_does_the_same_work(developer: Person) -> None:
    given = {"name": "by hand", "source": {"generator": {"samples": 5, "steps": 4, "features": 2}}}
    task = developer.finished(developer.submit("data_processing", given)["taskId"])
    assert (task["status"], task["result"]["rows"]) == ("TASK_STATUS_COMPLETED", 20), task.get("failure")
    version = developer.done("GET", f"/data/{task['result']['data_id']}/versions/1")
    assert (version["taskId"], version["createdBy"]) == (task["taskId"], task["createdBy"])


def test_a_ragged_file_fails_with_the_line_that_is_wrong(developer: Person) -> None:
    version = processed(developer, upload(developer, "a,b\n1,2\n3,4,5\n", "ragged.csv"), name="ragged")
    assert version["state"] == "VERSION_STATE_FAILED"
    assert "line 3" in version["failure"]["message"]
    task = developer.finished(version["taskId"])
    assert (task["status"], task["failure"]["reason"]) == ("TASK_STATUS_FAILED", version["failure"]["reason"])
    status, reason, _ = error_of(developer.call("GET", f"{path_of(version)}/preview"))
    assert (status, reason) == (400, "VERSION_NOT_READY")


def test_data_that_fails_its_expectations_is_put_aside_with_a_report(developer: Person) -> None:
    expected = {"validate": {"expectations": [{"column": "price", "min": 150}]}}
    version = processed(developer, upload(developer, CSV), name="too cheap", pipeline={"steps": [expected]})
    assert version["state"] == "VERSION_STATE_REJECTED"
    [check] = [each for each in version["report"]["checks"] if not each["passed"]]
    assert (check["column"], check["failedRows"], check["rowExamples"][:2]) == ("price", "6", ["0", "1"])
    assert developer.finished(version["taskId"])["failure"]["reason"] == "DATA_REJECTED"
    dataset = developer.done("GET", f"/data/{version['dataId']}")
    assert (dataset["latestVersion"], dataset["lastVersion"]) == (0, 1)


def test_bad_requests_name_their_field(developer: Person) -> None:
    for body, field in (
        ({"name": "x"}, "source"),
        ({"name": "x", "source": {"generator": {}}, "pipeline": {"steps": [{"derive": {"column": "y"}}]}}, "pipeline"),
        ({"name": "x", "source": {"url": {"url": "http://127.0.0.1/x"}}}, "source.url.url"),
    ):
        answer = developer.call("POST", "/data/process", json=body)
        fields = [each for detail in answer.json()["details"] for each in detail.get("fieldViolations", [])]
        assert (answer.status_code, fields[0]["field"].startswith(field)) == (400, True), answer.text


def test_people_of_other_tenants_and_readers_are_kept_out(houses: Json, viewer: Person, bob: Person) -> None:
    assert viewer.call("GET", path_of(houses)).status_code == 200
    assert viewer.call("POST", "/data/process", json={"dataId": houses["dataId"]}).status_code == 403
    assert viewer.call("DELETE", f"/data/{houses['dataId']}").status_code == 403
    for path in (path_of(houses), f"{path_of(houses)}/preview", f"{path_of(houses)}/parts/train"):
        assert bob.call("GET", path).status_code == 404
    assert houses["dataId"] not in json.dumps(bob.done("GET", "/data"))


def test_what_lies_on_the_disk_shows_nothing_of_the_data(live: LiveStack, houses: Json) -> None:
    blobs = [path for path in live.state.blobs.rglob("*") if path.is_file()]
    assert blobs
    assert [path for path in blobs if b"PAR1" in path.read_bytes() or b"house,day" in path.read_bytes()] == []
    scratch = live.state.folder / "scratch" / "data"
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_the_command_line_does_all_of_it(live: LiveStack, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(CSV, encoding="utf-8")
    flags = ["--series", "house", "--time", "day", "--test", "0.5", "--split", "time", "--scale", "z_score"]
    made = json.loads(live.command("data", "process", "cli", "--file", str(file), *flags, "--wait", "--json"))
    data_id = made["version"]["dataId"]
    assert made["version"]["state"] == "VERSION_STATE_READY"
    assert data_id in live.command("data", "list", "--name", "cli")
    assert "READY" in live.command("data", "show", data_id)
    assert "Köln" in live.command("data", "preview", data_id)
    assert "█" in live.command("data", "stats", data_id)
    assert "upload_" in live.command("data", "lineage", data_id)
    out = tmp_path / "out.jsonl"
    live.command("data", "download", data_id, "--part", "test", "--format", "jsonl", "--out", str(out))
    assert len([json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]) == 6
    live.command("data", "delete", data_id, "--yes")
    assert data_id not in live.command("data", "list")


def test_a_deleted_dataset_is_gone(developer: Person) -> None:
    version = processed(developer, upload(developer, CSV), name="short-lived")
    developer.done("DELETE", f"/data/{version['dataId']}")
    status, reason, _ = error_of(developer.call("GET", path_of(version)))
    assert (status, reason) == (404, "DATASET_NOT_FOUND")
