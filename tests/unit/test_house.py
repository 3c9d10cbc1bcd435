"""Facts about the house itself: the Makefile, the pins, the sizes of files, the packages."""

import re
import subprocess
import tomllib
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = {
    *("help", "setup", "setup-model", "demo", "up", "down", "test", "test-fast", "test-all"),
    *("check", "fmt", "gen", "gen-check", "bench", "consul"),
}
EXTRAS = frozenset({"dev", "model", "ray"})
GPU_BUILD = ("nvidia-", "cuda-", "triton")
LONGEST_FILE = 400
CODE = ["libs/automesh", "services", "gateway", "tools"]


def phony_targets() -> set[str]:
    return set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())


def pins(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


def pinned(name: str) -> dict[str, str]:
    return {canonicalize_name(pin.split("==")[0]): pin.split("==")[1] for pin in pins(name)}


def requirements(name: str) -> list[Requirement]:
    """Ours as pyproject.toml has them now, another's as installed; what an extra asks for carries its marker."""
    if name != "automesh":
        return [Requirement(text) for text in metadata.requires(name) or []]
    extras = PROJECT["project"]["optional-dependencies"]
    optional = [f'{text}; extra == "{extra}"' for extra, texts in extras.items() for text in texts]
    return [Requirement(text) for text in (*PROJECT["project"]["dependencies"], *optional)]


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Names of all that the installed distribution `name` needs here, itself included."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    names = {name}
    for requirement in requirements(name):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras | {""}):
            names |= needed(canonicalize_name(requirement.name), frozenset(requirement.extras), seen)
    return names


def sources() -> list[Path]:
    return [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]


def test_the_makefile_has_every_target_that_the_documentation_names() -> None:
    assert phony_targets() >= TARGETS


def test_every_target_of_the_makefile_says_in_help_what_it_does() -> None:
    shown = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    assert {name for name in phony_targets() if not re.search(rf"^  make {name} +\w", shown, re.MULTILINE)} == set()


def test_make_alone_shows_the_help() -> None:
    alone, asked = (
        subprocess.run(
            ["make", "--no-print-directory", "-C", ROOT, *target], capture_output=True, text=True, check=True
        )
        for target in ([], ["help"])
    )
    assert alone.stdout == asked.stdout


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-pynguin.txt"])
def test_a_constraints_file_pins_one_exact_version_of_each_package(name: str) -> None:
    assert [pin for pin in pins(name) if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", pin)] == []
    counts = Counter(canonicalize_name(pin.split("==")[0]) for pin in pins(name))
    assert [package for package, count in counts.items() if count > 1] == []


def test_everything_that_development_needs_is_pinned() -> None:
    everything = needed("automesh", frozenset({"dev"}), set()) - {"automesh"}
    assert everything - pinned("constraints.txt").keys() == set()


@pytest.mark.torch
@pytest.mark.ray
def test_everything_that_models_need_is_pinned_but_what_a_gpu_build_of_torch_pins_itself() -> None:
    everything = {name for name in needed("automesh", EXTRAS, set()) if not name.startswith(GPU_BUILD)} - {"automesh"}
    assert everything - pinned("constraints.txt").keys() == set()


@pytest.mark.torch
@pytest.mark.ray
def test_nothing_is_pinned_that_nobody_needs() -> None:
    assert pinned("constraints.txt").keys() - needed("automesh", EXTRAS, set()) == set()


def test_the_test_generator_sees_the_same_module_under_test_as_we_do() -> None:
    assert pinned("constraints-pynguin.txt")["packaging"] == pinned("constraints.txt")["packaging"]


def test_the_grpc_family_has_one_minor_version() -> None:
    family = {name: version for name, version in pinned("constraints.txt").items() if name.startswith("grpcio")}
    assert len(family) > 1
    assert {version.rsplit(".", 1)[0] for version in family.values()} == {"1.85"}


def test_no_file_is_longer_than_the_alarm() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in sources()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_module_says_in_a_docstring_what_it_is() -> None:
    assert [path for path in sources() if not path.read_text().startswith('"""')] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert [path for path in sources() if empty & {path.stem, *path.relative_to(ROOT).parts}] == []


def test_the_two_halves_of_the_namespace_have_no_init_of_their_own() -> None:
    assert not (ROOT / "libs" / "automesh" / "__init__.py").exists()
    assert not (ROOT / "libs" / "gen" / "automesh" / "__init__.py").exists()


def test_every_root_package_is_under_the_import_contracts() -> None:
    libs = {f"automesh.{path.parent.name}" for path in (ROOT / "libs" / "automesh").glob("*/__init__.py")}
    generated = {f"automesh.{path.parent.name}" for path in (ROOT / "libs" / "gen" / "automesh").glob("*/__init__.py")}
    linter = PROJECT["tool"]["importlinter"]
    assert set(linter["root_packages"]) == libs | generated | {"services", "gateway"}
    pure = next(contract for contract in linter["contracts"] if contract["name"] == "A domain is pure")
    assert set(pure["forbidden_modules"]) >= (libs | generated) - {"automesh.core"}


def test_every_ignored_lint_rule_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    rules = re.search(r"^ignore = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1].splitlines()
    assert rules
    assert [rule for rule in rules if "#" not in rule] == []


def test_test_files_have_names_of_their_own() -> None:
    counts = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in counts.items() if count > 1] == []
