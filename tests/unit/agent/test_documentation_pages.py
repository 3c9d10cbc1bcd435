"""From a folder of sources to a folder of pages: no page takes the place of another, no link leads nowhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.agent.reference.work import work


def written(folder: Path, sources: Mapping[str, str]) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The result, and the pages by name."""
    for name, text in {"__init__.py": "", **sources}.items():
        file = folder / "pkg" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    job = {"package": "pkg", "file": str(folder / "pkg" / "__init__.py")}
    (folder / "job.json").write_text(json.dumps(job))
    result = work(folder)
    return result, {each["name"]: (folder / "out" / each["name"]).read_text() for each in result["files"]}


def test_a_module_called_index_does_not_take_the_page_of_its_package(tmp_path: Path) -> None:
    _, pages = written(tmp_path, {"__init__.py": '"""The package."""', "index.py": '"""The module."""'})
    assert "The package." in pages["index.md"]
    assert "The module." in pages["index_.md"]
    assert "(index_.md)" in pages["index.md"]


def test_no_page_has_the_name_of_a_device(tmp_path: Path) -> None:
    _, pages = written(tmp_path, {"aux.py": '"""A."""', "con/__init__.py": '"""C."""', "con/lpt1.py": '"""L."""'})
    assert sorted(pages) == ["aux_.md", "con_/index.md", "con_/lpt1_.md", "index.md"]


def test_a_module_without_anything_to_tell_has_no_page_and_no_links_to_it(tmp_path: Path) -> None:
    sources = {
        "__init__.py": "from . import facade, told",
        "facade.py": "from .told import f",
        "told.py": "def f(): ...",
    }
    _, pages = written(tmp_path, sources)
    assert sorted(pages) == ["index.md", "told.md"]
    assert "facade.md" not in pages["index.md"]
    assert "(told.md)" in pages["index.md"]


def test_what_no_document_can_have_is_not_in_a_page(tmp_path: Path) -> None:
    _, pages = written(tmp_path, {"a.py": '"""One\\x00two\\x1b[31m three."""'})
    assert "One\N{REPLACEMENT CHARACTER}two\N{REPLACEMENT CHARACTER}[31m three." in pages["a.md"]


def test_a_module_of_very_many_names_is_told_of_as_far_as_there_is_room(tmp_path: Path) -> None:
    many = "\n".join(f'def f{at}():\n    """{"word " * 40}"""' for at in range(5000))
    _, pages = written(tmp_path, {"many.py": many})
    assert pages["many.md"].count("### ") > 1000
    assert "would be too large" in pages["many.md"]


def test_why_a_module_was_left_out_does_not_say_where_the_agent_keeps_it(tmp_path: Path) -> None:
    sources = {"a.py": '"""A."""', "bad.py": "def (:", "odd.py": "# -*- coding: klingon -*-"}
    result, _ = written(tmp_path, sources)
    told = {each["module"]: each["why"] for each in result["skipped"]}
    assert "(bad.py, line 1)" in told["pkg.bad"]
    assert "klingon" in told["pkg.odd"]
    assert str(tmp_path) not in json.dumps(told)


def test_names_in_else_with_and_finally_are_found(tmp_path: Path) -> None:
    source = """
try:
    import fast
except* ImportError:
    def slow(): ...
else:
    def quick(): ...
with open("x"):
    def within(): ...
"""
    _, pages = written(tmp_path, {"a.py": source})
    for name in ("slow", "quick", "within"):
        assert f"### `{name}`" in pages["a.md"]
