"""`automesh doc edit`: saved with the head that was read; whatever goes wrong, the text is kept."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from automesh.cli.doc_editor import Scratch, has_markers
from automesh.core.errors import AutomationError, Kind, NotFound, Unavailable
from automesh.doc.v1 import document_pb2, draft_service_pb2
from automesh.doc.v1 import document_service_pb2 as pb
from services.doc.domain.errors import DocumentNotFound, FindingsRefused
from tests.unit.cli.conftest import ScriptedGateway, Terminal

PLACE = "handbook:guides/start.md"
MERGED = "one\nTWO\nthree\n"
CONFLICT = "one\n<<<<<<< ours\nmine\n=======\ntheirs\n>>>>>>> theirs\n"


class StaleWrite(AutomationError):
    """As the doc service refuses a write that came too late."""

    kind = Kind.ABORTED
    reason = "STALE_WRITE"


class Space:
    """A document that somebody else may have changed, and the drafts of one person."""

    def __init__(self, gateway: ScriptedGateway, content: str = "one\ntwo\n") -> None:
        self.content, self.head = content, "rev_1"
        self.drafts: dict[str, Any] = {}
        self.failures: list[Exception] = []
        gateway.on("LookUpDocument", lambda _: pb.LookUpDocumentResponse(document=self.document()))
        gateway.on("UpdateDocument", self.update)
        gateway.on("CreateDocument", self.create)
        gateway.on("GetDraft", self.get_draft)
        gateway.on("SaveDraft", self.save_draft)
        gateway.on("DeleteDraft", self.delete_draft)

    def document(self) -> document_pb2.Document:
        return document_pb2.Document(
            document_id="doc_1", space="handbook", path="guides/start.md", content=self.content, head=self.head
        )

    def update(self, request: Any) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        if request.expected_head != self.head:
            raise AssertionError(f"{request.expected_head} is not {self.head}")
        self.content, self.head = request.content, f"rev_{int(self.head[4:]) + 1}"
        return pb.UpdateDocumentResponse(document=self.document())

    def create(self, request: Any) -> Any:
        self.content = request.content
        return pb.CreateDocumentResponse(document=self.document())

    def get_draft(self, request: Any) -> Any:
        if request.draft_id not in self.drafts:
            raise NotFound("no such draft")
        return draft_service_pb2.GetDraftResponse(draft=self.drafts[request.draft_id])

    def save_draft(self, request: Any) -> Any:
        draft = draft_service_pb2.Draft(
            draft_id=request.draft_id, content=request.content, base=request.base, version=request.version + 1
        )
        self.drafts[request.draft_id] = draft
        return draft_service_pb2.SaveDraftResponse(draft=draft)

    def delete_draft(self, request: Any) -> Any:
        self.drafts.pop(request.draft_id, None)
        return draft_service_pb2.DeleteDraftResponse()

    def overtake(self, merged: str, *conflicts: document_pb2.Conflict, omitted: bool = False) -> None:
        """Somebody saves between the next reading and the next writing."""
        error = StaleWrite("somebody was faster")
        merge = document_pb2.Merge(content="" if omitted else merged, conflicts=conflicts, content_omitted=omitted)
        self.head = "rev_2"
        error.details = (
            document_pb2.StaleWrite(
                document_id="doc_1", expected_head="rev_1", head="rev_2", author="ann", merge=merge
            ),
        )
        self.failures.append(error)
        error.details[0].time.GetCurrentTime()


def editor(folder: Path, *replacements: str) -> dict[str, str]:
    """An $EDITOR that puts each text in turn into the file, and writes down what it was shown."""
    script = folder / "editor.py"
    texts, shown = folder / "texts", folder / "shown"
    texts.mkdir()
    shown.mkdir()
    for number, text in enumerate(replacements):
        (texts / str(number)).write_text(text)
    script.write_text(
        "import pathlib, sys\n"
        f"texts, shown = pathlib.Path({str(texts)!r}), pathlib.Path({str(shown)!r})\n"
        "number = len(list(shown.iterdir()))\n"
        "file = pathlib.Path(sys.argv[1])\n"
        "(shown / str(number)).write_text(file.read_text())\n"
        "new = texts / str(number)\n"
        "file.write_text(new.read_text()) if new.exists() else None\n"
    )
    return {"VISUAL": "", "EDITOR": f"{sys.executable} {script}"}


def scripted(folder: Path, does: str) -> dict[str, str]:
    """An $EDITOR that does something odd to `file`."""
    script = folder / "odd.py"
    script.write_text(f"import os, pathlib, signal, sys\nfile = pathlib.Path(sys.argv[1])\n{does}\n")
    return {"VISUAL": "", "EDITOR": f"{sys.executable} {script}"}


def kept(automesh: Terminal) -> list[Path]:
    return sorted((automesh.folder / "state" / "edits").glob("*.md"))


@pytest.fixture
def space(gateway: ScriptedGateway) -> Space:
    return Space(gateway)


def test_what_the_editor_leaves_is_saved_with_the_head_that_was_read(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    done = automesh("doc", "edit", PLACE, "-m", "three", env=editor(automesh.folder, "one\ntwo\nthree\n"))
    assert done.exit_code == 0, done.output
    [request] = gateway.requests("UpdateDocument")
    assert (request.expected_head, request.content, request.message) == ("rev_1", "one\ntwo\nthree\n", "three")
    assert (automesh.folder / "shown" / "0").read_text() == "one\ntwo\n"
    assert "guides/start.md is saved" in done.output
    assert kept(automesh) == []


def test_nothing_is_sent_when_nothing_was_changed(automesh: Terminal, gateway: ScriptedGateway, space: Space) -> None:
    done = automesh("doc", "edit", PLACE, env=editor(automesh.folder))
    assert "Nothing was changed" in done.output
    assert gateway.requests("UpdateDocument") == []


def test_a_document_that_is_not_there_yet_is_made(automesh: Terminal, gateway: ScriptedGateway, space: Space) -> None:
    gateway.on("LookUpDocument", DocumentNotFound("nothing is there"))
    done = automesh("doc", "edit", "new/page.md", "--space", "handbook", env=editor(automesh.folder, "# New\n"))
    assert done.exit_code == 0, done.output
    [request] = gateway.requests("CreateDocument")
    assert (request.space, request.path, request.content) == ("handbook", "new/page.md", "# New\n")


def test_a_clean_merge_is_offered_and_saved(automesh: Terminal, gateway: ScriptedGateway, space: Space) -> None:
    space.overtake(MERGED)
    done = automesh("doc", "edit", PLACE, typed="y\n", env=editor(automesh.folder, "one\ntwo\nthree\n"))
    assert done.exit_code == 0, done.output
    assert "ann has saved this document" in done.output
    assert (space.content, gateway.requests("UpdateDocument")[1].expected_head) == (MERGED, "rev_2")
    assert space.drafts == {}
    assert kept(automesh) == []


def test_conflicts_come_back_to_the_editor_with_markers(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    conflict = document_pb2.Conflict(line=2, ours="mine\n", theirs="theirs\n")
    space.overtake(CONFLICT, conflict)
    done = automesh("doc", "edit", PLACE, typed="y\n", env=editor(automesh.folder, "one\nmine\n", "one\nboth\n"))
    assert done.exit_code == 0, done.output
    assert (automesh.folder / "shown" / "1").read_text() == CONFLICT
    assert "1 place needs a decision" in done.output
    assert space.content == "one\nboth\n"
    assert kept(automesh) == []


def test_who_gives_up_amid_conflicts_finds_the_text_again(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    space.overtake(CONFLICT, document_pb2.Conflict(line=2, ours="mine\n", theirs="theirs\n"))
    given_up = automesh("doc", "edit", PLACE, typed="n\n", env=editor(automesh.folder, "one\nmine\n"))
    [file] = kept(automesh)
    assert (file.read_text(), file.with_suffix(".mine").read_text()) == (CONFLICT, "one\nmine\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in given_up.output.replace("\n", "")
    assert (space.drafts["doc_1"].content, space.drafts["doc_1"].base) == (CONFLICT, "rev_2")

    (automesh.folder / "second").mkdir()
    again = automesh("doc", "edit", PLACE, typed="y\n", env=editor(automesh.folder / "second", "one\nboth\n"))
    assert again.exit_code == 0, again.output
    assert (automesh.folder / "second" / "shown" / "0").read_text() == CONFLICT
    assert space.content == "one\nboth\n"
    assert (space.drafts, kept(automesh)) == ({}, [])


def test_a_merge_too_large_for_the_refusal_is_asked_for(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    space.overtake("", omitted=True)
    gateway.on("MergeDocument", pb.MergeDocumentResponse(merge=document_pb2.Merge(content=MERGED)))
    done = automesh("doc", "edit", PLACE, typed="y\n", env=editor(automesh.folder, "one\nmine\n"))
    assert done.exit_code == 0, done.output
    [request] = gateway.requests("MergeDocument")
    assert (request.content, request.ours, request.theirs) == ("one\nmine\n", "rev_1", "rev_2")
    assert space.content == MERGED


def test_a_text_made_from_an_old_head_is_never_saved_over_a_newer_one(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    space.failures.append(Unavailable("the service is away"))
    first = automesh("doc", "edit", PLACE, env=editor(automesh.folder, "one\nmine\n"))
    assert first.exit_code == 1
    space.drafts.clear()  # only the file is left, and meanwhile somebody saves
    space.overtake(MERGED)
    (automesh.folder / "second").mkdir()
    automesh("doc", "edit", PLACE, typed="y\ny\n", env=editor(automesh.folder / "second"))
    assert [each.expected_head for each in gateway.requests("UpdateDocument")] == ["rev_1", "rev_1", "rev_2"]


def test_a_platform_that_goes_away_costs_no_text(automesh: Terminal, gateway: ScriptedGateway, space: Space) -> None:
    space.failures.append(Unavailable("the service is away"))
    gateway.on("SaveDraft", Unavailable("the service is away"))
    done = automesh("doc", "edit", PLACE, env=editor(automesh.folder, "one\nmine\n"))
    assert done.exit_code == 1
    [file] = kept(automesh)
    assert file.read_text() == "one\nmine\n"
    assert "kept in" in done.output


def test_a_draft_from_elsewhere_is_offered(automesh: Terminal, gateway: ScriptedGateway, space: Space) -> None:
    space.drafts["doc_1"] = draft_service_pb2.Draft(
        draft_id="doc_1", content="from the phone\n", base="rev_1", version=3
    )
    done = automesh("doc", "edit", PLACE, typed="y\n", env=editor(automesh.folder, "from the phone\nand here\n"))
    assert done.exit_code == 0, done.output
    assert (automesh.folder / "shown" / "0").read_text() == "from the phone\n"
    assert space.content == "from the phone\nand here\n"
    assert space.drafts == {}


def test_a_text_that_the_space_refuses_comes_back_to_the_editor(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    space.failures.append(FindingsRefused("the space refuses this text: line 2: the link leads nowhere (broken-link)"))
    done = automesh("doc", "edit", PLACE, typed="y\n", env=editor(automesh.folder, "bad\n", "good\n"))
    assert done.exit_code == 0, done.output
    assert "broken-link" in done.output
    assert (automesh.folder / "shown" / "1").read_text() == "bad\n"
    assert space.content == "good\n"


def test_an_editor_that_fails_leaves_the_text_where_it_says(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    done = automesh("doc", "edit", PLACE, env={"VISUAL": "", "EDITOR": "/no/such/editor"})
    assert "cannot be started" in str(done.exception)
    assert gateway.requests("UpdateDocument") == []


def test_the_same_document_is_not_edited_twice_at_once(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    scratch = Scratch.of(
        automesh.folder / "state", {"space": "handbook", "path": "guides/start.md", "documentId": "doc_1"}
    )
    with scratch.held():
        done = automesh("doc", "edit", PLACE, env=editor(automesh.folder, "one\nmine\n"))
    assert "in another terminal" in str(done.exception)
    assert list((automesh.folder / "shown").iterdir()) == []
    assert automesh("doc", "edit", PLACE, env={"VISUAL": "", "EDITOR": "true"}).exit_code == 0


@pytest.mark.parametrize(
    ("command", "said"), [("vim 'x", "is no command"), ("  ", "there is no editor"), ("/no/such/editor", "cannot be")]
)
def test_an_editor_that_is_none_is_explained(
    automesh: Terminal, space: Space, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    done = automesh("doc", "edit", PLACE, env={"VISUAL": " ", "EDITOR": command})
    assert said in str(done.exception)
    assert "EDITOR=nano" in getattr(done.exception, "next_step", "")


def test_what_is_no_utf8_comes_back_to_the_editor_and_is_never_in_the_way(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    given_up = automesh("doc", "edit", PLACE, env=scripted(automesh.folder, "file.write_bytes(b'caf\\xe9')"))
    assert (given_up.exit_code, "byte 3 is wrong" in given_up.output) == (3, True)
    [file] = kept(automesh)
    assert file.read_bytes() == b"caf\xe9"
    mended = automesh("doc", "edit", PLACE, typed="y\n", env=scripted(automesh.folder, "file.write_text('caf\u00e9')"))
    assert mended.exit_code == 0, mended.output
    assert space.content == "café"
    assert kept(automesh) == []


def test_a_text_that_nobody_goes_on_with_is_set_aside_until_the_document_is_saved(
    automesh: Terminal, space: Space
) -> None:
    edits = automesh.folder / "state" / "edits"
    automesh("doc", "edit", PLACE, env=scripted(automesh.folder, "file.write_bytes(b'caf\\xe9'); sys.exit(1)"))
    anew = automesh("doc", "edit", PLACE, typed="n\n", env=scripted(automesh.folder, "pass"))
    assert "it is in" in anew.output
    assert "Nothing was changed" in anew.output
    assert [each.read_bytes() for each in edits.glob("*.mine")] == [b"caf\xe9"]
    assert automesh("doc", "edit", PLACE, env=scripted(automesh.folder, "file.write_text('new')")).exit_code == 0
    assert list(edits.iterdir()) == []


def test_a_question_that_nobody_answers_costs_no_text(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    automesh("doc", "edit", PLACE, env=scripted(automesh.folder, "file.write_text('mine'); sys.exit(1)"))
    space.drafts["doc_1"] = draft_service_pb2.Draft(draft_id="doc_1", content="mine", version=1)
    interrupted = automesh("doc", "edit", PLACE, env=scripted(automesh.folder, "file.write_text('overwritten')"))
    assert interrupted.exit_code == 1
    [file] = kept(automesh)
    assert file.read_text() == "mine"
    assert "doc_1" in space.drafts


def test_a_file_that_came_back_empty_is_not_saved_unasked(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    done = automesh("doc", "edit", PLACE, env=scripted(automesh.folder, "file.write_text('')"))
    assert (done.exit_code, "The text is empty" in done.output) == (3, True)
    assert gateway.requests("UpdateDocument") == []


def test_an_editor_that_removes_the_file_has_saved_nothing(
    automesh: Terminal, gateway: ScriptedGateway, space: Space
) -> None:
    done = automesh("doc", "edit", PLACE, env=scripted(automesh.folder, "file.unlink()"))
    assert "nothing is saved" in str(done.exception)
    assert gateway.requests("UpdateDocument") == []


def test_ctrl_c_in_the_editor_is_the_editors_own(automesh: Terminal, space: Space) -> None:
    does = "os.kill(os.getppid(), signal.SIGINT)\nfile.write_text('typed after it')"
    done = automesh("doc", "edit", PLACE, env=scripted(automesh.folder, does))
    assert done.exit_code == 0, done.output
    assert space.content == "typed after it"


@pytest.mark.parametrize("given", ["guides/start.md", ":x", "handbook:"])
def test_a_place_without_its_space_is_explained(automesh: Terminal, given: str) -> None:
    done = automesh("doc", "edit", given)
    assert "SPACE:PATH" in getattr(done.exception, "next_step", "")


def test_markers_are_those_of_a_merge_and_nothing_else() -> None:
    assert has_markers(CONFLICT)
    assert not has_markers("Title\n=======\n\na << b >> c\n<<<<<<<<\n")
