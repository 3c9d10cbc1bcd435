"""Finds a module's file without importing anything: looking must not run code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from automesh.core.errors import ValidationError
from services.agent.domain.generation import ModuleNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModule:
    """`root` is the folder on the import path, `top` the package folder or file directly in it."""

    name: str
    file: Path
    root: Path
    top: Path


def find_module(name: str, *, path: str, source_roots: Sequence[Path], installed: Sequence[Path]) -> FoundModule:
    """In the source root `path` where one is given, else among what is installed below `installed`.

    Raises ModuleNotFound, or ValidationError for a path that the operator did not open.
    """
    search = [str(_opened(path, source_roots))] if path else [each for each in sys.path if _below(each, installed)]
    spec: ModuleSpec | None = None
    locations: Sequence[str] | None = search
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), locations) if locations is not None else None
        if spec is None:
            raise _missing(name, path)
        locations = spec.submodule_search_locations
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise _missing(name, path, " as a Python source file")
    file = Path(spec.origin)
    root = file.parents[len(parts) - (0 if file.name == "__init__.py" else 1)]
    top = root / (parts[0] if len(parts) > 1 or file.name == "__init__.py" else file.name)
    return FoundModule(name=name, file=file, root=root, top=top)


def _missing(name: str, path: str, what: str = "") -> ModuleNotFound:
    where = f"in {path}" if path else "among the packages installed beside the agent"
    return ModuleNotFound(f"there is no module {name}{what} {where}", module=name)


def _opened(path: str, source_roots: Sequence[Path]) -> Path:
    asked = Path(path)
    if not asked.is_absolute():
        raise ValidationError(f"path {path!r} must be absolute", field="task.input.path")
    real = asked.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in source_roots):
        raise ValidationError(
            f"path {path!r} is in no source root of this agent; its operator opens folders with --source-root",
            field="task.input.path",
        )
    if not real.is_dir():
        raise ValidationError(f"path {path!r} is not a folder", field="task.input.path")
    return real


def _below(entry: str, folders: Sequence[Path]) -> bool:
    return bool(entry) and any(Path(entry).is_relative_to(folder) for folder in (*folders, Path("/usr")))
