"""What may be asked of test generation, and where modules are found."""

import sys
from pathlib import Path
from typing import Any

import pytest

from automesh.core.errors import Kind, ValidationError
from services.agent.clients.generator.module_search import find_module
from services.agent.domain.generation import (
    CoverageFigures,
    Dropped,
    ModuleNotFound,
    TestGenerationRequest,
    TestReport,
)


def test_a_task_input_becomes_a_request() -> None:
    request = TestGenerationRequest.from_input({"module": "packaging.version", "budget_s": 30.0, "seed": 7.0})

    assert request == TestGenerationRequest(module="packaging.version", budget_s=30, seed=7)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "module"),
        ({"module": ""}, "module"),
        ({"module": 5}, "module"),
        ({"module": "a b"}, "module"),
        ({"module": "os; import evil"}, "module"),
        ({"module": "a..b"}, "module"),
        ({"module": "x" * 201}, "module"),
        ({"module": "a", "budget_s": 1}, "budget_s"),
        ({"module": "a", "budget_s": 601}, "budget_s"),
        ({"module": "a", "budget_s": "fast"}, "budget_s"),
        ({"module": "a", "budget_s": True}, "budget_s"),
        ({"module": "a", "budget_s": float("nan")}, "budget_s"),
        ({"module": "a", "seed": 1.5}, "seed"),
        ({"module": "a", "seed": -1}, "seed"),
        ({"module": "a", "path": ["x"]}, "path"),
        ({"module": "a", "modul": "b"}, "modul"),
    ],
)
def test_a_wrong_input_is_refused_by_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TestGenerationRequest.from_input(given)

    assert [violation.field for violation in caught.value.violations] == [f"task.input.{field}"]


def test_a_report_is_plain_data() -> None:
    report = TestReport(
        module="m", passed=3, dropped=Dropped(failed=1, flaky=2, duplicate=3), files=("test_m.py",), seconds=1.26,
        coverage=CoverageFigures(covered_lines=2, total_lines=3, covered_branches=0, total_branches=0),
    )  # fmt: skip

    assert report.to_result() == {
        "module": "m",
        "passed": 3,
        "dropped": {"failed": 1, "flaky": 2, "duplicate": 3},
        "line_coverage": 66.7,
        "branch_coverage": 100.0,
        "covered_lines": 2,
        "total_lines": 3,
        "covered_branches": 0,
        "total_branches": 0,
        "files": ["test_m.py"],
        "seconds": 1.3,
        "notes": [],
    }


def test_what_was_not_measured_is_not_covered() -> None:
    assert (CoverageFigures().line_percent, CoverageFigures().branch_percent) == (0.0, 0.0)


def test_an_installed_module_is_found_without_importing_it() -> None:
    before = set(sys.modules)

    found = find_module("hypothesis.extra.pytestplugin", path="", source_roots=(), installed=(Path(sys.prefix),))

    assert found.file.name == "pytestplugin.py"
    assert found.top == found.root / "hypothesis"
    assert set(sys.modules) == before


def test_a_module_of_a_source_root_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "shop" / "cart").mkdir(parents=True)
    for name in ("shop/__init__.py", "shop/cart/__init__.py", "single.py"):
        (tmp_path / name).write_text("raise SystemExit")

    cart = find_module("shop.cart", path=str(tmp_path), source_roots=(tmp_path.parent,), installed=())
    single = find_module("single", path=str(tmp_path), source_roots=(tmp_path,), installed=())

    assert (cart.root, cart.top, cart.file) == (tmp_path, tmp_path / "shop", tmp_path / "shop/cart/__init__.py")
    assert (single.root, single.top, single.file) == (tmp_path, tmp_path / "single.py", tmp_path / "single.py")


@pytest.mark.parametrize("name", ["nowhere", "shop.nowhere", "sys", "shop.cart.deeper"])
def test_a_module_that_is_not_there_is_the_callers_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "cart.py").write_text("")

    with pytest.raises(ModuleNotFound, match=name) as caught:
        find_module(name, path=str(tmp_path), source_roots=(tmp_path,), installed=())

    assert caught.value.kind is Kind.INVALID


def test_a_path_that_the_operator_did_not_open_is_refused(tmp_path: Path) -> None:
    opened, closed = tmp_path / "opened", tmp_path / "closed"
    opened.mkdir()
    closed.mkdir()
    (opened / "link").symlink_to(closed)

    for path in (str(closed), str(opened / ".." / "closed"), str(opened / "link"), "relative"):
        with pytest.raises(ValidationError) as caught:
            find_module("m", path=path, source_roots=(opened,), installed=())
        assert caught.value.violations[0].field == "task.input.path"
