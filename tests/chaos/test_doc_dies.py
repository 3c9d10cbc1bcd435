"""The doc service and its database killed while people save: what was acknowledged is there, and nothing is half."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import httpx
import pytest

from automesh.testing.live import LiveStack, until
from automesh.testing.people import Json, Person, newcomer

EDITORS, MOST = 6, 400
BACK_WITHIN_S = 5.0
"""By the clock; where others keep the machine busy, seconds of a processor that the new process has had."""
_PAUSE_S = 0.02


@dataclass
class Editor:
    """Somebody who goes on saving one document, repeating each save until it is acknowledged."""

    person: Person
    path: str
    enough: threading.Event
    document_id: str = ""
    head: str = ""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Revision -> what it says."""
    failures: int = 0

    def work(self) -> None:
        for number in range(MOST):
            if self.enough.is_set():
                return
            self.save(number)

    def save(self, number: int) -> None:
        content = f"# {self.path}\n\n" + "".join(f"line {number} {line}\n" for line in range(50))
        saved = until(lambda: self.tried(number, content), f"save {number} of {self.path} to be acknowledged")
        self.document_id, self.head = saved["documentId"], saved["head"]
        self.acknowledged[self.head] = content

    def tried(self, number: int, content: str) -> Json | None:
        body = {"content": content}
        path = f"/docs/{self.document_id}"
        if number:
            body["expectedHead"] = self.head
        else:
            body |= {"space": "handbook", "path": self.path}
            path = "/docs"
        try:
            answer = self.person.call(
                "PUT" if number else "POST", path, json=body, headers={"idempotency-key": f"{self.path}-{number}"}
            )
        except httpx.TransportError:
            self.failures += 1
            return None
        if answer.status_code >= 500:
            self.failures += 1
            return None
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return dict(found.get("document", found))


@pytest.fixture
def writer(live: LiveStack, admin: Person, request: pytest.FixtureRequest) -> Iterator[Person]:
    """Somebody who may make spaces, alone in a tenant of their own."""
    number = request.session.items.index(request.node)
    with newcomer(live, admin, f"writer-{number}", "admin", tenant=f"docs-{number}") as person:
        person.done("POST", "/spaces", json={"space": "handbook"})
        yield person


@contextmanager
def editing(person: Person) -> Iterator[list[Editor]]:
    """Editors at work while it is open; afterwards each save that was begun is acknowledged."""
    person.token()
    enough = threading.Event()
    editors = [Editor(person, f"page{number}.md", enough) for number in range(EDITORS)]
    threads = [threading.Thread(target=editor.work, daemon=True) for editor in editors]
    for thread in threads:
        thread.start()
    try:
        yield editors
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def until_more(editors: list[Editor], count: int) -> None:
    wanted = sum(len(editor.acknowledged) for editor in editors) + count
    until(lambda: sum(len(each.acknowledged) for each in editors) >= wanted, f"{count} more saves")


def cpu_s(live: LiveStack, name: str) -> float:
    times = live.running(name).cpu_times()
    return float(times.user + times.system)


def check(person: Person, editor: Editor) -> None:
    """The history is what was acknowledged, each revision as it was sent, each on top of the one before."""
    revisions: list[Json] = []
    token = ""
    while True:
        page = person.done(
            "GET", f"/docs/{editor.document_id}/revisions", params={"pageSize": 1000, "pageToken": token}
        )
        revisions += page["revisions"]
        token = page["nextPageToken"]
        if not token:
            break
    assert [each["revisionId"] for each in reversed(revisions)] == list(editor.acknowledged)
    for later, earlier in pairwise(revisions):
        assert later["parents"] == [earlier["revisionId"]]
    for revision in revisions:
        content = editor.acknowledged[revision["revisionId"]]
        assert revision["sha256"] == hashlib.sha256(content.encode()).hexdigest()
    sampled = [revision["revisionId"] for revision in (*revisions[::20], revisions[-1])]
    for revision_id in sampled:
        found = person.done("GET", f"/docs/{editor.document_id}", params={"revisionId": revision_id})
        assert found.get("document", found)["content"] == editor.acknowledged[revision_id]


@pytest.mark.parametrize("victim", ["doc", "postgres"])
def test_every_acknowledged_save_is_there_and_none_is_half_when_it_is_killed_meanwhile(
    live: LiveStack, writer: Person, victim: str
) -> None:
    with editing(writer) as editors:
        until_more(editors, 60)
        pid = live.kill(victim)
        began = time.monotonic()
        live.until_replaced(victim, pid)
        until_more(editors, 1)
        back_s = min(time.monotonic() - began, cpu_s(live, victim))
        until_more(editors, 60)

    assert sum(editor.failures for editor in editors) > 0  # it was in the middle of saves
    for editor in editors:
        check(writer, editor)
    listed = writer.done("GET", "/docs", params={"space": "handbook"})["documents"]
    assert sorted(each["path"] for each in listed) == sorted(editor.path for editor in editors)
    assert back_s < BACK_WITHIN_S


def test_a_branch_that_is_merged_by_a_dying_service_is_merged_as_a_whole_or_not_at_all(
    live: LiveStack, writer: Person
) -> None:
    writer.done("POST", "/spaces/handbook/branches", json={"branch": "next"})
    for number in range(120):
        new = {"space": "handbook", "branch": "next", "path": f"{number}.md", "content": f"# {number}\n" * 50}
        writer.done("POST", "/docs", json=new)
    review = writer.done("POST", "/reviews", json={"space": "handbook", "branch": "next", "title": "All"})
    path = f"/reviews/{review['reviewId']}"

    def merge() -> None:
        try:
            writer.call("POST", f"{path}:merge", json={})
        except httpx.TransportError:
            return

    merging = threading.Thread(target=merge)
    merging.start()
    time.sleep(0.15)  # somewhere in the middle: whenever it is, the outcome must be whole
    live.until_replaced("doc", live.kill("doc"))
    merging.join()

    def state() -> Json | None:
        answer = writer.call("GET", path)
        return answer.json() if answer.is_success else None

    found = until(state, "the review")
    shown = found.get("review", found)
    listed = writer.done("GET", "/docs", params={"space": "handbook", "pageSize": 1000})["documents"]
    assert (shown["state"], len(listed)) in {("REVIEW_STATE_OPEN", 0), ("REVIEW_STATE_MERGED", 120)}
    if shown["state"] == "REVIEW_STATE_OPEN":
        writer.done("POST", f"{path}:merge", json={})
        listed = writer.done("GET", "/docs", params={"space": "handbook", "pageSize": 1000})["documents"]
        assert len(listed) == 120
