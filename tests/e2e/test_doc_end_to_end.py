"""Documentation from a folder to its readers, over HTTP and by the command line: pushed, edited, found, published."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from automesh.testing.live import LiveStack, until
from automesh.testing.people import Json, Person, error_of

SPACE = "e2e-handbook"
PAGES = {
    "index.md": "# Handbook\n\nBegin with [the first steps](guides/erste%20Schritte.md#ports).\n\n![logo](logo.png)\n",
    "guides/erste Schritte.md": "# First steps\n\nHello.\n\n## Ports\n\nThe gateway listens on `GATEWAY_PORT`.\n",
    "guides/Übersicht.md": "---\ntags: [overview]\n---\n\n# Overview\n\nBack to [the start](../index.md).\n",
}
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)


def place(path: str) -> str:
    return f"/spaces/{SPACE}/docs/{quote(path)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs")
    for path, text in PAGES.items():
        (made / path).parent.mkdir(exist_ok=True)
        (made / path).write_text(text, encoding="utf-8")
    (made / "logo.png").write_bytes(PICTURE)
    return made


@pytest.fixture(scope="module")
def pushed(live: LiveStack, admin: Person, folder: Path) -> Iterator[Json]:
    """The space with what the folder holds; gone in the end."""
    said = live.command("doc", "push", str(folder), "--space", SPACE, "--create", "--json")
    yield json.loads(said)
    admin.done("DELETE", f"/spaces/{SPACE}", params={"force": "true", "reason": "the test is over"})


def test_a_folder_becomes_documents_and_attachments(developer: Person, pushed: Json) -> None:
    assert (pushed["state"], pushed["tally"]["created"], pushed["problems"]) == ("JOB_STATE_DONE", "4", [])
    found = developer.done("GET", "/docs", params={"space": SPACE})["documents"]
    assert sorted(each["path"] for each in found) == sorted(PAGES)
    picture = developer.call("GET", f"/spaces/{SPACE}/attachments/logo.png")
    assert (picture.content, picture.headers["content-type"]) == (PICTURE, "image/png")


@pytest.mark.parametrize("path", sorted(PAGES))
def test_a_document_is_found_by_its_path_however_it_is_escaped(developer: Person, pushed: Json, path: str) -> None:
    for spelled in (quote(path), quote(path, safe=""), quote(path, safe="/ü")):
        found = developer.done("GET", f"/spaces/{SPACE}/docs/{spelled}")
        assert (found["path"], found["content"]) == (path, PAGES[path])


def test_what_has_not_changed_is_not_sent_again(developer: Person, pushed: Json) -> None:
    first = developer.call("GET", place("index.md"))
    etag = first.headers["etag"]
    again = developer.call("GET", place("index.md"), headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert developer.call("GET", place("index.md"), headers={"if-none-match": '"rev_0"'}).status_code == 200


def test_a_write_that_comes_too_late_is_answered_with_both_brought_together(developer: Person, pushed: Json) -> None:
    body = {"space": SPACE, "path": "late.md", "content": "# Late\n\none\n\ntwo\n\nthree\n"}
    document = developer.done("POST", "/docs", json=body)["document"]
    path, head = f"/docs/{document['documentId']}", document["head"]
    first = {"content": "# Late\n\nONE\n\ntwo\n\nthree\n", "expectedHead": head}
    assert developer.call("PUT", path, json=first).status_code == 200
    late = developer.call(
        "PUT", path, json={"content": "# Late\n\none\n\ntwo\n\nTHREE\n"}, headers={"if-match": f'"{head}"'}
    )
    assert late.status_code == 409
    [stale] = [each for each in late.json()["details"] if each["@type"].endswith("automesh.doc.v1.StaleWrite")]
    assert (stale["expectedHead"], stale["author"]) == (head, "dora")
    assert (stale["merge"]["content"], stale["merge"]["conflicts"]) == ("# Late\n\nONE\n\ntwo\n\nTHREE\n", [])
    assert developer.done("GET", path)["content"] == first["content"], "nothing was written"
    saved = {"content": stale["merge"]["content"], "expectedHead": stale["head"]}
    assert developer.call("PUT", path, json=saved).status_code == 200
    revisions = developer.done("GET", f"{path}/revisions")["revisions"]
    assert len(revisions) == 3


def test_a_large_merge_arrives_over_http_as_well(developer: Person, pushed: Json) -> None:
    lines = [f"line {number} of a page that is rather long, so that its merge is large\n" for number in range(450)]
    text = "# Large\n\n" + "".join(lines)
    document = developer.done("POST", "/docs", json={"space": SPACE, "path": "large.md", "content": text})["document"]
    path, head = f"/docs/{document['documentId']}", document["head"]
    developer.done("PUT", path, json={"content": text.replace("line 7 ", "LINE 7 "), "expectedHead": head})
    late = developer.call("PUT", path, json={"content": text.replace("line 9 ", "mine 9 "), "expectedHead": head})
    stale = late.json()["details"][-1]
    assert len(stale["merge"]["content"]) > 30_000
    assert "LINE 7 " in stale["merge"]["content"]
    assert "mine 9 " in stale["merge"]["content"]
    assert stale["merge"]["conflicts"] == []


def test_an_edit_by_the_command_line_is_saved_and_its_history_told(
    live: LiveStack, developer: Person, pushed: Json, tmp_path: Path
) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
        "file.write_text(file.read_text().replace('Hello.', 'Welcome.'))\n"
    )
    editor = {"VISUAL": "", "EDITOR": f"{sys.executable} {script}"}
    where = f"{SPACE}:guides/erste Schritte.md"
    assert "is saved" in live.command("doc", "edit", where, "-m", "friendlier", env=editor)
    assert "friendlier" in live.command("doc", "log", where)
    assert "+Welcome." in live.command("doc", "diff", where)
    assert "Welcome." in live.command("doc", "blame", where)
    live.command("doc", "restore", where, "--to", "~1", "-m", "too friendly")
    assert live.command("doc", "show", where) == PAGES["guides/erste Schritte.md"]


def test_a_change_is_found_soon_and_only_by_who_may_read_it(
    live: LiveStack, admin: Person, developer: Person, pushed: Json
) -> None:
    admin.done("POST", "/spaces", json={"space": "e2e-secret", "visibility": "VISIBILITY_MEMBERS"})
    try:
        text = "# Plans\n\nThe zyzzyva project.\n"
        admin.done("POST", "/docs", json={"space": "e2e-secret", "path": "plans.md", "content": text})

        def found(person: Person) -> list[Json]:
            results: list[Json] = person.done("GET", "/docs:search", params={"query": "zyzzyva"})["results"]
            return results

        [hit] = until(lambda: found(admin), "the page to be found")
        assert (hit["space"], hit["path"], hit["title"]) == ("e2e-secret", "plans.md", "Plans")
        assert found(developer) == []
        assert developer.call("GET", "/spaces/e2e-secret/docs/plans.md").status_code == 404
    finally:
        admin.done("DELETE", "/spaces/e2e-secret", params={"force": "true", "reason": "the test is over"})


def test_the_command_line_finds_and_checks(live: LiveStack, pushed: Json, folder: Path) -> None:
    until(
        lambda: "First steps" in live.command("doc", "search", "GATEWAY_PORT", "--space", SPACE), "the page to be found"
    )
    assert "Nothing is wrong" in live.command("doc", "lint", str(folder), "--space", SPACE)


def test_a_site_is_published_read_and_rolled_back(live: LiveStack, admin: Person, pushed: Json) -> None:
    site = admin.done("GET", f"/spaces/{SPACE}/site")
    admin.done("PUT", f"/spaces/{SPACE}/site", json={**site, "public": True})
    first = json.loads(live.command("doc", "publish", SPACE, "-m", "first", "--json"))
    assert first["state"] == "RELEASE_STATE_CURRENT"
    home = httpx.get(first["url"], follow_redirects=True, timeout=10)
    assert "first steps" in home.text
    assert "script-src 'self'" in home.headers["content-security-policy"]
    assert not home.cookies
    index = admin.done("GET", place("index.md"))
    changed = {"content": index["content"].replace("# Handbook", "# Wrong"), "expectedHead": index["head"]}
    admin.done("PUT", f"/docs/{index['documentId']}", json=changed)
    live.command("doc", "publish", SPACE, "-m", "second")
    assert "Wrong" in httpx.get(first["url"], follow_redirects=True, timeout=10).text
    live.command("doc", "rollback", SPACE, "--reason", "the title is wrong")
    assert "Wrong" not in httpx.get(first["url"], follow_redirects=True, timeout=10).text
    assert "the title is wrong" in live.command("doc", "switches", SPACE)


def test_an_agent_documents_a_library_and_people_find_it(live: LiveStack, admin: Person, pushed: Json) -> None:
    given = {"space": SPACE, "prefix": "reference/packaging", "package": "packaging"}
    task = admin.finished(admin.submit("documentation", given)["taskId"])
    assert task["status"] == "TASK_STATUS_COMPLETED", task
    assert task["result"]["tally"]["created"] == task["result"]["pages"] > 5
    page = admin.done("GET", place("reference/packaging/version.md"))
    assert "### `Version`" in page["content"]
    again = admin.finished(admin.submit("documentation", given)["taskId"])
    assert again["result"]["tally"]["unchanged"] == task["result"]["pages"]


def test_an_agent_writes_in_the_name_of_who_asked_and_with_their_rights_alone(
    admin: Person, developer: Person, pushed: Json
) -> None:
    members = [{"user": "dora", "role": "MEMBER_ROLE_WRITER"}]
    mine = {"space": "e2e-dora", "visibility": "VISIBILITY_MEMBERS", "members": members}
    others = {"space": "e2e-others", "visibility": "VISIBILITY_MEMBERS"}
    for space in (mine, others):
        admin.done("POST", "/spaces", json=space)
    try:
        given = {"space": "e2e-dora", "package": "packaging.version"}
        task = developer.finished(developer.submit("documentation", given)["taskId"])
        assert task["status"] == "TASK_STATUS_COMPLETED", task
        [page] = developer.done("GET", "/docs", params={"space": "e2e-dora"})["documents"]
        assert (page["path"], page["createdBy"]) == ("index.md", "dora")
        task = developer.finished(developer.submit("documentation", {**given, "space": "e2e-others"})["taskId"])
        assert (task["status"], task["failure"]["reason"]) == ("TASK_STATUS_FAILED", "SPACE_NOT_FOUND")
        assert admin.done("GET", "/docs", params={"space": "e2e-others"})["documents"] == []
    finally:
        for space in (mine, others):
            admin.done("DELETE", f"/spaces/{space['space']}", params={"force": "true", "reason": "the test is over"})


def test_a_task_for_a_package_that_is_not_there_fails_for_good(admin: Person, pushed: Json) -> None:
    given = {"space": SPACE, "package": "no_such_package"}
    task = admin.finished(admin.submit("documentation", given)["taskId"])
    assert (task["status"], task["failure"]["reason"]) == ("TASK_STATUS_FAILED", "MODULE_NOT_FOUND")


def test_a_space_comes_home_as_files(live: LiveStack, pushed: Json, tmp_path: Path) -> None:
    here = tmp_path / "here"
    live.command("doc", "pull", str(here), "--space", SPACE, "--prefix", "guides")
    texts = {file.relative_to(here).as_posix(): file.read_text() for file in here.rglob("*.md")}
    assert PAGES["guides/Übersicht.md"] in texts.values()


def test_a_page_of_50_megabytes_is_refused_with_the_limit(developer: Person, pushed: Json) -> None:
    body = json.dumps({"space": SPACE, "path": "big.md", "content": "x" * 50_000_000}).encode()
    answer = developer.call("POST", "/docs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "8388608" in error_of(answer)[2]
    three = developer.call("POST", "/docs", json={"space": SPACE, "path": "big.md", "content": "x" * 3_000_000})
    assert three.status_code == 400
    assert "2097152" in error_of(three)[2]


def test_a_viewer_reads_and_does_not_write(viewer: Person, pushed: Json) -> None:
    assert viewer.call("GET", place("index.md")).status_code == 200
    assert viewer.call("POST", "/docs", json={"space": SPACE, "path": "x.md", "content": "# x"}).status_code == 403
    assert viewer.call("POST", f"/spaces/{SPACE}/site:publish", json={}).status_code == 403
