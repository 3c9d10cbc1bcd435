"""`automesh doc comment ...`: what people say about documents and reviews."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from automesh.cli.api import Api, Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_places import Branch, Space, find_document
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json

app = typer.Typer(help="Comments on documents and reviews.", no_args_is_help=True)
CommentId = Annotated[str, typer.Argument(metavar="COMMENT", help="Which comment.")]
About = Annotated[
    str,
    typer.Argument(metavar="DOCUMENT", help="A document: its id, SPACE:PATH, or PATH with --space; or a review's id."),
]


@app.command()
def add(
    context: typer.Context,
    document: About,
    text: Annotated[str, typer.Argument(help='What is said, Markdown; "@name" tells somebody.')],
    on: Annotated[str, typer.Option("--on", help="The part of the text that is meant, word for word.")] = "",
    answer: Annotated[str, typer.Option("--answer", help="The comment that this answers.")] = "",
    space: Space = "",
    branch: Branch = "",
    as_json: AsJson = False,
) -> None:
    """Say something about a document, a part of it, or a review.

    Example: automesh doc comment add handbook:guides/start.md "is this still so, @ann?" --on "port 8443"
    """
    api = api_of(context)
    body: Json = {"text": text, "threadId": answer, "branch": branch}
    if _is_review(document):
        body["reviewId"] = document
    else:
        found = find_document(api, document, space=space, branch=branch)
        body["documentId"] = found["documentId"]
        if on:
            body["anchor"] = _anchor(found, on)
    made = api.post("/comments", body)
    if as_json:
        print_json(made)
    else:
        console.print(literal(f"{made['commentId']} is said"))


@app.command("list")
def list_comments(
    context: typer.Context,
    document: About,
    every: Annotated[bool, typer.Option("--all", "-a", help="Threads that are done with, too.")] = False,
    space: Space = "",
    branch: Branch = "",
    as_json: AsJson = False,
) -> None:
    """Show what was said, thread by thread."""
    api = api_of(context)
    found = _comments(api, document, every=every, space=space, branch=branch)
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("Nobody has said anything.")
    for each in found:
        _show(each)


@app.command()
def resolve(
    context: typer.Context,
    comment: CommentId,
    reopen: Annotated[bool, typer.Option("--reopen", help="Open it again.")] = False,
) -> None:
    """Mark a thread as done with."""
    api_of(context).post(f"{_path(comment)}:resolve", {"reopen": reopen})
    console.print(literal(f"{comment} is {'open again' if reopen else 'done with'}"))


@app.command()
def delete(context: typer.Context, comment: CommentId) -> None:
    """Remove the text of a comment of yours; answers stay."""
    api_of(context).delete(_path(comment))
    console.print(literal(f"{comment} is gone"))


def _comments(api: Api, about: str, *, every: bool, space: str, branch: str) -> list[Json]:
    query = {"branch": branch, "includeResolved": "true" if every else ""}
    if _is_review(about):
        return api.every("/comments", "comments", reviewId=about, **query)
    found = find_document(api, about, space=space, branch=branch)
    return api.every("/comments", "comments", documentId=found["documentId"], **query)


def _anchor(document: Json, quoted: str) -> Json:
    content = document.get("content", "")
    start = content.find(quoted)
    if start < 0:
        raise CliError(
            f"{document['path']} does not contain {quoted!r}", next_step="Copy the words as they stand there"
        )
    if content.count(quoted) > 1:
        raise CliError(f"{quoted!r} stands there several times", next_step="Name more of the words around it")
    return {"revisionId": document["head"], "start": start, "end": start + len(quoted)}


def _show(comment: Json) -> None:
    indent = "  " if comment.get("threadId") else ""
    done = f"  done with, by {comment['resolvedBy']}" if comment.get("resolvedBy") else ""
    facts = f"  {age(comment.get('createTime', ''))} ago  {comment['commentId']}"
    anchor = comment.get("anchor", {})
    if anchor.get("quote") and not indent:
        lost = " (gone since)" if anchor.get("lost") else ""
        console.print(Text.assemble(literal(f"> {anchor['quote'][:200]}", "italic"), (lost, "yellow")))
    head = Text.assemble(indent, literal(comment.get("author", ""), "bold"), literal(facts, "dim"), (done, "green"))
    console.print(head, soft_wrap=True)
    for line in (comment.get("text") or "(removed)").splitlines():
        console.print(Text.assemble(indent, literal(line)), soft_wrap=True)


def _is_review(about: str) -> bool:
    return about.startswith("review_") and not set(about) & set(":/.")


def _path(comment_id: str) -> str:
    return f"/comments/{quote(comment_id, safe='')}"
