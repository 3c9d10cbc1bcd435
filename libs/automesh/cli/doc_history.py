"""`automesh doc log|diff|blame`: what became of a document, and by whom."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from automesh.cli import doc_diff
from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_places import (
    Branch,
    Document,
    Limit,
    Space,
    document_path,
    find_document,
    revision_of,
    word,
)
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table

_STYLES = {"create": "green", "delete": "red", "restore": "cyan", "merge": "magenta", "rename": "yellow"}


PANEL = "History"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(log)
    app.command(rich_help_panel=PANEL)(diff)
    app.command(rich_help_panel=PANEL)(blame)


def log(
    context: typer.Context,
    document: Annotated[
        str, typer.Argument(metavar="[DOCUMENT]", help="Its id, SPACE:PATH, or PATH with --space.")
    ] = "",
    text: Annotated[str, typer.Option("--text", help="Only revisions that brought this text in, or took it out.")] = "",
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="With --text: A and a are the same.")
    ] = False,
    author: Annotated[str, typer.Option("--author", "-a", help="Only of this person.")] = "",
    space: Space = "",
    branch: Branch = "",
    limit: Limit = 30,
    as_json: AsJson = False,
) -> None:
    """List the revisions of a document, the newest first; with --text, look through the history of a whole space.

    Examples: automesh doc log handbook:guides/start.md, automesh doc log --space handbook --text "port 8443"
    """
    api = api_of(context)
    if not document and not (text and space):
        raise CliError("of which document?", next_step="Name it, or look through a space: --space SPACE --text TEXT")
    found = find_document(api, document, space=space, branch=branch) if document else {}
    if text:
        query = {"space": space, "documentId": found.get("documentId", ""), "ignoreCase": "true" if ignore_case else ""}
        hits = api.get("/docs:searchHistory", text=text, pageSize=min(limit, 200), **query).get("hits", [])
        _show_hits(hits, as_json=as_json)
        return
    path = f"{document_path(found['documentId'])}/revisions"
    revisions = api.get(path, branch=branch, author=author, pageSize=limit).get("revisions", [])
    if as_json:
        print_json(revisions)
        return
    console.print(table(["REVISION", "AGE", "BY", "DID", "LINES", "WHY"], map(_row, revisions)))


def diff(
    context: typer.Context,
    document: Document,
    from_: Annotated[
        str, typer.Argument(metavar="[A]", help="The earlier: an id, or ~N for the Nth before the latest.")
    ] = "",
    to: Annotated[str, typer.Argument(metavar="[B]", help="The later.", show_default="the latest")] = "",
    words: Annotated[bool, typer.Option("--words", "-w", help="Show which words changed.")] = False,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", "-y", help="Both sides in columns.")] = False,
    context_lines: Annotated[int, typer.Option("--context", "-U", min=0, max=1000, help="Lines around a change.")] = 3,
    space: Space = "",
    branch: Branch = "",
    as_json: AsJson = False,
) -> None:
    """Compare any two revisions; without any, the latest with the one before it.

    Example: automesh doc diff handbook:guides/start.md '~3' --words
    """
    api = api_of(context)
    found = find_document(api, document, space=space, branch=branch)
    shape = doc_diff.WORDS if words else doc_diff.SIDE_BY_SIDE if side_by_side else doc_diff.UNIFIED
    query = {
        "from": revision_of(api, found, from_, branch=branch) if from_ else "",
        "to": revision_of(api, found, to, branch=branch) if to else "",
        "branch": branch,
        "format": shape,
        "context": context_lines,
    }
    answer = api.get(f"{document_path(found['documentId'])}:diff", **query)
    if as_json:
        print_json(answer)
    else:
        doc_diff.show(answer, shape, side_by_side=side_by_side, width=console.width)


def blame(
    context: typer.Context,
    document: Document,
    space: Space = "",
    branch: Branch = "",
    revision: Annotated[str, typer.Option("--revision", "-r", help="At this revision: an id, or ~N.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show who wrote each line, and with which revision."""
    api = api_of(context)
    found = find_document(api, document, space=space, branch=branch)
    path = document_path(found["documentId"])
    at = revision_of(api, found, revision, branch=branch) if revision else found["head"]
    answer = api.get(f"{path}:blame", branch=branch, revisionId=at)
    if as_json:
        print_json(answer)
        return
    if revision:
        found = api.get(path, branch=branch, revisionId=at)
    rows = _blamed(answer, found.get("content", "").splitlines())
    console.print(table(["REVISION", "BY", "AGE", "LINE", "TEXT"], rows))
    if answer.get("truncated"):
        console.print(
            "The history is longer than what was looked at: the oldest lines may be older still.", style="dim"
        )


def _row(revision: Json) -> list[str | Text]:
    did = word(revision.get("change", ""), "CHANGE_")
    others = revision.get("coAuthors", [])
    by = revision.get("author", "") + (f" +{len(others)}" if others else "")
    lines = Text.assemble(
        (f"+{revision.get('linesAdded', 0)}", "green"), " ", (f"-{revision.get('linesRemoved', 0)}", "red")
    )
    return [
        revision["revisionId"],
        age(revision.get("createTime", "")),
        by,
        literal(did, _STYLES.get(did, "")),
        lines,
        revision.get("message", ""),
    ]


def _show_hits(hits: list[Json], *, as_json: bool) -> None:
    if as_json:
        print_json(hits)
        return
    if not hits:
        console.print("No revision brought that text in or took it out.")
        return
    rows: list[list[str | Text]] = []
    for each in hits:
        revision, before, after = each["revision"], int(each.get("before", 0)), int(each.get("after", 0))
        change = Text(f"{before} -> {after}", "green" if after > before else "red")
        rows.append(
            [revision["revisionId"], age(revision.get("createTime", "")), revision.get("author", ""),
             revision.get("path", ""), change, each.get("line", "").strip()]
        )  # fmt: skip
    console.print(table(["REVISION", "AGE", "BY", "PATH", "TIMES", "LINE"], rows))


def _blamed(answer: Json, lines: list[str]) -> list[list[str | Text]]:
    by_id = {each["revisionId"]: each for each in answer.get("revisions", [])}
    rows: list[list[str | Text]] = []
    for number, each in enumerate(answer.get("ranges", [])):
        revision = by_id.get(each["revisionId"], {})
        style = "" if number % 2 else "dim"
        first = int(each["line"])
        for at in range(first, first + int(each["count"])):
            text = lines[at - 1] if at <= len(lines) else ""
            who = (each["revisionId"], revision.get("author", ""), age(revision.get("createTime", "")))
            cells = who if at == first else ("", "", "")
            rows.append([*(literal(cell, style) for cell in cells), str(at), literal(text)])
    return rows
