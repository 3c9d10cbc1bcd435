"""What belongs to one tenant does not exist for another."""

from collections.abc import Callable

import httpx
import pytest

from automesh.testing.people import Person, error_of

Rpc = Callable[[Person, str], httpx.Response]

RPCS: dict[str, Rpc] = {
    "get": lambda person, task_id: person.call("GET", f"/tasks/{task_id}"),
    "update": lambda person, task_id: person.call("PUT", f"/tasks/{task_id}", json={"priority": 9}),
    "delete": lambda person, task_id: person.call("DELETE", f"/tasks/{task_id}"),
    "cancel": lambda person, task_id: person.call("POST", f"/tasks/{task_id}:cancel", json={}),
    "watch": lambda person, task_id: person.call("GET", f"/tasks/{task_id}:watch"),
    "list artifacts": lambda person, task_id: person.call("GET", f"/tasks/{task_id}/artifacts"),
    "download": lambda person, task_id: person.call("GET", f"/tasks/{task_id}/artifacts/report.json"),
}
NOBODYS = "task_00000000000000000000000"


@pytest.fixture(scope="module")
def anns(ann: Person) -> str:
    """A waiting task of tenant alpha."""
    task_id: str = ann.submit("noop", {"result": "secret"}, runAt="2027-01-01T00:00:00Z")["taskId"]
    return task_id


@pytest.mark.parametrize("rpc", RPCS)
def test_a_task_of_another_tenant_is_not_found_just_like_one_that_never_was(
    ann: Person, bob: Person, anns: str, rpc: str
) -> None:
    foreign, absent = RPCS[rpc](bob, anns), RPCS[rpc](bob, NOBODYS)
    before = ann.task(anns)

    status, reason, message = error_of(foreign)
    assert status == 404
    assert (status, reason, message.replace(anns, NOBODYS)) == error_of(absent)
    assert (before["status"], before["priority"]) == ("TASK_STATUS_SCHEDULED", 5)


def test_lists_show_ones_own_tenant_only(ann: Person, bob: Person, anns: str) -> None:
    seen = {person.username: person.done("GET", "/tasks")["tasks"] for person in (ann, bob)}

    assert anns in {task["taskId"] for task in seen["ann"]}
    assert {task["tenantId"] for task in seen["ann"]} == {"alpha"}
    assert {task["tenantId"] for task in seen["bob"]} <= {"beta"}


def test_a_page_token_of_one_tenant_shows_nothing_of_it_to_another(ann: Person, bob: Person, anns: str) -> None:
    ann.submit(runAt="2027-01-01T00:00:00Z")
    token = ann.done("GET", "/tasks", params={"pageSize": 1})["nextPageToken"]
    page = bob.done("GET", "/tasks", params={"pageSize": 1, "pageToken": token})

    assert {task["tenantId"] for task in page["tasks"]} <= {"beta"}


def test_a_request_id_of_one_tenant_is_free_in_another(ann: Person, bob: Person) -> None:
    headers = {"idempotency-key": "both-use-it"}
    made = [person.call("POST", "/tasks", json={"type": "noop"}, headers=headers).json() for person in (ann, bob)]

    assert [task["tenantId"] for task in made] == ["alpha", "beta"]
    assert made[0]["taskId"] != made[1]["taskId"]


def test_an_admin_of_one_tenant_sees_and_makes_users_of_that_tenant_only(bob: Person) -> None:
    users = bob.done("GET", "/users")["users"]
    other = {"user": {"username": "mole", "tenantId": "alpha", "roles": ["viewer"]}, "password": "long enough, is it"}
    refused = bob.call("POST", "/users", json=other)

    assert {user["tenantId"] for user in users} == {"beta"}
    assert refused.status_code == 403


def test_the_audit_log_of_one_tenant_holds_nothing_of_another(bob: Person, anns: str) -> None:
    events = bob.done("GET", "/audit/events", params={"pageSize": 1000})["events"]

    assert {event["tenantId"] for event in events} == {"beta"}
    assert bob.done("GET", "/audit/events", params={"resource": anns, "outcome": "OK"})["events"] == []


def test_agents_of_the_platform_work_for_every_tenant(ann: Person, bob: Person) -> None:
    done = [person.finished(person.submit()["taskId"]) for person in (ann, bob)]

    assert {task["status"] for task in done} == {"TASK_STATUS_COMPLETED"}
    assert len({task["agentId"] for task in done}) == 1
