"""The real sandbox, and a look for processes that outlived it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.agent.clients.sandbox.sandbox import Sandbox

FindProcesses = Callable[[str], list[int]]


@pytest.fixture
async def sandbox() -> Sandbox:
    if not sys.platform.startswith("linux"):
        pytest.skip("the sandbox needs Linux")
    made = Sandbox()
    reason = await made.probe()
    if reason and os.environ.get("AUTOMESH_REQUIRE_ALL"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return made


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def processes_with() -> FindProcesses:
    """Ids of running processes whose command line has a text in it."""

    def find(text: str) -> list[int]:
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    command = (folder / "cmdline").read_bytes()
                except OSError:
                    continue
                if text.encode() in command:
                    found.append(int(folder.name))
        return found

    return find
