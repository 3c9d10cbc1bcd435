"""Validation over gRPC: on save, of texts that are not saved, and as a report of a space."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automesh.doc.v1 import branch_service_pb2, document_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import space_service_pb2 as space_service
from automesh.doc.v1 import validation_service_pb2 as pb
from automesh.doc.v1 import validation_service_pb2_grpc as rpc
from services.doc.domain.validation.catalogue import RULES
from tests.integration.doc.doc_house import Served, invalid, refused

REFUSE, WARN, OFF = space_pb2.RULE_LEVEL_REFUSE, space_pb2.RULE_LEVEL_WARN, space_pb2.RULE_LEVEL_OFF
BOMB = (
    "---\n" + "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)) + "---\n# A\n"
)


async def validation(doc: Served, user: str = "ann") -> rpc.ValidationServiceAsyncStub:
    return rpc.ValidationServiceStub(await doc.channel(user))


async def check(doc: Served, content: str, **fields: Any) -> pb.CheckDocumentResponse:
    request = pb.CheckDocumentRequest(**{"space": "handbook", "path": "new.md", "content": content} | fields)
    return await (await validation(doc)).CheckDocument(request)


async def findings(doc: Served, **fields: Any) -> AsyncIterator[document_pb2.Finding]:
    """All of a space, page by page."""
    stub, token = await validation(doc), ""
    while True:
        request = pb.ListFindingsRequest(**{"space": "handbook"} | fields, page_token=token)
        page = await stub.ListFindings(request)
        assert len(page.findings) <= (fields.get("page_size") or 50)
        for finding in page.findings:
            yield finding
        token = page.next_page_token
        if not token:
            return


async def told(doc: Served, **fields: Any) -> list[tuple[str, str, int]]:
    return [(each.path, each.rule, each.line) async for each in findings(doc, **fields)]


async def rules_of(doc: Served, content: str, **fields: Any) -> list[tuple[str, int]]:
    return [(each.rule, each.line) for each in (await check(doc, content, **fields)).findings]


async def test_a_link_is_broken_when_nothing_is_there_and_no_longer_when_something_is(handbook: Served) -> None:
    content = "# New\n\n[a](guides/a.md)\n[b](./guides/a)\n[c](/guides/)\n[d](/)\n[e](guides#b)\n"
    assert [line for _, line in await rules_of(handbook, content)] == [3, 4, 5, 7]
    await handbook.write("guides/a.md")
    assert await rules_of(handbook, content) == [("broken-link", 4)]
    await handbook.write("guides/index.md", "# A\n")
    assert await rules_of(handbook, content) == [("broken-link", 4), ("broken-anchor", 7)]
    await handbook.write("new.md", content)
    reported = [(each.rule, each.line) async for each in findings(handbook) if each.path == "new.md"]
    assert reported == [("orphan-page", 0), ("broken-link", 4), ("broken-anchor", 7)]


async def test_a_page_makes_the_folders_that_it_is_in(handbook: Served) -> None:
    content = "# New\n\n[a](.) [b](..) [c](/) [d](../c)\n"
    assert await rules_of(handbook, content, path="a/b/new.md") == [("broken-link", 3)]


async def test_a_link_to_where_a_page_was_is_not_broken(handbook: Served) -> None:
    page = await handbook.write("old.md")
    await handbook.edit(page, page.content, path="moved.md")
    assert await rules_of(handbook, "# New\n\n[a](old.md#start) [b](OLD.md)\n") == []


async def test_a_link_to_a_page_in_the_trash_is_broken(handbook: Served) -> None:
    page = await handbook.write("old.md")
    stub = await handbook.documents()
    await stub.DeleteDocument(doc_pb.DeleteDocumentRequest(document_id=page.document_id, expected_head=page.head))
    assert await rules_of(handbook, "# New\n\n[a](old.md)\n") == [("broken-link", 3)]


async def test_links_to_elsewhere_are_not_looked_at(handbook: Served) -> None:
    content = "# New\n\n[a](https://x.org/y.md) [b](../outside.md) [c](mailto:a@b.org) [d](//x.org/a)\n"
    assert await rules_of(handbook, content) == []


async def test_an_anchor_is_looked_for_in_the_page_that_it_is_of(handbook: Served) -> None:
    await handbook.write("a.md", '# A\n\n## Use it\n\n<a id="here"></a>\n')
    content = (
        "# New\n\n[1](a.md#use-it) [2](a.md#here) [3](#new) [4](#top) [5](a.md#:~:text=A)\n\n[6](a.md#used) [7](#old)\n"
    )
    assert await rules_of(handbook, content) == [("broken-anchor", 5)] * 2


async def test_a_finding_suggests_what_may_be_meant(handbook: Served) -> None:
    await handbook.write("guides/install.md", "# Install\n\n## Requirements\n")
    found = (await check(handbook, "# New\n\n[a](install.md)\n[b](guides/install.md#requirement)\n")).findings
    assert ['"guides/install.md"' in found[0].message, '"#requirements"' in found[1].message] == [True, True]


async def test_a_save_tells_what_is_wrong_and_is_refused_where_the_space_says_so(handbook: Served) -> None:
    await handbook.space("strict", rules=space_pb2.SpaceRules(levels={"broken-link": REFUSE, "spelling": OFF}))
    content = "# A\n\n[gone](gone.md) recieve\n"
    stub = await handbook.documents()
    written = await stub.CreateDocument(doc_pb.CreateDocumentRequest(space="handbook", path="a.md", content=content))
    assert [(each.rule, each.level) for each in written.findings] == [("broken-link", "warn"), ("spelling", "warn")]
    error = await invalid(
        stub.CreateDocument(doc_pb.CreateDocumentRequest(space="strict", path="a.md", content=content))
    )
    assert (error.reason, "gone.md" in error.message, "spelling" in error.message) == ("FINDINGS_REFUSED", True, False)
    assert (await check(handbook, content, space="strict")).refused
    assert not (await check(handbook, content)).refused


async def test_a_merge_that_is_not_decided_cannot_be_saved(handbook: Served) -> None:
    stub = await handbook.documents()
    content = "# A\n\n<<<<<<< yours\na\n=======\nb\n>>>>>>> theirs\n"
    request = doc_pb.CreateDocumentRequest(space="handbook", path="a.md", content=content)
    assert "line 3" in (await invalid(stub.CreateDocument(request))).message


async def test_front_matter_must_satisfy_the_schema_of_the_space(handbook: Served) -> None:
    rules = space_pb2.SpaceRules()
    rules.front_matter_schema.update({"required": ["owner"], "properties": {"owner": {"pattern": "^[a-z]+$"}}})
    await handbook.space("strict", rules=rules)
    stub = await handbook.documents()

    def request(content: str) -> doc_pb.CreateDocumentRequest:
        return doc_pb.CreateDocumentRequest(space="strict", path="a.md", content=content)

    assert "owner" in (await invalid(stub.CreateDocument(request("# A\n")))).message
    assert "line 2" in (await invalid(stub.CreateDocument(request("---\nowner: ANN\n---\n# A\n")))).message
    await stub.CreateDocument(request("---\nowner: ann\n---\n# A\n"))


async def test_a_space_with_an_unusable_schema_or_unknown_rules_is_not_kept(handbook: Served) -> None:
    rules = space_pb2.SpaceRules()
    rules.front_matter_schema.update({"$ref": "https://example.org/a.json"})
    spaces = await handbook.spaces()
    request = space_service.CreateSpaceRequest(space=space_pb2.Space(space="odd", rules=rules))
    assert (await invalid(spaces.CreateSpace(request))).violations[0].field == "space.rules.front_matter_schema"
    kept = (await spaces.GetSpace(space_service.GetSpaceRequest(space="handbook"))).space
    kept.rules.levels["spellling"] = WARN
    error = await invalid(spaces.UpdateSpace(space_service.UpdateSpaceRequest(space=kept)))
    assert ("'spellling'" in error.message, "spelling" in error.message) == (True, True)


async def test_the_report_lists_all_rules_by_path(handbook: Served) -> None:
    await handbook.write("index.md", "# Home\n\n[b](b.md)\n")
    await handbook.write("b.md", "# B\n\n[gone](gone.md)\n\n![](gone.png) [h](index.md#away) recieve\n")
    await handbook.write("c.md", "# C\n")
    expected = [
        ("b.md", "broken-link", 3),
        ("b.md", "broken-anchor", 5),
        ("b.md", "broken-link", 5),
        ("b.md", "image-alt-text", 5),
        ("b.md", "spelling", 5),
        ("c.md", "orphan-page", 0),
    ]
    assert sorted(await told(handbook)) == sorted(expected)
    assert await told(handbook, rule="broken-link") == [("b.md", "broken-link", 3), ("b.md", "broken-link", 5)]
    assert await told(handbook, page_size=1) == await told(handbook, page_size=3) == await told(handbook)


async def test_the_report_agrees_with_what_a_save_says(handbook: Served) -> None:
    await handbook.write("a/index.md", "# A\n\n## B\n")
    content = "# T\n\n[1](a) [2](a/) [3](a/index.md#b) [4](a#c) [5](b.md) [6](#t) [7](t.md#u) [8](a#b) [9](/) [10](t)\n"
    said = (await check(handbook, content, path="t.md")).findings
    await handbook.write("t.md", content)
    reported = [each async for each in findings(handbook) if each.path == "t.md" and each.rule != "orphan-page"]
    assert [each.rule for each in said] == ["broken-anchor"] * 2 + ["broken-link"] * 2
    assert sorted(each.rule for each in reported) == sorted(each.rule for each in said)


async def test_a_page_is_no_orphan_when_another_leads_to_it_by_any_of_its_names(handbook: Served) -> None:
    for path in ("a.md", "b.md", "c/index.md", "alone.md"):
        await handbook.write(path, "# Page\n\n[me](alone.md)\n" if path == "alone.md" else "# Page\n")
    moved = await handbook.write("d.md", "# D\n")
    await handbook.write("readme.md", "# Home\n\n[a](a.md) [b](b.md) [c](c/) [d](d.md)\n")
    await handbook.edit(moved, moved.content, path="e.md")
    assert [path for path, _, _ in await told(handbook, rule="orphan-page")] == ["alone.md"]


async def test_findings_of_another_branch_are_its_own(handbook: Served) -> None:
    await handbook.write("a.md", "# A\n\n[b](b.md)\n")
    request = branch_service_pb2.CreateBranchRequest(space="handbook", branch="work")
    await (await handbook.branches()).CreateBranch(request)
    await handbook.write("b.md", "# B\n", branch="work")
    assert await told(handbook, branch="work", rule="broken-link") == []
    assert await told(handbook, rule="broken-link") == [("a.md", "broken-link", 3)]
    error = await refused(anext(findings(handbook, branch="none")))
    assert error.reason == "BRANCH_NOT_FOUND"


async def test_a_space_of_members_is_not_there_for_others(handbook: Served) -> None:
    await handbook.space("closed", visibility=space_pb2.VISIBILITY_MEMBERS)
    assert (await refused(check(handbook, "# A\n", space="closed"))).reason == "SPACE_NOT_FOUND"
    assert (await refused(anext(findings(handbook, space="closed")))).reason == "SPACE_NOT_FOUND"


async def test_an_unknown_rule_is_refused_with_those_there_are(handbook: Served) -> None:
    error = await invalid(anext(findings(handbook, rule="broken-lnk")))
    assert "broken-link" in error.message


async def test_all_rules_are_listed_with_their_levels(handbook: Served) -> None:
    listed = (await (await validation(handbook)).ListRules(pb.ListRulesRequest())).rules
    assert [(each.rule, each.level) for each in listed] == [(rule.name, rule.level) for rule in RULES.values()]
    assert all(each.description for each in listed)


async def test_front_matter_that_would_grow_without_end_is_refused(handbook: Served) -> None:
    error = await invalid(check(handbook, BOMB))
    assert "aliases" in error.message


@pytest.mark.slow
async def test_a_page_of_100_000_links_is_checked_and_reported_in_seconds(handbook: Served) -> None:
    links = "\n".join(f"[a{number}](p{number}.md)" for number in range(100_000))
    began = time.monotonic()
    found = await check(handbook, links)
    assert len([each for each in found.findings if each.rule == "broken-link"]) == 101
    await handbook.write("links.md", links)
    reported = await told(handbook, rule="broken-link", page_size=1000)
    assert len(reported) == 100
    assert time.monotonic() - began < 30


@pytest.mark.slow
async def test_links_to_as_many_anchors_are_matched_as_sets(handbook: Served) -> None:
    await handbook.write("t.md", "\n".join(f"# s {number}\n" for number in range(10_000)))
    links = "\n".join(f"[a](t.md#s-{number})" for number in range(10_050))
    found = [each for each in (await check(handbook, links)).findings if each.rule == "broken-anchor"]
    await handbook.write("links.md", links)
    began = time.monotonic()
    reported = [each async for each in findings(handbook, rule="broken-anchor", page_size=1000)]
    assert time.monotonic() - began < 10
    assert [each.line for each in reported] == [each.line for each in found] == list(range(10_001, 10_051))
