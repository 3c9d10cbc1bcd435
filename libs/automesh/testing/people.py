"""People who use a live stack: signed in, over HTTPS, as their clients would."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from automesh.testing.live import LIMIT_S, LiveStack, until

Json = dict[str, Any]

FINISHED = ("TASK_STATUS_COMPLETED", "TASK_STATUS_FAILED", "TASK_STATUS_CANCELLED")
PASSWORD = "a long enough password for tests"
_RENEW_AFTER_S = 200.0  # access tokens live 300 s


class Anybody:
    """Somebody with an HTTP client who has not signed in. Close it."""

    def __init__(self, stack: LiveStack) -> None:
        self.trust = ssl.create_default_context(cafile=str(stack.state.web_ca))
        self.http = httpx.Client(base_url=f"{stack.url}/api/v1", verify=self.trust, timeout=LIMIT_S)

    def authorization(self) -> str:
        """The header; empty: none."""
        return ""

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request; `options` are those of httpx. Headers given here go first."""
        headers = dict(options.pop("headers", {}))
        if "authorization" not in headers and (authorization := self.authorization()):
            headers["authorization"] = authorization
        return self.http.request(method, path, headers=headers, **options)

    def done(self, method: str, path: str, **options: Any) -> Json:
        """A request that must succeed; its answer."""
        response = self.call(method, path, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"  # noqa: S101 - for tests
        answer: Json = response.json()
        return answer

    def submit(self, task_type: str = "noop", given: Json | None = None, **task: Any) -> Json:
        """Creates a task."""
        return self.done("POST", "/tasks", json={"type": task_type, "input": given or {}, **task})

    def task(self, task_id: str) -> Json:
        """A task as it is now."""
        return self.done("GET", f"/tasks/{task_id}")

    def watch(self, task_id: str, **query: str) -> Iterator[Json]:
        """The messages of the watch, as they come."""
        headers = {"authorization": self.authorization()}
        with self.http.stream("GET", f"/tasks/{task_id}:watch", params=query, headers=headers) as response:
            assert response.is_success, response.read()  # noqa: S101 - for tests
            for line in response.iter_lines():
                yield json.loads(line)["result"]

    def finished(self, task_id: str, limit_s: float = LIMIT_S) -> Json:
        """The task once it is finished; a watch that breaks off is begun again."""
        return until(lambda: self._watched_to_its_end(task_id), f"task {task_id} to finish", limit_s)

    def began(self, task_id: str) -> Json:
        """The task once an agent works on it (or has done so)."""
        return until(lambda: self._in(task_id, ("TASK_STATUS_RUNNING", *FINISHED)), f"task {task_id} to begin")

    def close(self) -> None:
        """Closes the connections."""
        self.http.close()

    def _in(self, task_id: str, statuses: tuple[str, ...]) -> Json | None:
        task = self.task(task_id)
        return task if task["status"] in statuses else None

    def _watched_to_its_end(self, task_id: str) -> Json | None:
        task: Json = {}
        try:
            for message in self.watch(task_id):
                task = message["task"]
        except (httpx.HTTPError, KeyError):  # broken off, or ended by an error
            return None
        return task if task.get("status") in FINISHED else None


class Person(Anybody):
    """Somebody with a name and a password."""

    def __init__(self, stack: LiveStack, username: str, password: str) -> None:
        super().__init__(stack)
        self.username, self.password = username, password
        self._tokens: Json = {}
        self._since = float("-inf")

    def authorization(self) -> str:
        """Signs in when the last time is too long ago."""
        return f"Bearer {self.token()}"

    def token(self) -> str:
        """An access token that still lives for a while."""
        if time.monotonic() - self._since > _RENEW_AFTER_S:
            self._since = time.monotonic()
            self._tokens = self.login()
        return str(self._tokens["accessToken"])

    def login(self) -> Json:
        """A new pair of tokens."""
        response = self.http.post("/auth/login", json={"username": self.username, "password": self.password})
        assert response.is_success, response.text  # noqa: S101 - for tests
        tokens: Json = response.json()["tokens"]
        return tokens

    def who(self) -> Json:
        """What the platform knows about this person."""
        return self.done("GET", "/auth/whoami")


class KeyHolder(Anybody):
    """A program with an API key."""

    def __init__(self, stack: LiveStack, key: str) -> None:
        super().__init__(stack)
        self._key = key

    def authorization(self) -> str:
        """The key as bearer."""
        return f"Bearer {self._key}"


@contextmanager
def first_admin(stack: LiveStack) -> Iterator[Person]:
    """The admin that the stack made for itself."""
    admin = Person(stack, "admin", stack.state.admin_password.read_text(encoding="utf-8").strip())
    try:
        yield admin
    finally:
        admin.close()


@contextmanager
def newcomer(stack: LiveStack, admin: Person, username: str, *roles: str, tenant: str = "default") -> Iterator[Person]:
    """A user of any tenant, made by the admin."""
    user = {"username": username, "roles": list(roles), "tenantId": tenant}
    admin.done("POST", "/users", json={"user": user, "password": PASSWORD})
    person = Person(stack, username, PASSWORD)
    try:
        yield person
    finally:
        person.close()


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """HTTP status, reason and message of a refused request."""
    status = response.json()
    reasons = [detail["reason"] for detail in status.get("details", []) if "reason" in detail]
    return response.status_code, reasons[0] if reasons else "", str(status.get("message", ""))
