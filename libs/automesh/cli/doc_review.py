"""`automesh doc review ...`: changes of a branch, looked at before they are merged."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_branch import show_differences
from automesh.cli.doc_places import Limit, Message, Space, SpaceName, word
from automesh.cli.errors import CliError
from automesh.cli.output import age, console, literal, print_json, table

app = typer.Typer(help="Reviews: changes of a branch, looked at before they are merged.", no_args_is_help=True)
ReviewId = Annotated[str, typer.Argument(metavar="REVIEW", help="Which review.")]
STATES = ("open", "merged", "closed")
_STYLES = {"open": "blue", "merged": "green", "closed": "yellow", "approved": "green", "changes requested": "red"}


@app.command()
def propose(
    context: typer.Context,
    space: SpaceName,
    branch: Annotated[str, typer.Argument(help="The branch that is to be merged.")],
    title: Annotated[str, typer.Option("--title", "-t", help="What it is about.")],
    description: Annotated[str, typer.Option("--description", "-d", help="Why.")] = "",
    target: Annotated[str, typer.Option("--into", help="Into which branch.", show_default="main")] = "",
    reviewer: Annotated[list[str] | None, typer.Option("--reviewer", "-r", help="Ask this person. Repeat it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Propose to merge a branch.

    Example: automesh doc review propose handbook release-2 --title "Release 2" --reviewer ann
    """
    body = {"space": space, "branch": branch, "target": target, "title": title, "description": description,
            "reviewers": reviewer or []}  # fmt: skip
    made = api_of(context).post("/reviews", body)
    if as_json:
        print_json(made)
        return
    console.print(literal(f"{made['reviewId']} is open: {_missing(made)}"))
    console.print(literal(f"Look at it: automesh doc review show {made['reviewId']}", "dim"), soft_wrap=True)


@app.command("list")
def list_reviews(
    context: typer.Context,
    space: Space = "",
    state: Annotated[str, typer.Option("--state", help="Only such: open, merged, closed.")] = "",
    reviewer: Annotated[str, typer.Option("--reviewer", "-r", help="Only those this person was asked for.")] = "",
    limit: Limit = 30,
    as_json: AsJson = False,
) -> None:
    """List reviews, the latest change first."""
    if state and state not in STATES:
        raise CliError(f"--state {state!r} is none of {', '.join(STATES)}")
    wanted = f"REVIEW_STATE_{state.upper()}" if state else ""
    query = {"space": space, "state": wanted, "reviewer": reviewer, "pageSize": limit}
    found = api_of(context).get("/reviews", **query).get("reviews", [])
    if as_json:
        print_json(found)
        return
    columns = ["REVIEW", "STATE", "SPACE", "BRANCH", "APPROVED", "CHANGED", "BY", "TITLE"]
    console.print(table(columns, map(_review_row, found)))


@app.command()
def show(context: typer.Context, review: ReviewId, as_json: AsJson = False) -> None:
    """Show a review: what it changes, and what people think of it."""
    answer = api_of(context).get(review_path(review))
    if as_json:
        print_json(answer)
        return
    found = answer["review"]
    head = f"  {found['reviewId']}  {found.get('space', '')}: {found.get('branch', '')} -> {found.get('target', '')}"
    console.print(Text.assemble(literal(found.get("title", ""), "bold"), literal(head, "dim")))
    if found.get("description"):
        console.print(literal(found["description"]))
    state = _word(found.get("state", ""), "REVIEW_STATE_")
    console.print(Text.assemble(state, literal(f"  by {found.get('author', '')}; {_missing(found)}")))
    if judgements := found.get("judgements"):
        console.print(table(["REVIEWER", "SAYS", "AGE", "WHY"], map(_judgement_row, judgements)))
    show_differences(answer.get("differences", []))


@app.command()
def approve(context: typer.Context, review: ReviewId, message: Message = "", as_json: AsJson = False) -> None:
    """Say that a review may be merged, as the branch is now."""
    _judge(context, review, "VERDICT_APPROVED", message, as_json=as_json)


@app.command()
def reject(
    context: typer.Context,
    review: ReviewId,
    message: Annotated[str, typer.Option("--message", "-m", help="What must change.")],
    as_json: AsJson = False,
) -> None:
    """Say that it must change first; it cannot be merged while that stands."""
    _judge(context, review, "VERDICT_CHANGES_REQUESTED", message, as_json=as_json)


@app.command()
def merge(
    context: typer.Context,
    review: ReviewId,
    message: Message = "",
    delete_branch: Annotated[bool, typer.Option("--delete-branch", help="Remove the branch afterwards.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge, all documents or none."""
    answer = api_of(context).post(f"{review_path(review)}:merge", {"message": message, "deleteBranch": delete_branch})
    if as_json:
        print_json(answer)
        return
    found = answer["review"]
    count = len(answer.get("revisions", []))
    console.print(literal(f"{found.get('branch', '')} is merged into {found.get('target', '')}: {count} documents"))


@app.command()
def close(context: typer.Context, review: ReviewId, message: Message = "", as_json: AsJson = False) -> None:
    """End a review without merging."""
    answer = api_of(context).post(f"{review_path(review)}:close", {"message": message})
    if as_json:
        print_json(answer)
    else:
        console.print(literal(f"{review} is closed"))


def review_path(review_id: str) -> str:
    """Where a review is."""
    return f"/reviews/{quote(review_id, safe='')}"


def _review_row(review: Json) -> list[str | Text]:
    return [
        review["reviewId"],
        _word(review.get("state", ""), "REVIEW_STATE_"),
        review.get("space", ""),
        f"{review.get('branch', '')} -> {review.get('target', '')}",
        f"{review.get('approvals', 0)}/{review.get('requiredApprovals', 0)}",
        age(review.get("updateTime", "")),
        review.get("author", ""),
        review.get("title", ""),
    ]


def _judge(context: typer.Context, review: str, verdict: str, message: str, *, as_json: bool) -> None:
    answer = api_of(context).post(f"{review_path(review)}:judge", {"verdict": verdict, "message": message})
    if as_json:
        print_json(answer)
    else:
        console.print(literal(f"{review}: {_missing(answer)}"))


def _missing(review: Json) -> str:
    """2 of 3 approvals, 1 open comment."""
    given, needed = int(review.get("approvals", 0)), int(review.get("requiredApprovals", 0))
    said = [f"{given} of {needed} approvals" if needed else f"{given} approvals, none is required"]
    if comments := int(review.get("openComments", 0)):
        said.append(f"{comments} open comment{'s' * (comments > 1)}")
    return ", ".join(said)


def _judgement_row(judgement: Json) -> list[str | Text]:
    verdict = _word(judgement.get("verdict", ""), "VERDICT_")
    if judgement.get("outdated"):
        verdict = Text.assemble(verdict, (" (the branch has changed since)", "dim"))
    return [judgement.get("reviewer", ""), verdict, age(judgement.get("time", "")), judgement.get("message", "")]


def _word(value: str, prefix: str) -> Text:
    said = word(value, prefix)
    return literal(said, _STYLES.get(said, "white"))
