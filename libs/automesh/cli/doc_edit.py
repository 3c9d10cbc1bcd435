"""`automesh doc edit|drafts`: a document in one's own editor. Whatever happens, the text is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_editor import Editor, Scratch, has_markers
from automesh.cli.doc_merge import show_stale, stale_of, whole_merge
from automesh.cli.doc_pages import say_saved
from automesh.cli.doc_places import (
    DOCUMENT_NOT_FOUND,
    MAIN,
    Branch,
    Document,
    Message,
    Space,
    document_path,
    find_document,
    is_id,
    place_of,
)
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table
from automesh.core.ids import new_id

MENDED_IN_EDITOR = ("FINDINGS_REFUSED", "PAGE_TOO_LARGE", "PAGE_TOO_DEEP", "VALIDATION")
MAX_TRIES = 50
"""So often a text can come back to the editor; nobody wants to be asked for ever."""
EXIT_KEPT = 3


PANEL = "Write"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(edit)
    app.command(rich_help_panel=PANEL)(drafts)


def edit(
    context: typer.Context, document: Document, space: Space = "", branch: Branch = "", message: Message = ""
) -> None:
    """Write a document in your editor ($VISUAL or $EDITOR); one that is not there yet is made.

    When somebody else has saved meanwhile, you get both texts brought together, with markers where you must decide.
    Exit status 3 when you give up: your text is kept, as a draft and in a file, and the same command goes on with it.

    Example: automesh doc edit handbook:guides/start.md -m "port is 8443 now"
    """
    api = api_of(context)
    found = _found_or_new(api, document, space, branch)
    scratch = Scratch.of(api.target.state.folder, found)
    editing = _Editing(api, found, scratch, Editor.of_environment(), branch=branch, message=message)
    with scratch.held():
        editing.run()


def drafts(
    context: typer.Context,
    discard: Annotated[str, typer.Option("--discard", help="Throw this draft away.")] = "",
    as_json: AsJson = False,
) -> None:
    """List your drafts: texts that are kept and that nobody else sees. `automesh doc edit` goes on with one."""
    api = api_of(context)
    if discard:
        api.delete(_draft_path(discard))
        console.print(literal(f"the draft {discard} is gone"))
        return
    found = api.every("/drafts", "drafts")
    if as_json:
        print_json(found)
        return
    rows = [
        [each["draftId"], f"{each.get('space', '')}:{each.get('path', '')}", each.get("branch", "") or MAIN,
         age(each.get("updateTime", "")), "the document has moved on" if each.get("behind") else ""]
        for each in found
    ]  # fmt: skip
    console.print(table(["DRAFT", "DOCUMENT", "BRANCH", "AGE", ""], rows))


def _found_or_new(api: Api, given: str, space: str, branch: str) -> Json:
    try:
        return find_document(api, given, space=space, branch=branch)
    except CliError as error:
        if is_id(given) or error.told != DOCUMENT_NOT_FOUND:
            raise
    name, path = place_of(given, space)
    console.print(literal(f"{name}:{path} is not there yet: what you save makes it", "dim"))
    return {"space": name, "path": path, "content": "", "head": "", "documentId": ""}


class _Editing:
    """One document on its way from the editor to the space."""

    def __init__(
        self, api: Api, document: Json, scratch: Scratch, editor: Editor, *, branch: str, message: str
    ) -> None:
        self._api, self._document, self._scratch, self._editor = api, document, scratch, editor
        self._branch, self._message = branch, message
        self._head = str(document["head"])
        """What the text in the editor was made from; what is newer there is merged, never overwritten."""

    def run(self) -> None:
        """Edits until it is saved, or until the person has had enough; then the text is a draft and a file."""
        if not self._goes_on():
            self._scratch.write(str(self._document["content"]), self._head)
        for _ in range(MAX_TRIES):
            self._editor.edit(self._scratch.file)
            if self._is_done():
                return
            if not _confirmed("Open the editor again?"):
                break
        self._keep()
        raise typer.Exit(EXIT_KEPT)

    def _goes_on(self) -> bool:
        """Whether the file has what was left of an earlier attempt, and the person wants to go on with it."""
        draft = {} if self._scratch.exists() else self._draft()
        if draft.get("content"):
            self._scratch.write(str(draft["content"]), str(draft.get("base", "")))
        if not self._scratch.exists() or self._scratch.holds(self._document["content"]):
            return False
        if typer.confirm("There is a text of yours that was not saved. Go on with it?", default=True):
            self._head = self._scratch.base() or self._head
            return True
        aside = self._scratch.set_aside()
        console.print(literal(f"Until this document is saved it is in {aside}", "dim"), soft_wrap=True)
        self._forget_draft()
        return False

    def _is_done(self) -> bool:
        """Whether what the editor left is saved, or nothing was changed."""
        try:
            text = self._scratch.text()
        except CliError as error:
            console.print(literal(error.message, "red"), soft_wrap=True)
            return False
        if text == self._document["content"] and self._head == self._document["head"]:
            self._scratch.discard()
            console.print("Nothing was changed.")
            return True
        doubt = _doubt(text)
        if doubt and not _confirmed(f"{doubt} Save it like this?", default=False):
            return False
        answer = self._saved(text)
        if answer is None:
            return False
        self._done(answer)
        return True

    def _saved(self, text: str) -> Json | None:
        """The answer; None when the text is to be looked at again, as it then stands in the file."""
        try:
            return self._send(text)
        except CliError as error:
            stale = stale_of(error)
            if stale is None and error.told not in MENDED_IN_EDITOR:
                self._keep()
                raise
            if stale is None:
                console.print(literal(error.message, "red"), soft_wrap=True)
                return None
        return self._merged(stale, text)

    def _merged(self, stale: Mapping[str, Any], text: str) -> Json | None:
        self._save_draft(text)
        mine = self._scratch.keep_mine(text)
        merge = whole_merge(self._api, stale, text)
        show_stale(stale, merge)
        console.print(literal(f"Your text as you left it: {mine}", "dim"), soft_wrap=True)
        self._head = str(stale["head"])
        self._scratch.write(merge["content"], self._head)
        if merge.get("conflicts") or not _confirmed("Save both brought together?"):
            return None
        return self._saved(merge["content"])

    def _send(self, text: str) -> Json:
        body: Json = {"branch": self._branch, "content": text, "message": self._message, "requestId": new_id("once")}
        if not self._document["documentId"]:
            place = {"space": self._document["space"], "path": self._document["path"]}
            return self._api.post("/docs", body | place)
        return self._api.put(document_path(self._document["documentId"]), body | {"expectedHead": self._head})

    def _done(self, answer: Json) -> None:
        self._forget_draft()
        self._scratch.discard_all()
        say_saved(answer, "is saved")

    def _keep(self) -> None:
        """Nothing is lost: a file here, and a draft there if the platform can be reached."""
        try:
            where = "as a draft and " if self._save_draft(self._scratch.text()) else ""
        except CliError:
            where = ""  # no text that a draft could hold
        console.print(literal(f"Your text is kept {where}in {self._scratch.file}", "yellow"), soft_wrap=True)
        console.print(literal("Go on with it: the same command again", "dim"))

    @property
    def _draft_id(self) -> str:
        return str(self._document["documentId"]) or self._scratch.name

    def _draft(self) -> Json:
        try:
            return self._api.get(_draft_path(self._draft_id))
        except CliError:
            return {}  # none, or a person who may not keep any: the file is enough

    def _save_draft(self, text: str) -> bool:
        draft: Json = {
            "space": self._document["space"],
            "branch": self._branch or MAIN,
            "path": self._document["path"],
            "content": text,
            "base": self._head,
            "version": self._draft().get("version", "0"),
        }
        try:
            self._api.put(_draft_path(self._draft_id), draft)
        except CliError:
            return False
        return True

    def _forget_draft(self) -> None:
        if self._draft():
            self._api.delete(_draft_path(self._draft_id))


def _doubt(text: str) -> str:
    """What may have gone wrong in the editor; empty when nothing looks so."""
    if has_markers(text):
        return "There are conflict markers in the text."
    return "" if text.strip() else "The text is empty."


def _confirmed(question: str, *, default: bool = True) -> bool:
    """Without anybody to ask, no: what was typed stays where it is."""
    try:
        return typer.confirm(question, default=default)
    except typer.Abort:
        return False


def _draft_path(draft_id: str) -> str:
    return f"/drafts/{quote(draft_id, safe='')}"
