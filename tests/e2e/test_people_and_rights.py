"""Roles, sign-in, API keys, and what the audit log keeps of it."""

from typing import Any

import pytest

from automesh.testing.live import LiveStack, until
from automesh.testing.people import PASSWORD, Anybody, Json, KeyHolder, Person, error_of, newcomer

GATEWAY = "spiffe://automesh.local/ns/dev/sa/gateway"


def audited(admin: Person, **wanted: str) -> Json:
    """The newest entry that has all these values; entries arrive a moment after the call."""

    def look() -> Json | None:
        events = admin.done("GET", "/audit/events", params={"pageSize": 1000})["events"]
        return next((each for each in events if all(each[key] == value for key, value in wanted.items())), None)

    return until(look, f"an audit entry with {wanted}")


@pytest.mark.parametrize(
    ("method", "path", "body", "permission"),
    [
        ("POST", "/tasks", {"type": "noop"}, "task.create"),
        ("PUT", "/tasks/task_00000000000000000000000", {}, "task.update"),
        ("DELETE", "/tasks/task_00000000000000000000000", None, "task.delete"),
        ("POST", "/tasks/task_00000000000000000000000:cancel", {}, "task.cancel"),
        ("POST", "/apikeys", {"apiKey": {"name": "mine"}}, "apikey.write"),
        ("POST", "/users", {"user": {"username": "eve"}, "password": "x"}, "user.write"),
        ("GET", "/audit/events", None, "audit.read"),
        ("POST", "/auth/certificates", {"name": "mine"}, "certificate.issue"),
    ],
)
def test_a_viewer_who_wants_more_than_to_look_is_told_which_permission_is_missing(
    viewer: Person, method: str, path: str, body: Any, permission: str
) -> None:
    status, reason, message = error_of(viewer.call(method, path, json=body))

    assert (status, reason) == (403, "PERMISSION_DENIED")
    assert permission in message


def test_a_viewer_may_look_at_tasks_agents_and_the_mesh(viewer: Person) -> None:
    codes = {path: viewer.call("GET", path).status_code for path in ("/tasks", "/agents", "/mesh/services")}

    assert set(codes.values()) == {200}


def test_a_wrong_password_and_an_unknown_user_are_refused_alike(stranger: Anybody, viewer: Person) -> None:
    wrong = stranger.call("POST", "/auth/login", json={"username": viewer.username, "password": "not it at all"})
    unknown = stranger.call("POST", "/auth/login", json={"username": "nobody", "password": "not it at all"})

    assert error_of(wrong) == error_of(unknown)
    assert wrong.status_code == 401


def test_a_refresh_gives_a_new_pair_and_repeated_at_once_the_very_same_refresh_token(developer: Person) -> None:
    first = developer.login()
    second, again = (
        developer.done("POST", "/auth/refresh", json={"refreshToken": first["refreshToken"]})["tokens"]
        for _ in range(2)
    )
    fresh = developer.call("GET", "/auth/whoami", headers={"authorization": f"Bearer {second['accessToken']}"})

    assert fresh.json()["name"] == "dora"
    assert second["refreshToken"] not in ("", first["refreshToken"])
    assert second["refreshToken"] == again["refreshToken"]  # an answer that was lost on the way can be had again


def test_after_logout_the_refresh_token_is_worth_nothing(developer: Person) -> None:
    tokens = developer.login()
    developer.done("POST", "/auth/logout", json={"refreshToken": tokens["refreshToken"]})
    refused = developer.call("POST", "/auth/refresh", json={"refreshToken": tokens["refreshToken"]})

    assert refused.status_code == 401


def test_an_api_key_works_as_bearer_until_it_is_revoked(live: LiveStack, developer: Person) -> None:
    made = developer.done("POST", "/apikeys", json={"apiKey": {"name": "ci", "permissions": ["task.read"]}})
    program = KeyHolder(live, made["secret"])
    try:
        listed = program.call("GET", "/tasks")
        beyond = program.call("POST", "/tasks", json={"type": "noop"})
        developer.done("DELETE", f"/apikeys/{made['apiKey']['keyId']}")
        exchange = program.call("POST", "/auth/exchange", json={"apiKey": made["secret"]})
        until(lambda: program.call("GET", "/tasks").status_code == 401, "the gateway to forget the key")
    finally:
        program.close()

    assert listed.status_code == 200
    assert error_of(beyond)[0] == 403
    assert exchange.status_code == 401


def test_the_secret_of_a_key_is_shown_once_and_never_listed(developer: Person) -> None:
    made = developer.done("POST", "/apikeys", json={"apiKey": {"name": "shown-once"}})
    listed = developer.call("GET", "/apikeys")

    assert made["apiKey"]["keyId"] in listed.text
    assert made["secret"] not in listed.text


def test_a_disabled_user_can_neither_sign_in_nor_refresh(live: LiveStack, admin: Person) -> None:
    with newcomer(live, admin, "leaver", "developer") as leaver:
        tokens = leaver.login()
        user_id = leaver.who()["subject"]
        admin.done("PUT", f"/users/{user_id}", params={"updateMask": "disabled"}, json={"disabled": True})
        refresh = leaver.call("POST", "/auth/refresh", json={"refreshToken": tokens["refreshToken"]})
        login = leaver.call("POST", "/auth/login", json={"username": "leaver", "password": PASSWORD})

    assert (refresh.status_code, login.status_code) == (401, 401)


def test_the_audit_log_shows_a_sign_in_with_who_and_through_which_workload(admin: Person, developer: Person) -> None:
    developer.login()
    entry = audited(admin, subject=developer.who()["subject"], outcome="OK", service="auth")

    assert entry["method"] == "automesh.auth.v1.TokenService/Login"
    assert entry["workload"] == GATEWAY


def test_the_audit_log_shows_a_failed_sign_in_without_what_was_typed(admin: Person, stranger: Anybody) -> None:
    headers = {"x-request-id": "the-failed-login"}
    stranger.call("POST", "/auth/login", json={"username": "ghost", "password": "not it at all"}, headers=headers)
    entry = audited(admin, requestId="the-failed-login")

    assert (entry["method"], entry["outcome"]) == ("automesh.auth.v1.TokenService/Login", "UNAUTHENTICATED")
    assert "ghost" not in str(entry)


def test_the_audit_log_shows_who_created_which_task(admin: Person, developer: Person) -> None:
    headers = {"x-request-id": "the-audited-create"}
    task_id = developer.call("POST", "/tasks", json={"type": "noop"}, headers=headers).json()["taskId"]
    entry = audited(admin, resource=task_id)

    assert (entry["method"], entry["outcome"]) == ("automesh.orchestrator.v1.TaskService/CreateTask", "OK")
    assert (entry["subject"], entry["workload"]) == (developer.who()["subject"], GATEWAY)
    assert (entry["service"], entry["tenantId"], entry["requestId"]) == (
        "orchestrator",
        "default",
        "the-audited-create",
    )


def test_the_audit_log_shows_what_was_denied(admin: Person, viewer: Person) -> None:
    viewer.call("POST", "/tasks", json={"type": "noop"}, headers={"x-request-id": "the-denied-create"})
    entry = audited(admin, requestId="the-denied-create")

    assert (entry["outcome"], entry["reason"]) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert (entry["subject"], entry["workload"]) == (viewer.who()["subject"], GATEWAY)
