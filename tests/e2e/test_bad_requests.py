"""Requests that are wrong: each refused with its status, its reason and a way to mend it, and nothing is changed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from automesh.testing.people import Json, Person, error_of

MISSING = "task_00000000000000000000000"


@pytest.fixture
def waiting(developer: Person) -> Iterator[Json]:
    """A task that waits for the far future."""
    task = developer.submit("noop", {"result": "kept"}, runAt="2027-01-01T00:00:00Z", description="as it was")
    yield task
    developer.call("DELETE", f"/tasks/{task['taskId']}")


@pytest.fixture
def running(developer: Person) -> Iterator[Json]:
    """A task that runs now."""
    task = developer.began(developer.submit("noop", {"sleep_s": 60})["taskId"])
    yield task
    developer.call("POST", f"/tasks/{task['taskId']}:cancel", json={})


def count(person: Person) -> int:
    return len(person.done("GET", "/tasks", params={"pageSize": 1000})["tasks"])


BAD_TASKS: dict[str, tuple[Any, str, str, str]] = {
    "no type": ({"input": {}}, "VALIDATION", "task.type", "test_generation"),
    "a type nobody knows": ({"type": "none.such"}, "UNKNOWN_TASK_TYPE", "task.type", "/api/v1/agents"),
    "a type that is no name": ({"type": "No Such"}, "VALIDATION", "task.type", "a-z"),
    "priority 10": ({"type": "noop", "priority": 10}, "VALIDATION", "task.priority", "between 0 and 9"),
    "priority -1": ({"type": "noop", "priority": -1}, "VALIDATION", "task.priority", "between 0 and 9"),
    "a list as input": ({"type": "noop", "input": [1, 2]}, "VALIDATION", "input", "object"),
    "a text as input": ({"type": "noop", "input": "x"}, "VALIDATION", "input", "object"),
    "a huge input": ({"type": "noop", "input": {"x": "y" * 5_000_000}}, "VALIDATION", "task.input", "artifact"),
    "a long description": ({"type": "noop", "description": "x" * 5000}, "VALIDATION", "task.description", "4096"),
    "a time that is none": ({"type": "noop", "runAt": "tomorrow"}, "VALIDATION", "runAt", "2026-01-31T12:00:00Z"),
    "a timeout of nothing": ({"type": "noop", "timeout": "0s"}, "VALIDATION", "task.timeout", "1 s"),
    "too many retries": ({"type": "noop", "retryPolicy": {"maxRetries": 101}}, "VALIDATION", "retries", "100"),
    "a field that is none": ({"type": "noop", "prio": 1}, "VALIDATION", "prio", "prio"),
    "a list instead of a task": ([], "VALIDATION", "", "object"),
}


@pytest.mark.parametrize("case", BAD_TASKS)
def test_a_bad_task_is_refused_with_the_field_and_the_way_to_mend_it(ann: Person, case: str) -> None:
    body, reason, field, hint = BAD_TASKS[case]
    before = count(ann)
    response = ann.call("POST", "/tasks", json=body)
    status, told, message = error_of(response)

    assert (status, told) == (400, reason)
    assert hint in message
    assert field in response.text
    assert len(response.content) < 10_000
    assert count(ann) == before


@pytest.mark.parametrize(
    ("body", "hint"),
    [(b"{", "line 1"), (b"", "test_generation"), (b"\xff\xfe", "UTF-8"), (b'{"type":"noop","type":"noop"}', "")],
)
def test_a_body_that_is_no_json_is_refused_with_the_place(ann: Person, body: bytes, hint: str) -> None:
    response = ann.call("POST", "/tasks", content=body, headers={"content-type": "application/json"})

    assert error_of(response)[:2] == (400, "VALIDATION")
    assert hint in response.text


def test_a_body_deeper_than_anybody_needs_is_refused(ann: Person) -> None:
    deep = b'{"type":"noop","input":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001
    response = ann.call("POST", "/tasks", content=deep, headers={"content-type": "application/json"})

    assert error_of(response)[:2] == (400, "VALIDATION")


def test_a_body_over_the_limit_of_the_gateway_is_refused_with_the_limit(ann: Person) -> None:
    response = ann.call("POST", "/tasks", json={"type": "noop", "input": {"x": "y" * 9_000_000}})
    status, reason, message = error_of(response)

    assert (status, reason) == (413, "BODY_TOO_LARGE")
    assert str(8 * 1024 * 1024) in message


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_another_content_type_than_json_is_refused(ann: Person, content_type: str) -> None:
    response = ann.call("POST", "/tasks", content=b'{"type":"noop"}', headers={"content-type": content_type})
    status, reason, message = error_of(response)

    assert (status, reason) == (415, "UNSUPPORTED_CONTENT_TYPE")
    assert "application/json" in message
    assert content_type in message


def test_a_method_that_a_path_does_not_take_is_refused_with_those_it_takes(ann: Person) -> None:
    response = ann.call("PATCH", "/tasks")
    status, reason, message = error_of(response)

    assert (status, reason) == (405, "METHOD_NOT_ALLOWED")
    assert {"GET", "POST"} <= {method.strip() for method in response.headers["allow"].split(",")}
    assert "GET" in message


def test_a_path_that_nobody_serves_is_not_found(ann: Person) -> None:
    assert error_of(ann.call("GET", "/taks"))[:2] == (404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("task_id", [MISSING, "x", "task_", "TASK_1", "a" * 500, "..%2f..", "task%20x", "ä"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_id_that_names_no_task_is_not_found_however_it_looks(ann: Person, method: str, task_id: str) -> None:
    response = ann.call(method, f"/tasks/{task_id}", json={} if method == "PUT" else None)

    assert error_of(response)[:2] == (404, "TASK_NOT_FOUND")


@pytest.mark.parametrize(
    "path", ["/tasks/%00", "/tasks/x%00y:watch", "/tasks?type=%00", f"/tasks/{MISSING}/artifacts/a%00"]
)
def test_a_nul_character_is_refused_wherever_it_stands(ann: Person, path: str) -> None:
    assert error_of(ann.call("GET", path))[0] in (400, 404)


def test_a_finished_task_cannot_be_cancelled_changed_or_begun_again(developer: Person) -> None:
    task = developer.finished(developer.submit()["taskId"])
    path = f"/tasks/{task['taskId']}"
    cancel = developer.call("POST", f"{path}:cancel", json={})
    update = developer.call("PUT", path, json={"priority": 1})

    assert error_of(cancel)[:2] == (400, "TASK_ALREADY_FINISHED")
    assert "COMPLETED" in error_of(cancel)[2]
    assert error_of(update)[:2] in ((400, "TASK_ALREADY_FINISHED"), (400, "TASK_NOT_SCHEDULED"))
    assert developer.task(task["taskId"]) == task


def test_a_running_task_can_be_neither_changed_nor_deleted(developer: Person, running: Json) -> None:
    path = f"/tasks/{running['taskId']}"
    update = developer.call("PUT", path, json={"priority": 1})
    delete = developer.call("DELETE", path)

    assert error_of(update)[:2] == (400, "TASK_NOT_SCHEDULED")
    assert error_of(delete)[:2] == (400, "TASK_STILL_RUNNING")
    assert "cancel" in error_of(delete)[2]
    assert developer.task(running["taskId"])["status"] == "TASK_STATUS_RUNNING"


@pytest.mark.parametrize(
    ("mask", "body", "hint"),
    [
        ("status", {"status": "TASK_STATUS_COMPLETED"}, "description, priority, input, run_at"),
        ("type", {"type": "echo"}, "description, priority, input, run_at"),
        ("nonsense", {}, "nonsense"),
        ("priority", {"priority": 99}, "between 0 and 9"),
    ],
)
def test_a_change_that_is_not_allowed_leaves_the_task_as_it_was(
    developer: Person, waiting: Json, mask: str, body: Json, hint: str
) -> None:
    path = f"/tasks/{waiting['taskId']}"
    response = developer.call("PUT", path, params={"updateMask": mask}, json=body)

    assert error_of(response)[:2] == (400, "VALIDATION")
    assert hint in error_of(response)[2]
    assert developer.task(waiting["taskId"]) == waiting


def test_a_request_id_used_with_another_task_is_a_conflict_and_the_first_stays(developer: Person) -> None:
    headers = {"idempotency-key": "used-twice"}
    first = developer.call("POST", "/tasks", json={"type": "noop", "input": {"result": 1}}, headers=headers).json()
    again = developer.call("POST", "/tasks", json={"type": "noop", "input": {"result": 1}}, headers=headers)
    other = developer.call("POST", "/tasks", json={"type": "noop", "input": {"result": 2}}, headers=headers)

    assert again.json()["taskId"] == first["taskId"]
    assert error_of(other)[:2] == (409, "REQUEST_ID_REUSED")
    assert developer.finished(first["taskId"])["result"]["result"] == 1


@pytest.mark.parametrize("given", ["x" * 129, "with space", "zeile\tzwei"])
def test_a_request_id_that_is_none_is_refused(developer: Person, given: str) -> None:
    response = developer.call("POST", "/tasks", params={"requestId": given}, json={"type": "noop"})

    assert error_of(response)[:2] == (400, "VALIDATION")
    assert "128" in error_of(response)[2]


def test_a_page_token_of_another_filter_or_of_nobody_is_refused(ann: Person) -> None:
    for _ in range(2):
        ann.submit()
    token = ann.done("GET", "/tasks", params={"pageSize": 1})["nextPageToken"]
    refused = [
        ann.call("GET", "/tasks", params={"pageSize": 1, "pageToken": token, "status": "FAILED"}),
        ann.call("GET", "/tasks", params={"pageToken": "garbage"}),
        ann.call("GET", "/tasks", params={"pageToken": token[:-2]}),
        ann.call("GET", "/tasks", params={"pageToken": "ä"}),
    ]

    assert {error_of(response)[:2] for response in refused} == {(400, "VALIDATION")}
    assert "filters" in error_of(refused[0])[2]
    assert all("leave it empty to start over" in error_of(response)[2] for response in refused)


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ({"pageSize": "-1"}, "negative"),
        ({"pageSize": "many"}, "page"),
        ({"status": "SLEEPING"}, "SCHEDULED, RUNNING"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_query_that_cannot_be_understood_is_refused(ann: Person, query: dict[str, str], hint: str) -> None:
    response = ann.call("GET", "/tasks", params=query)

    assert response.status_code == 400
    assert hint in response.text


def test_a_cursor_of_another_task_is_refused(developer: Person) -> None:
    one, other = (developer.submit()["taskId"] for _ in range(2))
    cursor = [message["cursor"] for message in developer.watch(one)][-1]
    response = developer.call("GET", f"/tasks/{other}:watch", params={"cursor": cursor})

    assert error_of(response)[:2] == (400, "VALIDATION")
    assert "cursor" in error_of(response)[2]


def test_input_that_the_handler_refuses_fails_the_task_with_the_field(developer: Person) -> None:
    failed = developer.finished(developer.submit("noop", {"sleep_s": "long"})["taskId"])

    assert (failed["status"], failed["attempt"]) == ("TASK_STATUS_FAILED", 1)
    assert "sleep_s" in failed["failure"]["message"]


def test_every_error_has_the_one_shape(ann: Person) -> None:
    for response in (
        ann.call("GET", f"/tasks/{MISSING}"),
        ann.call("PATCH", "/tasks"),
        ann.call("POST", "/tasks", json=[]),
    ):
        status = json.loads(response.content)
        infos = [each for each in status["details"] if each["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"]
        assert set(status) == {"code", "message", "details"}
        assert len(infos) == 1
        assert infos[0]["domain"] == "automesh"
