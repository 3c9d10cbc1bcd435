"""The main path, as a program with an HTTP client sees it."""

import json
from typing import Any

from automesh.testing.people import Person

COMPLETED = "TASK_STATUS_COMPLETED"


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of server-sent events."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


def test_a_task_submitted_over_http_is_done_by_an_agent_while_its_creator_watches(developer: Person) -> None:
    created = developer.submit("noop", {"sleep_s": 1.5, "result": {"words": ["ä", 1]}}, description="first light")
    seen = [message["task"] for message in developer.watch(created["taskId"])]

    assert created["status"] == "TASK_STATUS_SCHEDULED"
    assert created["createdBy"] == developer.who()["subject"]
    states = [task["status"] for task in seen]
    assert states[-1] == COMPLETED
    assert states == sorted(states, key=["TASK_STATUS_SCHEDULED", "TASK_STATUS_RUNNING", COMPLETED].index)
    assert seen[-1]["result"] == {"slept_s": 1.5, "result": {"words": ["ä", 1]}}
    assert 0 < max(task.get("progress", {}).get("fraction", 0) for task in seen) <= 1
    assert (seen[-1]["attempt"], seen[-1]["description"]) == (1, "first light")


def test_watching_by_server_sent_events_ends_with_the_finished_task(developer: Person) -> None:
    task_id = developer.submit("noop", {"sleep_s": 0.2})["taskId"]
    response = developer.call("GET", f"/tasks/{task_id}:watch", headers={"accept": "text/event-stream"})
    seen = events(response.text)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _ in seen[:-1]] == ["message"] * (len(seen) - 1)
    assert seen[-1] == ("end", {})
    assert seen[-2][1]["task"]["status"] == COMPLETED


def test_a_watch_begun_after_the_end_shows_the_end_at_once(developer: Person) -> None:
    task_id = developer.submit()["taskId"]
    first = list(developer.watch(task_id))
    again = list(developer.watch(task_id, cursor=first[-1]["cursor"]))

    assert [message["task"]["status"] for message in again] == [COMPLETED]


def test_a_waiting_task_can_be_read_changed_and_deleted(developer: Person) -> None:
    task_id = developer.submit("noop", {"result": 1}, runAt="2027-01-01T00:00:00Z", priority=0)["taskId"]
    changed = developer.done(
        "PUT",
        f"/tasks/{task_id}",
        params={"updateMask": "priority,input"},
        json={"priority": 9, "input": {"result": 2}},
    )
    deleted = developer.call("DELETE", f"/tasks/{task_id}")

    assert (changed["priority"], changed["input"], changed["runAt"]) == (9, {"result": 2}, "2027-01-01T00:00:00Z")
    assert deleted.json() == {}
    assert developer.call("GET", f"/tasks/{task_id}").status_code == 404


def test_a_running_task_is_cancelled_with_a_reason_and_its_agent_is_free_again(developer: Person) -> None:
    task_id = developer.submit("noop", {"sleep_s": 60})["taskId"]
    developer.began(task_id)
    cancelled = developer.done("POST", f"/tasks/{task_id}:cancel", json={"reason": "changed my mind"})
    after = developer.finished(developer.submit()["taskId"])

    assert cancelled["status"] == "TASK_STATUS_CANCELLED"
    assert developer.finished(task_id)["status"] == "TASK_STATUS_CANCELLED"
    assert after["status"] == COMPLETED


def test_a_task_that_fails_for_good_says_why_and_is_not_tried_again(developer: Person) -> None:
    failed = developer.finished(developer.submit("noop", {"fail": "permanent"})["taskId"])

    assert failed["status"] == "TASK_STATUS_FAILED"
    assert failed["failure"] == {
        "reason": "ASKED_TO_FAIL",
        "message": "the task asked to fail for good",
        "retryable": False,
        "attempt": 1,
    }


def test_a_failure_that_may_pass_is_tried_again_as_often_as_the_task_says(developer: Person) -> None:
    policy = {"maxRetries": 2, "initialDelay": "0.1s", "multiplier": 1}
    failed = developer.finished(developer.submit("noop", {"fail": "retryable"}, retryPolicy=policy)["taskId"])

    assert (failed["status"], failed["attempt"]) == ("TASK_STATUS_FAILED", 3)
    assert failed["failure"]["message"] == "the task asked attempt 3 to fail"


def test_pages_of_the_list_hold_every_task_once_newest_first(ann: Person) -> None:
    made = [ann.submit(description=str(number))["taskId"] for number in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = ann.done("GET", "/tasks", params={"pageSize": 2, "pageToken": token, "type": "noop"})
        seen += [task["taskId"] for task in page["tasks"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    for task_id in made:
        ann.finished(task_id)

    assert seen[:5] == made[::-1]
    assert len(seen) == len(set(seen))
    listed = ann.done("GET", "/tasks", params={"status": "COMPLETED", "pageSize": 1000})["tasks"]
    assert {task["status"] for task in listed} == {COMPLETED}
    assert {*made} <= {task["taskId"] for task in listed}


def test_repeating_a_create_with_its_idempotency_key_gives_the_first_task_again(developer: Person) -> None:
    headers = {"idempotency-key": "once-only"}
    first = developer.call("POST", "/tasks", json={"type": "noop"}, headers=headers)
    again = developer.call("POST", "/tasks", json={"type": "noop"}, headers=headers)
    by_query = developer.call("POST", "/tasks", json={"type": "noop"}, params={"requestId": "once-only"})

    assert {answer.json()["taskId"] for answer in (first, again, by_query)} == {first.json()["taskId"]}


def test_every_answer_names_the_request_and_the_client_may_choose_the_name(developer: Person) -> None:
    named = developer.call("GET", "/auth/whoami", headers={"x-request-id": "from-the-test"})
    unnamed = developer.call("GET", "/auth/whoami")

    assert named.headers["x-request-id"] == "from-the-test"
    assert unnamed.headers["x-request-id"].startswith("req_")
