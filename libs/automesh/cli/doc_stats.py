"""`automesh doc stats|readers`: what is read, what is looked for in vain, and what has grown old."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.context import AsJson, api_of
from automesh.cli.doc_places import Document, Limit, Space, SpaceName, document_path, find_document, space_path
from automesh.cli.output import age, console, literal, print_json, table

BAR, SHORTEST_BAR = 30, 8
"""Characters of the longest bar, and of that on a narrow terminal."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_DAYS = "▁▂▃▄▅▆▇█"


PANEL = "Read"


def register(app: typer.Typer) -> None:
    """Adds the commands to `automesh doc`."""
    app.command(rich_help_panel=PANEL)(stats)
    app.command(rich_help_panel=PANEL)(readers)


def stats(
    context: typer.Context,
    space: SpaceName,
    days: Annotated[int, typer.Option("--days", "-d", min=1, max=730, help="Up to today.")] = 30,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Entries of each list.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the figures of a space: views, searches in vain, pages that are due for a review, broken links.

    Example: automesh doc stats handbook --days 90
    """
    found = api_of(context).get(f"{space_path(space)}/statistics", days=days, pageSize=limit)
    if as_json:
        print_json(found)
        return
    by_day = found.get("days", [])
    console.print(literal(f"{space}: {found.get('documents', 0)} documents, the last {days} days", "bold"))
    rows = [
        [label, str(sum(int(each.get(key, 0)) for each in by_day)), sparks([int(each.get(key, 0)) for each in by_day])]
        for label, key in (
            ("views", "views"),
            ("by robots", "robotViews"),
            ("searches", "searches"),
            ("edits", "edits"),
        )
    ]
    console.print(table(["", "", ""], rows))
    lists = (
        ("READ MOST", found.get("mostRead", []), "path"),
        ("CHANGED MOST", found.get("mostEdited", []), "path"),
        ("LOOKED FOR IN VAIN", found.get("withoutResults", []), "query"),
        ("FOUND, BUT NOT OPENED", found.get("withoutClicks", []), "query"),
        ("BROKEN LINKS", found.get("brokenLinks", []), "path"),
    )
    for title, entries, key in lists:
        if entries:
            console.print(bars(title, [(each.get(key, ""), int(each.get("count", 0))) for each in entries]))
    if stale := found.get("stale"):
        _show_stale(stale)


def readers(
    context: typer.Context, document: Document, space: Space = "", limit: Limit = 50, as_json: AsJson = False
) -> None:
    """Show who has read a document, and who has confirmed it."""
    api = api_of(context)
    found = find_document(api, document, space=space)
    read = api.get(f"{document_path(found['documentId'])}/readers", pageSize=limit).get("readers", [])
    if as_json:
        print_json(read)
        return
    rows = [
        [each.get("user", ""), age(each.get("lastTime", "")), each.get("confirmedRevision", ""),
         Text("an older one", "yellow") if each.get("outdated") else ""]
        for each in read
    ]  # fmt: skip
    console.print(table(["READER", "LAST", "CONFIRMED", ""], rows))


def sparks(counts: Sequence[int]) -> str:
    """A mark a day: ▁▃█."""
    most = max(counts, default=0)
    if not most:
        return ""
    steps = len(_DAYS) - 1
    return "".join(_DAYS[-(-count * steps // most)] for count in counts)


def bars(title: str, entries: Sequence[tuple[str, int]]) -> Table:
    """A bar for each entry, the longest for the greatest count."""
    most = max((count for _, count in entries), default=0) or 1
    names = max((literal(name).cell_len for name, _ in entries), default=0)
    length = max(SHORTEST_BAR, min(BAR, console.width - max(names, len(title)) - len(str(most)) - 4))
    rows: list[list[str | Text]] = [
        [literal(name), str(count), Text(bar(count / most, length), "cyan")] for name, count in entries
    ]
    return table([title, "", ""], rows)


def bar(share: float, length: int = BAR) -> str:
    """A bar of `length` characters for 1.0, in eighths of a character."""
    whole, eighths = divmod(round(share * length * 8), 8)
    return "█" * whole + (_EIGHTHS[eighths] if eighths else "")


def _show_stale(stale: Sequence[Json]) -> None:
    rows = [
        [each.get("path", ""), each.get("owner", ""), age(each.get("updateTime", "")), each.get("dueTime", "")[:10]]
        for each in stale
    ]
    console.print(table(["DUE FOR A REVIEW", "OWNER", "CHANGED", "WAS DUE"], rows))
