"""Commands and paths as they must be typed here."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from automesh.local.state import LocalState


def automesh_command(state: LocalState) -> str:
    """The command line with what names this state folder."""
    usual = state.folder == Path(".automesh").absolute()
    return _program() if usual else f"{_program()} --state-dir {shlex.quote(near(state.folder))}"


def near(path: Path | str) -> str:
    """Relative where that is shorter to type."""
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _program() -> str:
    """The command line of this very installation; `make` starts it without its folder being on the PATH."""
    own = Path(sys.prefix) / "bin" / "automesh"
    found = shutil.which("automesh")
    return "automesh" if not own.exists() or (found and own.samefile(found)) else near(own)
