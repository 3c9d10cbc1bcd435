"""Attachments, drafts and figures over HTTP, through the gateway."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterator

import pytest

from automesh.testing.people import Json, Person, error_of

MIB = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def space(admin: Person) -> str:
    return str(admin.done("POST", "/spaces", json={"space": "files"})["space"])


@pytest.fixture(scope="module")
def page(space: str, developer: Person) -> Json:
    made: Json = developer.done(
        "POST",
        "/docs",
        json={"space": space, "path": "start.md", "content": "# Start\n\n![a](a.png) [gone](gone.md)\n"},
    )["document"]
    return made


def test_the_body_of_a_request_is_the_file(space: str, developer: Person) -> None:
    content = PNG + os.urandom(5 * MIB)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    stored = developer.done("PUT", f"/spaces/{space}/attachments/images/big%20one.png", content=pieces())
    assert (stored["path"], stored["contentType"]) == ("images/big one.png", "image/png")
    assert stored["sha256"] == hashlib.sha256(content).hexdigest()
    answer = developer.call("GET", f"/spaces/{space}/attachments/images/big%20one.png")
    assert (answer.headers["content-type"], answer.content == content) == ("image/png", True)
    assert answer.headers["x-content-type-options"] == "nosniff"
    listed = developer.done("GET", f"/spaces/{space}/attachments", params={"prefix": "images"})["attachments"]
    assert [each["path"] for each in listed] == ["images/big one.png"]


def test_a_page_of_html_is_never_sent_as_one(space: str, developer: Person) -> None:
    evil = b"<html><script>alert(1)</script></html>"
    developer.done("PUT", f"/spaces/{space}/attachments/page.html", content=evil, headers={"content-type": "text/html"})
    answer = developer.call("GET", f"/spaces/{space}/attachments/page.html")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_what_would_be_overwritten_unseen_is_refused_with_what_is_there(space: str, developer: Person) -> None:
    path = f"/spaces/{space}/attachments/stale.bin"
    first = developer.done("PUT", path, content=b"one")
    refused = developer.call("PUT", path, content=b"two")
    assert error_of(refused)[:2] == (409, "ATTACHMENT_CHANGED")
    developer.done("PUT", path, content=b"two", params={"expectedSha256": first["sha256"]})
    assert developer.call("GET", path).content == b"two"
    developer.done("DELETE", path)
    assert error_of(developer.call("GET", path))[:2] == (404, "ATTACHMENT_NOT_FOUND")


@pytest.mark.parametrize("path", ["..%2Fa.png", "a%2F..%2Fb.png", "nul.png", "start.md", "a%00.png"])
def test_paths_that_lead_astray_are_refused(space: str, developer: Person, path: str) -> None:
    answer = developer.call("PUT", f"/spaces/{space}/attachments/{path}", content=b"x")
    assert answer.status_code == 400, answer.text


def test_who_may_only_read_stores_nothing(space: str, viewer: Person) -> None:
    answer = viewer.call("PUT", f"/spaces/{space}/attachments/a.png", content=PNG)
    assert error_of(answer)[:2] == (403, "PERMISSION_DENIED")


def test_a_draft_is_kept_and_its_author_alone_sees_it(space: str, developer: Person, admin: Person) -> None:
    body = {"space": space, "path": "new.md", "content": "not done yet"}
    saved = developer.done("PUT", "/drafts/new-page", json=body)
    assert saved["version"] == "1"
    again = developer.done("PUT", "/drafts/new-page", json={**body, "content": "nearly", "version": 1})
    assert again["version"] == "2"
    assert developer.done("GET", "/drafts/new-page")["content"] == "nearly"
    stale = developer.call("PUT", "/drafts/new-page", json={**body, "version": 1})
    assert error_of(stale)[:2] == (409, "DRAFT_CHANGED")
    assert error_of(admin.call("GET", "/drafts/new-page"))[:2] == (404, "DRAFT_NOT_FOUND")
    developer.done("DELETE", "/drafts/new-page")


def test_who_has_read_a_page_and_what_is_wrong_with_it(space: str, page: Json, developer: Person) -> None:
    for _ in range(2):
        developer.done("POST", f"/docs/{page['documentId']}:view", json={"confirmedRevision": page["head"]})
    (reader,) = developer.done("GET", f"/docs/{page['documentId']}/readers")["readers"]
    assert (reader["user"], reader["confirmedRevision"]) == ("dora", page["head"])
    found = developer.done("GET", f"/spaces/{space}/statistics", params={"days": 7})
    assert (len(found["days"]), found["days"][-1]["views"], found["mostRead"][0]["path"]) == (7, "1", "start.md")
    assert found["brokenLinks"][0]["count"] == "2"
    answer = developer.call("GET", f"/spaces/{space}/statistics:export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [each["count"] for each in lines if each["kind"] == "broken_links"] == ["2"]
    as_json = developer.call("GET", f"/spaces/{space}/statistics:export", params={"format": "json"})
    assert as_json.json()["documents"] == "1"
