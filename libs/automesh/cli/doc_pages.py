"""`automesh doc list|show|new|mv|rm|trash|restore`: documents one by one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_files import text_of
from automesh.cli.doc_lint import show_findings
from automesh.cli.doc_places import (
    Branch,
    Document,
    Limit,
    Message,
    Space,
    SpaceName,
    document_path,
    find_document,
    is_id,
    place_of,
    revision_of,
    space_path,
)
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table

Revision = Annotated[str, typer.Option("--revision", "-r", help="As it was then: an id, or ~N for the Nth before.")]


PANEL = "Write"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command("list", rich_help_panel=PANEL)(list_documents)
    app.command(rich_help_panel=PANEL)(show)
    app.command(rich_help_panel=PANEL)(new)
    app.command(rich_help_panel=PANEL)(mv)
    app.command(rich_help_panel=PANEL)(rm)
    app.command(rich_help_panel=PANEL)(trash)
    app.command(rich_help_panel=PANEL)(restore)


def list_documents(
    context: typer.Context,
    space: Annotated[str, typer.Argument(metavar="[SPACE]", help="Of which space.", show_default="all")] = "",
    prefix: Annotated[str, typer.Option("--prefix", "-p", help="Only below this folder.")] = "",
    tag: Annotated[str, typer.Option("--tag", "-t", help="Only with this tag.")] = "",
    owner: Annotated[str, typer.Option("--owner", "-o", help="Only those this person answers for.")] = "",
    branch: Branch = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List documents by path.

    Example: automesh doc list handbook --prefix guides --tag release
    """
    query = {"space": space, "prefix": prefix, "tag": tag, "owner": owner, "branch": branch}
    answer = api_of(context).get("/docs", pageSize=limit, **query)
    found = answer.get("documents", [])
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("Nothing is there. Write something: [bold]automesh doc new SPACE:PATH[/bold]", highlight=False)
        return
    console.print(table(["DOCUMENT", "PATH", "TITLE", "TAGS", "CHANGED", "BY"], [_row(each, space) for each in found]))
    if answer.get("nextPageToken"):
        console.print(f"There are more: --limit {min(limit * 5, 1000)}", style="dim")


