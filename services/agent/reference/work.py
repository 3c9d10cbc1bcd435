"""The job: the modules of a package are read one by one, then each becomes a page."""

from __future__ import annotations

import json
import os
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.agent.reference import said
from services.agent.reference.adoption import adopt
from services.agent.reference.names import Names, page_of
from services.agent.reference.pages import module_page
from services.agent.reference.reading import read_module
from services.agent.reference.source import Module

MAX_MODULES = 2000
MAX_SOURCE = 4 * 1024 * 1024
MAX_TOTAL = 128 * 1024 * 1024
MAX_DEPTH = 20
READ, WRITTEN = 0.6, 1.0  # of the progress
_SKIPPED = frozenset({"__pycache__", "tests", "test", "_vendor", "vendor"})


class Unfit(Exception):
    """The package cannot be documented; trying again changes nothing."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Found:
    """A module's file. `name` is its full name."""

    name: str
    file: Path
    is_package: bool


def work(folder: Path) -> Mapping[str, Any]:
    """Does the job of FOLDER/job.json: {"package", "file", "private"}; the result tells what was made of it."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    package, file = str(job["package"]), Path(job["file"])
    private = bool(job.get("private", False))
    found = list(modules_of(package, file))
    modules, skipped = _read_all(found, private=private)
    modules, adopted = (modules, {}) if private else adopt(modules)
    documented = [each for each in modules if not each.is_empty]
    if not documented:
        why = f"; {len(skipped)} files cannot be read: {skipped[0][1]}" if skipped else ""
        raise Unfit("NOTHING_TO_DOCUMENT", f"{package} has no public names and no docstrings{why}")
    inside = _by_package(documented)
    told = [each for each in modules if not each.is_empty or each.name == package or each.name in inside]
    pages = _write_all(told, inside, Names(told, package, adopted), package, folder / "out")
    return {
        "package": package,
        "modules": len(documented),
        "pages": len(pages),
        "names": sum(len(each.classes) + len(each.functions) + len(each.constants) for each in documented),
        "skipped": [{"module": name, "why": why} for name, why in skipped[:100]],
        "files": [{"name": page} for page in pages],
    }


def modules_of(package: str, file: Path) -> Iterator[Found]:
    """The module itself, and when it is a package all modules below it, by name. Raises Unfit for too many."""
    if file.name != "__init__.py":
        yield Found(package, file, is_package=False)
        return
    count, total = 0, 0
    for each in _below(package, file.parent, depth=0):
        count, total = count + 1, total + each.file.stat().st_size
        if count > MAX_MODULES or total > MAX_TOTAL:
            raise Unfit(
                "PACKAGE_TOO_LARGE",
                f"{package} has more than {MAX_MODULES} modules or {MAX_TOTAL // 2**20} MiB of source: name a package "
                "in it",
            )
        yield each


def _below(name: str, folder: Path, *, depth: int) -> Iterator[Found]:
    yield Found(name, folder / "__init__.py", is_package=True)
    if depth >= MAX_DEPTH:
        return
    for each in sorted(os.scandir(folder), key=lambda entry: entry.name):
        stem = each.name.removesuffix(".py")
        if each.is_symlink() or not stem.isidentifier() or stem in _SKIPPED or stem == "__init__":
            continue
        if each.is_dir() and (Path(each.path) / "__init__.py").is_file():
            yield from _below(f"{name}.{stem}", Path(each.path), depth=depth + 1)
        elif each.is_file() and each.name.endswith(".py") and stem != "__main__":
            yield Found(f"{name}.{stem}", Path(each.path), is_package=False)


def _read_all(found: Sequence[Found], *, private: bool) -> tuple[list[Module], list[tuple[str, str]]]:
    modules: list[Module] = []
    skipped: list[tuple[str, str]] = []
    for number, each in enumerate(found):
        if number % 20 == 0:
            said.progress(READ * number / len(found), f"reading {each.name}")
        try:
            modules.append(read_module(each.name, _text(each.file), is_package=each.is_package, private=private))
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
            why = f"{type(error).__name__}: {error}".replace(str(each.file), each.file.name)
            skipped.append((each.name, why[:300]))
    return modules, skipped


def _text(file: Path) -> str:
    if file.stat().st_size > MAX_SOURCE:
        raise ValueError(f"the file has more than {MAX_SOURCE // 2**20} MiB")
    with tokenize.open(file) as opened:  # in the encoding that it names
        return opened.read()


def _write_all(
    modules: Sequence[Module], inside: Mapping[str, Sequence[Module]], names: Names, package: str, out: Path
) -> list[str]:
    pages: list[str] = []
    for number, module in enumerate(modules):
        if number % 20 == 0:
            said.progress(READ + (WRITTEN - READ) * number / len(modules), f"writing {module.name}")
        page = page_of(module.name, package, is_package=module.is_package)
        _write(out / page, module_page(module, names, package, inside.get(module.name, ())))
        pages.append(page)
    return pages


def _by_package(modules: Sequence[Module]) -> Mapping[str, Sequence[Module]]:
    inside: dict[str, list[Module]] = {}
    for module in modules:
        inside.setdefault(module.name.rpartition(".")[0], []).append(module)
    return inside


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
