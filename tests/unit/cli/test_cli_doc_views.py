"""`automesh doc log|diff|blame|search|lint|stats|list`: what people are shown, and what is asked for it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from automesh.cli import doc_diff
from automesh.cli.doc_search import result_lines
from automesh.cli.doc_stats import bar, sparks
from automesh.core.errors import ValidationError
from automesh.doc.v1 import analytics_service_pb2, document_pb2, search_service_pb2, validation_service_pb2
from automesh.doc.v1 import document_service_pb2 as pb
from tests.unit.cli.conftest import ScriptedGateway, Terminal

PLACE = "handbook:guides/start.md"


@pytest.fixture(autouse=True)
def document(gateway: ScriptedGateway) -> None:
    found = document_pb2.Document(
        document_id="doc_1", space="handbook", path="guides/start.md", content="one\ntwo\nthree\n", head="rev_3"
    )
    gateway.on("LookUpDocument", pb.LookUpDocumentResponse(document=found))
    gateway.on("GetDocument", pb.GetDocumentResponse(document=found))
    revisions = [revision(number) for number in (3, 2, 1)]
    gateway.on("ListRevisions", pb.ListRevisionsResponse(revisions=revisions))


def revision(number: int) -> document_pb2.Revision:
    made = document_pb2.Revision(
        revision_id=f"rev_{number}", author="ann", message=f"[b]change {number}", change=document_pb2.CHANGE_EDIT,
        lines_added=number,
    )  # fmt: skip
    made.create_time.GetCurrentTime()
    return made


def coloured(what: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=80, force_terminal=True, color_system="standard").print(what)
    return out.getvalue()


# ---------------------------------------------------------------------- history
def test_the_log_lists_revisions_and_reads_no_markup_in_them(automesh: Terminal) -> None:
    done = automesh("doc", "log", PLACE)
    assert done.exit_code == 0, done.output
    assert "[b]change 3" in done.output
    assert done.output.index("rev_3") < done.output.index("rev_1")


def test_a_history_is_searched_through_a_whole_space(automesh: Terminal, gateway: ScriptedGateway) -> None:
    hit = pb.HistoryHit(revision=revision(2), before=0, after=2, line="port 8443")
    gateway.on("SearchHistory", pb.SearchHistoryResponse(hits=[hit]))
    done = automesh("doc", "log", "--space", "handbook", "--text", "port 8443", "-i")
    [request] = gateway.requests("SearchHistory")
    assert (request.text, request.space, request.document_id, request.ignore_case) == (
        "port 8443",
        "handbook",
        "",
        True,
    )
    assert "0 -> 2" in done.output


def test_a_log_of_nothing_is_explained(automesh: Terminal) -> None:
    assert "of which document" in str(automesh("doc", "log", "--space", "handbook").exception)


def test_revisions_may_be_named_by_how_far_back_they_are(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("DiffDocument", pb.DiffDocumentResponse(to="rev_2", unified="@@ -1 +1 @@\n-a\n+b\n"))
    done = automesh("doc", "diff", PLACE, "~2", "~1", "-U", "0")
    [request] = gateway.requests("DiffDocument")
    assert (getattr(request, "from"), request.to, request.context) == ("rev_1", "rev_2", 0)
    assert "-a\n+b" in done.output
    assert "only 3 revisions" in str(automesh("doc", "diff", PLACE, "~3").exception)


def test_differences_are_coloured() -> None:
    lines = list(doc_diff.unified("--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n same"))
    assert [str(line.style) for line in lines] == ["bold", "bold", "cyan", "red", "green", ""]


def test_words_that_changed_are_marked_and_escapes_of_a_text_do_nothing() -> None:
    row = {
        "kind": "ROW_KIND_CHANGED", "left": "port \x1b[31m80", "right": "port 8443",
        "leftChanges": [{"start": 5, "end": 12}], "rightChanges": [{"start": 5, "end": 9}],
    }  # fmt: skip
    removed, added = doc_diff.words([row])
    assert "\x1b[31m" not in removed.plain
    assert [(span.start, span.end) for span in added.spans if "reverse" in str(span.style)] == [(7, 11)]
    assert "\x1b[" in coloured(added)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_both_sides_fit_the_terminal(width: int) -> None:
    rows = [
        {"kind": "ROW_KIND_EQUAL", "left": "x" * 150, "right": "x" * 150, "leftLine": 1, "rightLine": 1},
        {"kind": "ROW_KIND_GAP", "leftLine": 40},
        {"kind": "ROW_KIND_ADDED", "right": "new", "rightLine": 42},
    ]
    out = io.StringIO()
    Console(file=out, width=width).print(doc_diff.columns(rows, width))
    assert max(map(len, out.getvalue().splitlines())) <= width
    assert "40 equal lines" in out.getvalue()


def test_blame_shows_every_line_with_where_it_came_from(automesh: Terminal, gateway: ScriptedGateway) -> None:
    ranges = [pb.BlameRange(line=1, count=2, revision_id="rev_1"), pb.BlameRange(line=3, count=1, revision_id="rev_3")]
    gateway.on("BlameDocument", pb.BlameDocumentResponse(ranges=ranges, revisions=[revision(1), revision(3)]))
    lines = automesh("doc", "blame", PLACE).output.splitlines()[1:]
    assert [line.split()[-1] for line in lines] == ["one", "two", "three"]
    assert [line.split()[0] for line in lines] == ["rev_1", "2", "rev_3"]


# ---------------------------------------------------------------------- search
RESULT = {
    "documentId": "doc_1", "space": "handbook", "path": "guides/start.md", "title": "Start", "section": "Ports",
    "anchor": "ports", "snippet": "the port ü 8443 is open", "marks": [{"start": 4, "end": 8}], "tags": ["net"],
}  # fmt: skip


def test_results_say_where_and_mark_what_fits() -> None:
    title, place, text = result_lines(1, RESULT, with_space=True)
    assert title.plain == " 1 Start / Ports"
    assert "handbook:guides/start.md#ports" in place.plain
    [mark] = [span for span in text.spans if "yellow" in str(span.style)]
    assert text.plain[mark.start : mark.end] == "port"


def test_a_search_says_what_it_corrected(automesh: Terminal, gateway: ScriptedGateway) -> None:
    gateway.on("SearchDocuments", search_service_pb2.SearchDocumentsResponse(corrections={"prot": "port"}))
    done = automesh("doc", "search", "open", "prot", "--tag", "net", "--since", "2026-01-31")
    [request] = gateway.requests("SearchDocuments")
    assert (request.query, request.tag, request.page_size) == ("open prot", "net", 10)
    assert request.changed_since.ToJsonString() == "2026-01-31T00:00:00Z"
    assert "No document has 'prot'" in done.output


# ---------------------------------------------------------------------- lint
def test_files_are_checked_where_they_are_to_go(automesh: Terminal, gateway: ScriptedGateway, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "a").mkdir(parents=True)
    (docs / "a" / "one.md").write_text("# One\n\n[to two](../two.md) and [away](gone.md)\n")
    (docs / "two.md").write_text("# Two\n\nsee [one](a/one.md#top)\n")
    (docs / "bad.md").write_bytes(b"# \xff\n")
    (docs / "Logo.png").touch()
    (docs / "logo.png").touch()

    def check(request: Any) -> Any:
        links = {"manual/a/one.md": ["../two.md", "gone.md"], "manual/two.md": ["a/one.md#top"]}[request.path]
        findings = [
            document_pb2.Finding(rule="broken-link", level="warn", line=3, column=1, message=f"{link} leads nowhere")
            for link in links
        ]
        return validation_service_pb2.CheckDocumentResponse(findings=findings)

    gateway.on("CheckDocument", check)
    done = automesh("doc", "lint", str(docs), "--space", "handbook", "--prefix", "manual")
    assert "gone.md leads nowhere" in done.output
    assert "two.md leads nowhere" not in done.output, "it is among the files that are to be pushed"
    assert "a/one.md#top leads" not in done.output
    assert "bad.md" in done.output
    assert "the same path as 'Logo.png'" in done.output
    assert done.exit_code == 3, "a file that is not UTF-8 cannot be saved"


def test_a_check_that_the_service_refuses_is_a_finding(
    automesh: Terminal, gateway: ScriptedGateway, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("x")
    gateway.on("CheckDocument", ValidationError("the front matter is nested too deeply"))
    done = automesh("doc", "lint", str(tmp_path / "docs"), "--space", "handbook")
    assert done.exit_code == 3
    assert "nested too deeply" in done.output


def test_a_space_is_checked_as_it_stands(automesh: Terminal, gateway: ScriptedGateway) -> None:
    finding = document_pb2.Finding(rule="orphan", level="warn", message="nothing leads here", path="a.md")
    gateway.on("ListFindings", validation_service_pb2.ListFindingsResponse(findings=[finding]))
    done = automesh("doc", "lint", "--space", "handbook")
    assert done.exit_code == 0
    assert "nothing leads here" in done.output
    assert automesh("doc", "lint", "--space", "handbook", "--strict").exit_code == 3
    gateway.on("ListFindings", validation_service_pb2.ListFindingsResponse())
    assert "Nothing is wrong" in automesh("doc", "lint", "--space", "handbook").output


# ---------------------------------------------------------------------- figures
def test_bars_and_sparks_show_shares() -> None:
    assert (bar(1.0), bar(0.0), bar(0.5)) == ("█" * 30, "", "█" * 15)
    assert bar(1 / 240) == "▏"
    assert sparks([0, 1, 4, 8]) == "▁▂▅█"
    assert sparks([0, 0]) == ""


def test_statistics_show_what_is_looked_for_in_vain(automesh: Terminal, gateway: ScriptedGateway) -> None:
    answer = analytics_service_pb2.GetSpaceStatisticsResponse(
        documents=7,
        days=[analytics_service_pb2.DayCount(day="2026-11-25", views=3), analytics_service_pb2.DayCount(views=5)],
        without_results=[analytics_service_pb2.QueryCount(query="vacation [days]", count=4)],
    )
    gateway.on("GetSpaceStatistics", answer)
    done = automesh("doc", "stats", "handbook", "--days", "2")
    assert "LOOKED FOR IN VAIN" in done.output
    assert "vacation [days]" in done.output
    assert "▆█" in done.output
    assert gateway.requests("GetSpaceStatistics")[0].days == 2


def test_what_is_not_utf8_is_told_and_no_traceback(automesh: Terminal) -> None:
    done = automesh("doc", "search", "caf\udce9")
    assert "is not UTF-8" in str(done.exception)


@pytest.mark.parametrize("place", ["handbook:../x.md", "handbook:a/./b.md", "handbook:.."])
def test_a_path_that_goes_up_reaches_no_other_address(automesh: Terminal, gateway: ScriptedGateway, place: str) -> None:
    done = automesh("doc", "show", place)
    assert "from the top" in getattr(done.exception, "next_step", "")
    assert gateway.seen == []


def test_a_state_that_no_review_has_is_told_with_those_there_are(automesh: Terminal) -> None:
    done = automesh("doc", "review", "list", "--state", "done")
    assert "open, merged, closed" in str(done.exception)
