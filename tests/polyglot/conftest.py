"""Programs in other languages: where their packages come from, and the mesh they run in."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mesh.conftest import lab

__all__ = ["lab"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HOME = ROOT / ".tools" / "polyglot"
PATH = os.pathsep.join([os.environ.get("PATH", ""), str(ROOT / ".tools" / "node" / "bin")])
"""With the Node.js of the wheel, where tools/buf.sh had to bring one."""
INSTALL_LIMIT_S = 300


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages that package-lock.json pins, installed once into .tools/polyglot."""
    npm = shutil.which("npm", path=PATH)
    if npm is None:
        pytest.skip("there is no npm here: install Node.js with npm")
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start at the same time
        if not _current():
            _install(npm)
    return HOME / "node_modules"


@pytest.fixture
def javascript(node_modules: Path, tmp_path: Path) -> Path:
    """A folder where Node finds the packages: a program that is copied there can import them."""
    folder = tmp_path / "javascript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(node_modules)
    return folder


def _current() -> bool:
    done = HOME / "installed.json"
    return done.is_file() and done.read_bytes() == (HERE / "package-lock.json").read_bytes()


def _install(npm: str) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, HOME / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    env = {**os.environ, "PATH": PATH}
    done = subprocess.run(
        command, cwd=HOME, env=env, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
    )
    if done.returncode:
        pytest.fail(f"npm ci failed, is the npm registry reachable?\n{done.stdout}{done.stderr}")
    shutil.copyfile(HERE / "package-lock.json", HOME / "installed.json")
