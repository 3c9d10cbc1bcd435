"""Comments, feeds and webhooks of spaces over HTTP, as the how-to shows them."""

from collections.abc import Iterator

import pytest

from automesh.testing.live import until
from automesh.testing.people import Json, Person, error_of

SPACE = "e2e-talk"


@pytest.fixture(scope="module")
def page(admin: Person, developer: Person) -> Iterator[Json]:
    """In a space of its own; gone in the end."""
    admin.done("POST", "/spaces", json={"space": SPACE})
    made = developer.done(
        "POST", "/docs", json={"space": SPACE, "path": "start.md", "content": "# Start\n\nMind the pump.\n"}
    )
    yield made.get("document", made)
    admin.done("DELETE", f"/spaces/{SPACE}", params={"force": "true", "reason": "the test is over"})


def test_a_comment_is_said_answered_listed_and_done_with(developer: Person, viewer: Person, page: Json) -> None:
    start = page["content"].index("the pump")
    anchor = {"revisionId": page["head"], "start": start, "end": start + len("the pump")}
    said = viewer.done(
        "POST", "/comments", json={"documentId": page["documentId"], "text": "Which, @dora?", "anchor": anchor}
    )
    assert (said["anchor"]["quote"], said["mentions"]) == ("the pump", ["dora"])
    developer.done("POST", "/comments", json={"threadId": said["commentId"], "text": "The red one."})
    query = {"documentId": page["documentId"]}
    assert [each["text"] for each in viewer.done("GET", "/comments", params=query)["comments"]] == [
        "Which, @dora?",
        "The red one.",
    ]
    changed = viewer.done("PUT", f"/comments/{said['commentId']}", json={"text": "Which of them, @dora?"})
    assert changed["text"] == "Which of them, @dora?"
    developer.done("POST", f"/comments/{said['commentId']}:resolve", json={})
    assert not viewer.done("GET", "/comments", params=query).get("comments")
    error = error_of(viewer.call("POST", "/comments", json={"documentId": page["documentId"], "text": ""}))
    assert "1 to 20000 characters" in str(error)


def test_what_happens_reaches_the_feed_until_it_is_seen(developer: Person, viewer: Person, page: Json) -> None:
    viewer.done("POST", "/notifications:follow", json={"space": SPACE})
    developer.done("POST", "/docs", json={"space": SPACE, "path": "new.md", "content": "# New\n"})

    def told() -> Json | None:
        found = viewer.done("GET", "/notifications", params={"unseen": "true"}).get("notifications", [])
        return next((each for each in found if each["text"] == "dora has created 'New'"), None)

    line = until(told, "the line in the feed")
    assert (line["kind"], line["space"]) == ("document_changed", SPACE)
    viewer.done("POST", "/notifications:markSeen", json={"sequence": line["sequence"]})
    assert not told()


def test_webhooks_go_where_the_operator_lets_them_and_to_nobody_else(admin: Person, page: Json) -> None:
    answer = admin.call("POST", f"/spaces/{SPACE}/webhooks", json={"url": "https://hooks.example.org/docs"})
    assert answer.status_code == 400
    assert "AUTOMESH_DOC_WEBHOOK_ALLOW_LIST" in answer.text
    assert admin.done("GET", f"/spaces/{SPACE}/webhooks")["webhooks"] == []
    assert admin.call("POST", f"/spaces/{SPACE}/webhooks/hook_x:enable", json={}).status_code == 404
