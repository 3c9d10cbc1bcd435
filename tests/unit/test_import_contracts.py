"""The import contracts of pyproject.toml: each one catches the import it is there to forbid."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

FORBIDDEN = [
    ("Dependencies point inwards", "automesh/sdk/x.py", "import services.auth"),
    ("Dependencies point inwards", "automesh/core/x.py", "import automesh.telemetry"),
    ("Dependencies point inwards", "automesh/telemetry/x.py", "import automesh.mesh"),
    ("Dependencies point inwards", "automesh/mesh/x.py", "import automesh.storage"),
    ("Dependencies point inwards", "automesh/local/x.py", "import automesh.cli"),
    ("Dependencies point inwards", "gateway/x.py", "import services.auth"),
    ("Dependencies point inwards", "services/auth/x.py", "import gateway"),
    ("Services meet only over gRPC", "services/auth/x.py", "import services.agent"),
    ("Rooms of a service", "services/auth/domain/x.py", "import services.auth.store"),
    ("Rooms of a service", "services/auth/store.py", "import services.auth.service"),
    ("Rooms of a service", "services/auth/convert.py", "import services.auth.settings"),
    ("Rooms of a service", "services/auth/service.py", "import services.auth.app"),
    ("Rooms of a service", "services/auth/attic.py", "import os"),  # no room of that name
    ("Rooms of the gateway", "gateway/settings.py", "import gateway.app"),
    ("A domain is pure", "services/auth/domain/x.py", "import grpc"),
    ("A domain is pure", "services/auth/domain/x.py", "import asyncpg"),
    ("A domain is pure", "services/auth/domain/x.py", "from google.protobuf import struct_pb2"),
    ("A domain is pure", "services/auth/domain/x.py", "import automesh.auth.v1"),
    ("A domain is pure", "automesh/core/x.py", "import pydantic_settings"),
    ("The tests' tools stay out of what runs", "services/auth/x.py", "import automesh.testing"),
]
ROOMS = ["__main__", "app", "service", "store", "clients", "loops", "convert", "settings"]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """An empty house with our rooms and our contracts, and nothing in them."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    roots = [name.replace(".", "/") for name in LINTER["root_packages"]]
    packages = [*roots, "automesh/auth/v1", "services/auth", "services/agent", "services/auth/domain"]
    for package in packages:
        (tmp_path / package).mkdir(parents=True, exist_ok=True)
        (tmp_path / package / "__init__.py").touch()
    for room in ROOMS:
        (tmp_path / "services" / "auth" / f"{room}.py").touch()
        (tmp_path / "gateway" / f"{room}.py").touch()
    return tmp_path


def lint(house: Path) -> str:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    env = {**os.environ, "PYTHONPATH": str(house), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=house, env=env, capture_output=True, text=True, check=False)
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return done.stdout


def test_a_house_without_imports_keeps_every_contract(house: Path) -> None:
    assert "0 broken" in lint(house)


@pytest.mark.parametrize(("contract", "file", "line"), FORBIDDEN, ids=[f"{f}: {i}" for _, f, i in FORBIDDEN])
def test_a_forbidden_import_breaks_its_contract(house: Path, contract: str, file: str, line: str) -> None:
    (house / file).write_text(line + "\n")
    assert f"{contract} BROKEN" in lint(house)


def test_every_contract_is_shown_to_catch_something() -> None:
    assert {contract["name"] for contract in LINTER["contracts"]} == {contract for contract, _, _ in FORBIDDEN}
