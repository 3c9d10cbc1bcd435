"""How the CLI shows things: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 140
"""Without a terminal nothing should be cut: ids are copied from what is printed."""

LEAST_COLUMN = 10
"""Characters to which a column may be folded."""

console = Console() if Console().is_terminal else Console(width=PIPED_WIDTH)
errors = Console(stderr=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal (escape sequences, writing direction); tabs and ends of lines may stay."""

STATUS_STYLE = {
    "SCHEDULED": "cyan",
    "QUEUED": "cyan",
    "RUNNING": "blue",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "SERVING": "green",
    "DEGRADED": "yellow",
    "NOT_SERVING": "red",
}


def print_json(value: Any) -> None:
    """Plain JSON on standard output, the same with and without a terminal."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def short(status: str) -> str:
    """TASK_STATUS_RUNNING -> RUNNING."""
    for prefix in ("TASK_STATUS_", "HEALTH_STATUS_", "RUN_STATE_"):
        status = status.removeprefix(prefix)
    return status or "?"


def literal(text: object, style: str = "") -> Text:
    """Somebody else's words: never read as markup, and unable to steer the terminal."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)), style)


def coloured(status: str) -> Text:
    """A status in its colour."""
    name = short(status)
    return literal(name, STATUS_STYLE.get(name, "white"))


def age(time: str) -> str:
    """How long ago an RFC 3339 time was, in the largest whole unit: "12 s", "5 min", "3 h", "2 d"."""
    if not time:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str = "") -> Table:
    """A table in the house's style. Cells are shown as they are, whatever brackets are in them.

    On a terminal that is too narrow for it each row becomes some lines, with the column's name before its cell.
    """
    cells = [[cell if isinstance(cell, Text) else literal(cell) for cell in row] for row in rows]
    if console.is_terminal and _least_width(cells) > console.width:
        return _stacked(columns, cells, title)
    made = Table(title=title or None, box=None, header_style="bold", pad_edge=False, show_header=any(columns))
    for number, column in enumerate(columns):
        made.add_column(column, no_wrap=number == 0, overflow="fold")  # the first column names the thing: never cut
    for row in cells:
        made.add_row(*row)
    return made


def _least_width(cells: Sequence[Sequence[Text]]) -> int:
    """Of a table that can be read: the first column whole, and some characters of each other one."""
    widths: list[int] = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=False)]
    return sum(widths[:1]) + sum(min(width, LEAST_COLUMN) + 1 for width in widths[1:])


def _stacked(columns: Sequence[str], cells: Sequence[Sequence[Text]], title: str) -> Table:
    made = Table(title=title or None, box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for number, row in enumerate(cells):
        if number:
            made.add_row("", "")
        for column, cell in zip(columns, row, strict=False):
            if cell.plain:
                made.add_row(literal(column), cell)
    return made
