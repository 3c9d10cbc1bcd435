"""`automesh doc branch ...`: lines of work on a whole space."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_places import Limit, SpaceName, space_path, word
from automesh.cli.output import age, console, literal, print_json, table

app = typer.Typer(help="Branches: lines of work on a whole space.", no_args_is_help=True)
BranchName = Annotated[str, typer.Argument(metavar="BRANCH", help="Which branch.")]


@app.command()
def create(
    context: typer.Context,
    space: SpaceName,
    branch: Annotated[str, typer.Argument(help="Its name, for example release-2.")],
    base: Annotated[str, typer.Option("--base", help="Where it begins.", show_default="main")] = "",
    as_json: AsJson = False,
) -> None:
    """Begin a branch where another stands now."""
    made = api_of(context).post(f"{space_path(space)}/branches", {"branch": branch, "base": base})
    if as_json:
        print_json(made)
        return
    console.print(literal(f"the branch {branch} begins at {made.get('base') or 'main'}"))
    console.print(literal(f"Propose it later: automesh doc review propose {space} {branch}", "dim"), soft_wrap=True)


@app.command("list")
def list_branches(context: typer.Context, space: SpaceName, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List branches, the latest change first."""
    found = api_of(context).get(f"{space_path(space)}/branches", pageSize=limit).get("branches", [])
    if as_json:
        print_json(found)
        return
    rows = [
        [each["branch"], each.get("base", ""), str(each.get("documentCount", 0)), age(each.get("updateTime", "")),
         each.get("createdBy", "")]
        for each in found
    ]  # fmt: skip
    console.print(table(["BRANCH", "FROM", "DOCUMENTS", "CHANGED", "BY"], rows))


@app.command()
def compare(
    context: typer.Context,
    space: SpaceName,
    branch: BranchName,
    base: Annotated[str, typer.Option("--base", help="With which branch.", show_default="main")] = "",
    as_json: AsJson = False,
) -> None:
    """List the documents in which two branches differ."""
    path = f"{space_path(space)}/branches/{quote(branch, safe='')}:compare"
    found = api_of(context).every(path, "differences", base=base)
    if as_json:
        print_json(found)
        return
    show_differences(found)


@app.command()
def delete(context: typer.Context, space: SpaceName, branch: BranchName) -> None:
    """Remove a branch; its revisions stay."""
    api_of(context).delete(f"{space_path(space)}/branches/{quote(branch, safe='')}")
    console.print(literal(f"the branch {branch} is gone"))


def show_differences(found: list[Json]) -> None:
    """A line for each document."""
    if not found:
        console.print("They do not differ.")
        return
    rows: list[list[str | Text]] = [
        [each.get("path", ""), word(each.get("change", ""), "CHANGE_"),
         Text("both changed it", "yellow") if each.get("bothChanged") else "", each.get("documentId", "")]
        for each in found
    ]  # fmt: skip
    console.print(table(["PATH", "DID", "", "DOCUMENT"], rows))
