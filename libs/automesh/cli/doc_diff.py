"""Differences in colour: as `diff -u`, in two columns, or with the words that changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.output import console, literal

UNIFIED, SIDE_BY_SIDE, WORDS = "DIFF_FORMAT_UNIFIED", "DIFF_FORMAT_SIDE_BY_SIDE", "DIFF_FORMAT_WORDS"
_LINES = {"+": "green", "-": "red", "@": "cyan"}
_REMOVED, _ADDED = "red", "green"
_REMOVED_WORD, _ADDED_WORD = "bold red reverse", "bold green reverse"
_NUMBER = 5


def show(answer: Json, shape: str, *, side_by_side: bool, width: int) -> None:
    """Prints an answer of :diff; `width` is that of the terminal, in characters."""
    before, after = answer.get("from") or "nothing", answer.get("to", "")
    counts = Text.assemble(
        (f"+{answer.get('linesAdded', 0)}", "green"), " ", (f"-{answer.get('linesRemoved', 0)}", "red")
    )
    console.print(Text.assemble(literal(f"{before} -> {after}  ", "bold"), counts))
    if shape == UNIFIED:
        for line in unified(answer.get("unified", "")):
            console.print(line, soft_wrap=True)
    elif side_by_side:
        console.print(columns(answer.get("rows", []), width))
    else:
        for line in words(answer.get("rows", [])):
            console.print(line, soft_wrap=True)


def unified(text: str) -> Iterable[Text]:
    """The lines of `diff -u` in their colours."""
    for line in text.splitlines():
        head = line.startswith(("+++", "---"))
        yield literal(line, "bold" if head else _LINES.get(line[:1], ""))


def words(rows: Sequence[Json]) -> Iterable[Text]:
    """A line for each row; a changed one takes two, with what changed in it marked."""
    for row in rows:
        kind = row.get("kind", "").removeprefix("ROW_KIND_")
        if kind == "GAP":
            yield _gap(row)
        elif kind == "EQUAL":
            yield literal(f"  {row.get('right', '')}")
        if kind in ("REMOVED", "CHANGED"):
            yield Text.assemble(("- ", _REMOVED), marked(row, "left", _REMOVED, _REMOVED_WORD))
        if kind in ("ADDED", "CHANGED"):
            yield Text.assemble(("+ ", _ADDED), marked(row, "right", _ADDED, _ADDED_WORD))


def columns(rows: Sequence[Json], width: int) -> Table:
    """Both sides beside each other."""
    side = max(20, (width - 2 * _NUMBER - 4) // 2)
    grid = Table.grid(padding=(0, 1))
    for size in (_NUMBER, side, _NUMBER, side):
        grid.add_column(width=size, overflow="fold", justify="right" if size == _NUMBER else "left")
    for row in rows:
        kind = row.get("kind", "").removeprefix("ROW_KIND_")
        if kind == "GAP":
            grid.add_row("", _gap(row), "", "")
            continue
        left = marked(row, "left", "" if kind == "EQUAL" else _REMOVED, _REMOVED_WORD)
        right = marked(row, "right", "" if kind == "EQUAL" else _ADDED, _ADDED_WORD)
        grid.add_row(_number(row, "leftLine"), left, _number(row, "rightLine"), right)
    return grid


def marked(row: Json, side: str, style: str, word_style: str) -> Text:
    """The line of one side, with what changed in it. Spans count characters (code points)."""
    text = literal(row.get(side, ""), style)
    for span in row.get(f"{side}Changes", []):
        text.stylize(word_style, int(span.get("start", 0)), int(span.get("end", 0)))
    return text


def _gap(row: Json) -> Text:
    return literal(f"⋯ {row.get('leftLine', 0)} equal lines", "dim")


def _number(row: Json, key: str) -> Text:
    number = int(row.get(key, 0))
    return literal(str(number) if number else "", "dim")
