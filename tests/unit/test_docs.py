"""The documentation keeps step with the code: links lead somewhere, commands and their options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from automesh.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)(?:#[^)]*)?\)")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)(?=[ `\n]|$)", re.MULTILINE)
CODE = re.compile(r"^```[a-z]*\n.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
SETTING = re.compile(r"\bAUTOMESH_[A-Z0-9_]*[A-Z0-9]\b")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[|(;&]|\bexport\b.*?\()\s*(?:[A-Z_]+=\S+ )*automesh (?P<words>[^|)#;&\n]*)", re.MULTILINE)

SET_OTHERWISE = {"AUTOMESH_BASE", "AUTOMESH_ORCHESTRATOR"}
"""Read by a tool of this repository, and by an example."""


def commands(text: str) -> Iterator[list[str]]:
    """The words after `automesh` in the shell blocks of a page."""
    for block in BLOCK.findall(text):
        for match in COMMAND.finditer(block.replace("\\\n", " ")):
            yield shlex.split(match["words"])


def problem(words: list[str]) -> str:
    """What is wrong with a command; empty when nothing is."""
    command: Any = typer.main.get_command(cli)
    expects_value = False
    for word in words:
        if expects_value:
            expects_value = False
        elif word.startswith("-"):
            name = word.split("=")[0]
            option = next((each for each in command.params if name in [*each.opts, *each.secondary_opts]), None)
            if option is None and name != "--help":
                return f"automesh {' '.join(words)}: {command.name} has no option {name}"
            expects_value = option is not None and not option.is_flag and "=" not in word
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"automesh {' '.join(words)}: there is no command {word}"
            command = command.commands[word]
    return ""


def test_pages_and_commands_are_found_at_all() -> None:
    assert len(PAGES) > 10
    assert len([words for page in PAGES for words in commands(page.read_text())]) > 20


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = LINK.findall(CODE.sub("", page.read_text()))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_option_exists(page: Path) -> None:
    assert [wrong for words in commands(page.read_text()) if (wrong := problem(words))] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    named = {target for code in CODE.findall(page.read_text()) for target in MAKE.findall(code)}
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_setting_exists(page: Path) -> None:
    known = set(SETTING.findall((ROOT / "docs" / "reference" / "settings.md").read_text())) | SET_OTHERWISE
    assert set(SETTING.findall(page.read_text())) - known == set()


@pytest.mark.parametrize("name", ["pyproject.toml", "our_networks.py"])
def test_the_plug_in_that_is_shown_is_the_one_that_is_there(name: str) -> None:
    shown = (ROOT / "docs" / "howto" / "train-a-model.md").read_text()
    assert f"\n{(ROOT / 'docs' / 'examples' / 'plugin' / name).read_text()}```\n" in shown


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("automesh taks submit noop", "there is no command taks"),
        ("KEY=$(automesh key create ci --permision x)", "has no option --permision"),
        ("automesh logs --json | automesh nothing", "there is no command nothing"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str, why: str) -> None:
    wrong = [problem(words) for words in commands(f"```sh\n{line}\n```\n")]
    assert any(why in each for each in wrong)


def test_pages_and_examples_are_in_the_index() -> None:
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text()
    pages = [page for folder in ("howto", "reference", "explanation") for page in (docs / folder).glob("*.md")]
    named = [
        str(path.relative_to(docs)) for path in [*pages, *(docs / "examples").iterdir()] if path.name[0] not in "._"
    ]
    assert [path for path in named if path not in index] == []
