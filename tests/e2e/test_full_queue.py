"""A queue has an end: beyond it a task is refused for now, and those in it stay."""

from collections.abc import Iterator

import pytest

from automesh.testing.live import LiveStack
from automesh.testing.people import Person, error_of, newcomer

QUEUE_LIMIT = 40  # as in conftest.py
LATER = "2027-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def carl(live: LiveStack, admin: Person) -> Iterator[Person]:
    """Alone in his tenant."""
    with newcomer(live, admin, "carl", "developer", tenant="gamma") as person:
        yield person


def test_a_full_queue_refuses_further_tasks_for_now_and_loses_none(carl: Person, ann: Person) -> None:
    made = [carl.submit(runAt=LATER)["taskId"] for _ in range(QUEUE_LIMIT)]
    refused = carl.call("POST", "/tasks", json={"type": "noop"})
    status, reason, message = error_of(refused)

    assert (status, reason) == (429, "QUEUE_FULL")
    assert int(refused.headers["retry-after"]) > 0
    assert str(QUEUE_LIMIT) in message
    waiting = carl.done("GET", "/tasks", params={"status": "SCHEDULED", "pageSize": 1000})["tasks"]
    assert {task["taskId"] for task in waiting} == set(made)
    assert ann.finished(ann.submit()["taskId"])["status"] == "TASK_STATUS_COMPLETED"  # others have room

    carl.done("POST", f"/tasks/{made[0]}:cancel", json={})
    assert carl.call("POST", "/tasks", json={"type": "noop"}).status_code == 200
