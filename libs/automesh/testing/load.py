"""People who go on creating tasks while something breaks, and remember what they were promised."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx

from automesh.testing.live import LIMIT_S, until
from automesh.testing.people import Person

_PAUSE_S = 0.02
_OK = 200


class Load:
    """Creates tasks, each with a request id of its own, and repeats a create until it is acknowledged."""

    def __init__(self, person: Person, name: str, *, most: int) -> None:
        self.acknowledged: dict[str, str] = {}
        """Request id -> task id."""
        self.failures: list[str] = []
        """What went wrong on the way."""
        self._person, self._name, self._most = person, name, most
        self._next = 0
        self._lock = threading.Lock()
        self._enough = threading.Event()

    def until_more(self, count: int) -> None:
        """Returns once `count` further tasks are acknowledged."""
        wanted = len(self.acknowledged) + count
        if wanted > self._most:
            raise AssertionError(f"{self._most} creates are too few for this test")
        until(lambda: len(self.acknowledged) >= wanted, f"{count} more tasks to be acknowledged")

    def stop(self) -> None:
        """No new ones; those begun are repeated until they are acknowledged."""
        self._enough.set()

    def work(self) -> None:
        """What each creator does, in a thread of its own."""
        while (request_id := self._take()) and not self._enough.is_set():
            while not self._create(request_id):
                if self._enough.wait(_PAUSE_S):
                    until(partial(self._create, request_id), f"{request_id} to be acknowledged")
                    return

    def _take(self) -> str:
        with self._lock:
            self._next += 1
            return f"{self._name}-{self._next}" if self._next <= self._most else ""

    def _create(self, request_id: str) -> bool:
        headers = {"idempotency-key": request_id}
        try:
            response = self._person.call("POST", "/tasks", json={"type": "noop"}, headers=headers)
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
            return False
        if response.status_code != _OK:
            self.failures.append(f"{response.status_code} {response.text[:300]}")
            return False
        self.acknowledged[request_id] = response.json()["taskId"]
        return True


@contextmanager
def load(person: Person, name: str, *, creators: int = 12, most: int = 900) -> Iterator[Load]:
    """Creators at work while it is open; afterwards every create that was begun is acknowledged."""
    person.token()  # signed in before anything breaks
    made = Load(person, name, most=most)
    threads = [threading.Thread(target=made.work, daemon=True) for _ in range(creators)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.stop()
        for thread in threads:
            thread.join(2 * LIMIT_S)
