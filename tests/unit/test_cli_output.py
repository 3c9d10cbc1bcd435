"""What others wrote is shown as it is: no markup, no steering of the terminal, no number that JSON lacks."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from automesh.cli import output
from automesh.cli.demo import Watched, _screen
from automesh.cli.output import coloured, literal, table
from automesh.cli.tasks import _input


def shown(what: object, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(what)
    return out.getvalue()


def test_a_table_shows_brackets_of_others_as_they_are() -> None:
    text = shown(table(["A", "B"], [["[/foo] [red]x", coloured("TASK_STATUS_RUNNING")]]))
    assert "[/foo] [red]x" in text
    assert "RUNNING" in text


def test_words_of_others_cannot_steer_the_terminal() -> None:
    text = shown(literal("a\x1b]0;title\x07b\u202ec\x9b2J\nd\te"))
    assert not set(text) & set("\x1b\x07\u202e\x9b")
    assert text.startswith("a\N{REPLACEMENT CHARACTER}]0;title")
    assert "\nd" in text


def test_the_demo_shows_every_figure_in_a_narrow_terminal() -> None:
    watched = Watched("packaging.specifiers", "task_1", lines=["[/foo] " + "long " * 40])
    watched.task = {"status": "TASK_STATUS_RUNNING", "progress": {"fraction": 0.4, "message": "[b]" + "words " * 20}}
    watched.started, watched.ended = 0.0, 280.0
    text = shown(_screen([watched]))
    assert all(part in text for part in ("packaging.specifiers", "RUNNING", " 40%", "280 s", "[b]", "[/foo]"))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999"])
def test_an_input_that_json_has_no_number_for_is_text(value: str) -> None:
    assert _input([f"seconds={value}"], None) == {"seconds": value}


def test_a_table_that_does_not_fit_is_told_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["doc_01m8csycyh9qqpd3fe0qh9y", "guides/a-long-name.md", "A title", ""], ["doc_2", "日本語.md", "B", "x"]]
    monkeypatch.setattr(output, "console", Console(width=40, force_terminal=True))
    narrow = shown(table(["DOCUMENT", "PATH", "TITLE", "TAGS"], rows), width=40)
    assert "PATH      guides/a-long-name.md" in narrow
    assert narrow.count("TAGS") == 1, "what is empty needs no line"
    assert max(map(len, narrow.splitlines())) <= 40
    assert "DOCUMENT" in shown(table(["DOCUMENT", "AGE"], [["doc_1", "3 s"]]), width=40).splitlines()[0]
    monkeypatch.setattr(output, "console", Console(width=40, force_terminal=False))
    assert "PATH" in shown(table(["DOCUMENT", "PATH", "TITLE", "TAGS"], rows), width=140).splitlines()[0]
