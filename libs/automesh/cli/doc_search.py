"""`automesh doc search|suggest`: what fits a few words best, with the place in the text where it does."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_places import Space
from automesh.cli.output import age, console, literal, print_json

MARK = "bold yellow"


PANEL = "Read"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(search)
    app.command(rich_help_panel=PANEL)(suggest)


def search(
    context: typer.Context,
    query: Annotated[list[str], typer.Argument(help='Words, identifiers, "a phrase in quotes".')],
    space: Space = "",
    tag: Annotated[str, typer.Option("--tag", "-t", help="Only with this tag.")] = "",
    author: Annotated[str, typer.Option("--author", "-a", help="Only last changed by this person.")] = "",
    since: Annotated[str, typer.Option("--since", help="Only changed since this day, 2026-01-31.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="At most so many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Look for documents; the best comes first, with its best section.

    Example: automesh doc search rotate the keys --space handbook
    """
    filters = {"space": space, "tag": tag, "author": author, "changedSince": _moment(since)}
    answer = api_of(context).get("/docs:search", query=" ".join(query), pageSize=limit, **filters)
    if as_json:
        print_json(answer)
        return
    for wrong, right in answer.get("corrections", {}).items():
        console.print(literal(f"No document has {wrong!r}: looked for {right!r}.", "yellow"))
    results = answer.get("results", [])
    if not results:
        console.print("Nothing was found. Fewer or other words may find it.")
        return
    for number, result in enumerate(results, 1):
        for line in result_lines(number, result, with_space=not space):
            console.print(line, soft_wrap=True)


def suggest(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(help="What was typed so far.")],
    space: Space = "",
    as_json: AsJson = False,
) -> None:
    """Say how a query may go on."""
    found = api_of(context).get("/docs:suggest", prefix=prefix, space=space).get("suggestions", [])
    if as_json:
        print_json(found)
        return
    for each in found:
        place = f"  {each['space']}:{each['path']}" if each.get("documentId") else ""
        console.print(Text.assemble(literal(each["text"]), literal(place, "dim")), soft_wrap=True)


def result_lines(number: int, result: Json, *, with_space: bool) -> list[Text]:
    """Title and section, where it is, and some of its text."""
    section = section_of(result)
    anchor = f"#{result['anchor']}" if result.get("anchor") else ""
    place = f"{result['space']}:{result['path']}" if with_space else result["path"]
    facts = "  ".join(filter(None, [", ".join(result.get("tags", [])), age(result.get("updateTime", ""))]))
    return [
        Text.assemble((f"{number:2} ", "dim"), literal(result.get("title", ""), "bold"), literal(section, "cyan")),
        Text.assemble("   ", literal(f"{place}{anchor}", "green"), literal(f"  {facts}", "dim")),
        Text.assemble("   ", snippet(result)),
    ]


def section_of(result: Json) -> str:
    """ " / Ports"; empty for the section that has the page's own title."""
    section = result.get("section", "")
    return f" / {section}" if section not in ("", result.get("title", "")) else ""


def snippet(result: Json) -> Text:
    """Some text, with what fits marked. Marks count characters (code points)."""
    text = literal(result.get("snippet", "").replace("\n", " "))
    for mark in result.get("marks", []):
        text.stylize(MARK, int(mark.get("start", 0)), int(mark.get("end", 0)))
    return text


def _moment(day: str) -> str:
    return day if not day or "T" in day else f"{day}T00:00:00Z"