def show(
    context: typer.Context,
    document: Document,
    space: Space = "",
    branch: Branch = "",
    revision: Revision = "",
    raw: Annotated[bool, typer.Option("--raw", help="The Markdown as it is kept, for programs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a document.

    Example: automesh doc show handbook:guides/start.md --revision '~2'
    """
    api = api_of(context)
    found = find_document(api, document, space=space, branch=branch)
    if revision:
        wanted = revision_of(api, found, revision, branch=branch)
        found = api.get(document_path(found["documentId"]), branch=branch, revisionId=wanted)
    if as_json:
        print_json(found)
    elif raw or not console.is_terminal:
        sys.stdout.write(found.get("content", ""))
    else:
        _show(found)


def new(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="PLACE", help="SPACE:PATH, or PATH with --space.")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Its Markdown; - reads it from standard input.")
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Becomes the first heading of a text without one.")] = "",
    space: Space = "",
    branch: Branch = "",
    message: Message = "",
    as_json: AsJson = False,
) -> None:
    """Make a document of a file. (To write it in your editor: automesh doc edit PLACE.)

    Example: automesh doc new handbook:guides/start.md --file start.md -m "first draft"
    """
    name, path = place_of(place, space)
    content = text_of(file, sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()) if file else ""
    body = {"space": name, "path": path, "branch": branch, "content": content, "title": title, "message": message}
    made = api_of(context).post("/docs", body)
    if as_json:
        print_json(made)
        return
    say_saved(made, "is there")


def mv(
    context: typer.Context,
    document: Document,
    path: Annotated[str, typer.Argument(help="Its new path.")],
    space: Space = "",
    branch: Branch = "",
    message: Message = "",
    as_json: AsJson = False,
) -> None:
    """Move a document. Its history goes with it, and the old path leads to the new one."""
    api = api_of(context)
    found = find_document(api, document, space=space, branch=branch)
    body = {"path": path, "branch": branch, "expectedHead": found["head"], "message": message}
    answer = api.put(document_path(found["documentId"]), body)
    if as_json:
        print_json(answer)
        return
    say_saved(answer, f"was {found['path']}")


def rm(
    context: typer.Context,
    document: Document,
    space: Space = "",
    branch: Branch = "",
    message: Message = "",
    as_json: AsJson = False,
) -> None:
    """Put a document in the trash, from where it can be brought back for some time."""
    api = api_of(context)
    found = find_document(api, document, space=space, branch=branch)
    query = {"branch": branch, "expectedHead": found["head"], "message": message}
    answer = api.delete(document_path(found["documentId"]), **query)
    if as_json:
        print_json(answer)
        return
    console.print(literal(f"{found['path']} is in the trash"))
    console.print(literal(f"Bring it back: automesh doc restore {found['documentId']}", "dim"), soft_wrap=True)


def trash(
    context: typer.Context, space: SpaceName, branch: Branch = "", limit: Limit = 50, as_json: AsJson = False
) -> None:
    """List what lies in the trash of a space, what was deleted last first."""
    found = api_of(context).get(f"{space_path(space)}/trash", branch=branch, pageSize=limit).get("documents", [])
    if as_json:
        print_json(found)
        return
    rows = [
        [each["documentId"], each["path"], each.get("title", ""), age(each.get("deleteTime", ""))] for each in found
    ]
    console.print(table(["DOCUMENT", "PATH", "TITLE", "DELETED"], rows))


def restore(
    context: typer.Context,
    document: Document,
    to: Annotated[str, typer.Option("--to", help="To the content of this revision: an id, or ~N.")] = "",
    path: Annotated[str, typer.Option("--path", help="Where to, when its path is taken meanwhile.")] = "",
    space: Space = "",
    branch: Branch = "",
    message: Message = "",
    as_json: AsJson = False,
) -> None:
    """Bring a document back: out of the trash, or to an earlier revision. Nothing of its history is lost.

    Example: automesh doc restore handbook:guides/start.md --to '~1' -m "the rewrite was too early"
    """
    api = api_of(context)
    found = _even_trashed(api, document, space=space, branch=branch)
    body = {
        "branch": branch,
        "revisionId": revision_of(api, found, to, branch=branch) if to else "",
        "expectedHead": found["head"],
        "path": path,
        "message": message,
    }
    answer = api.post(f"{document_path(found['documentId'])}:restore", body)
    if as_json:
        print_json(answer)
        return
    console.print(literal(f"{answer['path']} is back, as {answer['head']}"))


def say_saved(answer: Json, what: str) -> None:
    """One line, and what validation has to say."""
    document = answer["document"]
    merged = ", merged with what others wrote meanwhile" if answer.get("merged") else ""
    console.print(literal(f"{document['path']} {what}{merged}  ({document['documentId']} at {document['head']})"))
    show_findings(answer.get("findings", []))


def _even_trashed(api: Api, given: str, *, space: str, branch: str) -> Json:
    """By id, by place, or by the place it had when it was deleted."""
    try:
        return find_document(api, given, space=space, branch=branch)
    except CliError as error:
        if is_id(given) or error.told not in ("DOCUMENT_NOT_FOUND", "DOCUMENT_TRASHED"):
            raise
        name, path = place_of(given, space)
        for each in api.get(f"{space_path(name)}/trash", branch=branch, pageSize=1000).get("documents", []):
            if path in (each["path"], each["path"].removesuffix(".md")):
                return dict(each)
        raise


def _row(document: Json, space: str) -> list[str | Text]:
    place = document["path"] if space else f"{document['space']}:{document['path']}"
    return [
        document["documentId"],
        place,
        document.get("title", ""),
        ", ".join(document.get("tags", [])),
        age(document.get("updateTime", "")),
        document.get("updatedBy", ""),
    ]


def _show(document: Json) -> None:
    from rich.markdown import Markdown  # noqa: PLC0415 - only this command needs it

    place = literal(f"{document['space']}:{document['path']}", "bold")
    facts = f"  {document['documentId']}  {document['head']}  {document.get('updatedBy', '')}"
    console.print(Text.assemble(place, literal(f"{facts}, {age(document.get('updateTime', ''))} ago", "dim")))
    console.rule(style="dim")
    console.print(Markdown(literal(_body(document.get("content", ""))).plain, hyperlinks=False))


def _body(content: str) -> str:
    """Without front matter."""
    if not content.startswith("---\n"):
        return content
    _, end, body = content[4:].partition("\n---\n")
    return body if end else content
