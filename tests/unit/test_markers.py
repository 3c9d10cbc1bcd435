"""A missing tool skips the tests that need it, with the reason; where all must run it fails them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ["-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-c", ROOT / "pyproject.toml", "--rootdir"]


def run(folder: Path, body: str, *options: str, **env: str) -> str:
    """What pytest says about a test file `body` on a machine that has no tools at all."""
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    (folder / "tests" / "test_it.py").write_text("import pytest\n\n" + body)
    environment = {key: value for key, value in os.environ.items() if key != "AUTOMESH_REQUIRE_ALL"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, folder, *options, folder / "tests"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "/nowhere", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("need", ["consul", "node", "gpu"])
def test_a_test_whose_tool_is_missing_is_skipped_with_the_reason(tmp_path: Path, need: str) -> None:
    out = run(tmp_path, f"@pytest.mark.{need}\ndef test_it(): raise AssertionError\n")
    assert "1 skipped" in out
    assert "there is no" in out


@pytest.mark.parametrize("need", ["consul", "node"])
def test_where_all_must_run_a_missing_tool_is_a_failure_with_the_reason(tmp_path: Path, need: str) -> None:
    out = run(tmp_path, f"@pytest.mark.{need}\ndef test_it(): pass\n", AUTOMESH_REQUIRE_ALL="1")
    assert "allows no skipped test" in out
    assert "there is no" in out
    assert "1 skipped" not in out


def test_where_all_must_run_any_other_skip_is_a_failure_too(tmp_path: Path) -> None:
    out = run(tmp_path, "def test_it(): pytest.skip('not today')\n", AUTOMESH_REQUIRE_ALL="1")
    assert "1 failed" in out
    assert "not today" in out


def test_only_a_gpu_may_be_missing_where_all_must_run(tmp_path: Path) -> None:
    out = run(tmp_path, "@pytest.mark.gpu\ndef test_it(): pass\n", AUTOMESH_REQUIRE_ALL="1")
    assert "1 skipped" in out


def test_a_tool_that_make_brought_is_handed_to_the_test(tmp_path: Path) -> None:
    brought = tmp_path / ".tools" / "consul" / "consul"
    brought.parent.mkdir(parents=True)
    brought.touch()
    body = f"@pytest.mark.consul\ndef test_it(consul_binary): assert str(consul_binary) == {str(brought)!r}\n"
    assert "1 passed" in run(tmp_path, body)


def test_an_unknown_marker_stops_the_run(tmp_path: Path) -> None:
    assert "'consull' not found in `markers`" in run(tmp_path, "@pytest.mark.consull\ndef test_it(): pass\n")


@pytest.mark.parametrize(
    ("selected", "read"), [("not slow and not torch", False), ("torch", True), ("not (not slow and not torch)", True)]
)
def test_a_file_of_which_nothing_can_run_is_not_even_read(tmp_path: Path, selected: str, read: bool) -> None:
    body = "pytestmark = pytest.mark.torch\nimport not_installed\n\ndef test_it(): pass\n"
    assert ("No module named 'not_installed'" in run(tmp_path, body, "-m", selected)) is read
