"""A Python interpreter and the folders it needs to be visible, found without running it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from automesh.core.errors import ValidationError

SYSTEM = Path("/usr")
MAX_LINKS = 16
TOO_SHALLOW = 2  # "/" and "/home" are never an interpreter's prefix


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Where an interpreter is, what must be bound read-only for it, and the links on the way to it."""

    executable: Path
    roots: tuple[Path, ...]
    links: tuple[tuple[str, Path], ...] = ()  # (target as written, where the link stands)

    @staticmethod
    def at(executable: Path) -> Interpreter:
        """Raises ValidationError when there is no usable interpreter at that path."""
        executable = Path(os.path.abspath(executable))  # not resolved: a venv is known by its link
        real = executable.resolve()
        if not real.is_file():
            raise ValidationError(f"there is no Python interpreter at {executable}", path=executable)
        roots = [root for root in _roots(executable, real) if not root.is_relative_to(SYSTEM)]
        for root in roots:
            if len(root.parts) <= TOO_SHALLOW or root == Path.home():
                raise ValidationError(f"the interpreter {executable} has the prefix {root}: too wide to show")
        seen = tuple(dict.fromkeys(roots))
        return Interpreter(executable, seen, tuple(_links(executable, seen)))


def _roots(executable: Path, real: Path) -> list[Path]:
    base = real.parent.parent
    config = executable.parent.parent / "pyvenv.cfg"
    if not config.is_file():
        return [base]
    return [config.parent, *_home(config), base]


def _home(config: Path) -> list[Path]:
    """The base installation as the venv spells it: a link may stand between it and the real one."""
    for line in config.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home" and (home := Path(value.strip())).is_absolute() and home.name == "bin":
            return [home.parent]
    return []


def _links(executable: Path, roots: tuple[Path, ...]) -> list[tuple[str, Path]]:
    """Links on the way to the real file that stand in no visible folder, to be made again inside."""
    found: list[tuple[str, Path]] = []
    hop = executable
    for _ in range(MAX_LINKS):
        if not hop.is_symlink():
            break
        target = os.readlink(hop)
        if not any(hop.is_relative_to(root) for root in (*roots, SYSTEM)):
            found.append((target, hop))
        hop = Path(os.path.normpath(hop.parent / target))
    return found
