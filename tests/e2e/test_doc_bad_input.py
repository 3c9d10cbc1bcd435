"""What cannot be saved over HTTP: each is refused with a message that says what is wrong, and nothing is lost."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from automesh.testing.people import Json, Person, error_of

MIB = 1024 * 1024
SPACE = "bad-input"


@pytest.fixture(scope="module")
def writer(admin: Person) -> Iterator[Person]:
    """With a space."""
    admin.done("POST", "/spaces", json={"space": SPACE})
    yield admin
    admin.done("DELETE", f"/spaces/{SPACE}", params={"force": "true", "reason": "tests are over"})


def made(person: Person, path: str, content: str = "one\n\ntwo\n") -> Json:
    answer = person.done("POST", "/docs", json={"space": SPACE, "path": path, "content": content})
    return dict(answer.get("document", answer))


def listed(person: Person) -> list[str]:
    return [each["path"] for each in person.done("GET", "/docs", params={"space": SPACE})["documents"]]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"content": "x" * (2 * MIB + 1)}, 400, "at most 2097152 are allowed"),
        ({"content": "a\nb\x00"}, 400, "line 2 has a NUL"),
        ({"path": "../../etc/passwd"}, 400, "'..'"),
        ({"path": "con.md"}, 400, "devices"),
        ({"path": "a\u202eb.md"}, 400, "cannot have"),
        ({"content": "---\na: &a [x]\nb: [*a]\n---\n"}, 400, "aliases"),
        ({"space": "nowhere"}, 404, "there is no space"),
        ({"branch": "nowhere"}, 404, "has no branch"),
    ],
)
def test_what_cannot_be_a_page_is_refused_and_said_why(writer: Person, body: Json, status: int, words: str) -> None:
    before = listed(writer)
    answer = writer.call("POST", "/docs", json={"space": SPACE, "path": "page.md", "content": "x", **body})
    found, reason, message = error_of(answer)
    assert (found, words in message) == (status, True), message
    assert reason
    assert listed(writer) == before


def test_a_page_of_50_mb_is_refused_before_it_is_taken_in(writer: Person) -> None:
    body = json.dumps({"space": SPACE, "path": "large.md", "content": "x" * 50 * MIB}).encode()
    try:
        answer = writer.call("POST", "/docs", content=body, headers={"content-type": "application/json"})
    except httpx.TransportError:  # the connection is closed over the rest of the body
        pass
    else:
        assert answer.status_code == 413
    assert "large.md" not in listed(writer)


@pytest.mark.parametrize(
    "body", [b'{"content": "\xff\xfe"}', b'{"content": "\\ud800"}', b"{", b"[]", b'{"nonsense": 1}', b'{"content": 3}']
)
def test_what_is_no_message_is_refused_as_such(writer: Person, body: bytes) -> None:
    answer = writer.call("POST", "/docs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert error_of(answer)[2]


@pytest.mark.parametrize("path", ["..%2f..%2fetc%2fpasswd", "%2e%2e/secret", "a%00b", "%ff", "x" * 3000])
def test_a_path_of_an_address_leads_to_a_document_or_nowhere(writer: Person, path: str) -> None:
    answer = writer.call("GET", f"/spaces/{SPACE}/docs/{path}")
    assert answer.status_code in {400, 404, 414}


def test_of_two_who_save_at_once_one_gets_the_other_with_a_ready_merge(writer: Person) -> None:
    page = made(writer, "two.md")

    def save(content: str) -> httpx.Response:
        body = {"expectedHead": page["head"], "content": content}
        return writer.call("PUT", f"/docs/{page['documentId']}", json=body)

    writer.token()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(save, ["ONE\n\ntwo\n", "one\n\nTWO\n"]))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [late] = [answer for answer in answers if answer.status_code == 409]
    status, reason, message = error_of(late)
    assert (status, reason, "take the merge" in message) == (409, "STALE_WRITE", True)
    [stale] = [each for each in late.json()["details"] if each["@type"].endswith("StaleWrite")]
    assert (stale["merge"]["content"], stale["merge"]["conflicts"]) == ("ONE\n\nTWO\n", [])
    body = {"expectedHead": stale["head"], "content": stale["merge"]["content"]}
    saved = writer.done("PUT", f"/docs/{page['documentId']}", json=body)
    assert saved.get("document", saved)["content"] == "ONE\n\nTWO\n"


def test_a_repeated_save_is_made_once(writer: Person) -> None:
    page = made(writer, "repeated.md")

    def save(content: str) -> Any:
        body = {"expectedHead": page["head"], "content": content}
        headers = {"idempotency-key": "save-1"}
        return writer.call("PUT", f"/docs/{page['documentId']}", json=body, headers=headers)

    first, again, other = save("new\n"), save("new\n"), save("other\n")
    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 409)
    assert first.json()["document"]["head"] == again.json()["document"]["head"]
    assert error_of(other)[1] == "REQUEST_ID_REUSED"
