"""The wheel: both halves of the namespace merged in one, and nothing in it that only development needs."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

Run = Callable[[str], str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    options = ["--no-build-isolation", "--no-deps", "--quiet", "--wheel-dir", out]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, ROOT], check=True, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python code where only the wheel is installed, its dependencies borrowed from the tests' environment."""
    fresh = tmp_path_factory.mktemp("venv")
    venv.create(fresh, with_pip=False, symlinks=True)
    python = fresh / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        f"--python={python}",
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        wheel,
    ]
    subprocess.run(install, check=True)
    borrowed = _dependencies(fresh)

    def run(code: str) -> str:
        env = {"PYTHONPATH": str(borrowed), "PATH": str(fresh / "bin")}
        done = subprocess.run([python, "-c", code], cwd=fresh, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _dependencies(fresh: Path) -> Path:
    """A folder of links to all that is installed here, except the .pth files: they would bring the checkout back."""
    folder = fresh / "borrowed"
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.suffix != ".pth" and not path.name.startswith("automesh"):
            (folder / path.name).symlink_to(path)
    return folder


def test_the_wheel_holds_the_services_the_gateway_and_one_automesh(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"automesh", "gateway", "services"}
    assert "automesh/__init__.py" not in names
    assert "automesh/descriptors.binpb" in names
    assert "automesh/orchestrator/v1/task_pb2.py" in names
    assert "automesh/core/errors.py" in names


def test_the_wheel_holds_every_file_of_the_checkout_that_a_service_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "services", "gateway", "libs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    expected = {path.removeprefix("libs/gen/").removeprefix("libs/") for path in tracked if (ROOT / path).is_file()}
    assert expected - names == set()


def test_an_installed_wheel_imports_all_of_its_packages_from_itself(run: Run) -> None:
    code = """
import importlib, pkgutil, automesh, services, gateway
# What runs only in the sandbox has interpreters, and libraries, of its own.
apart = "services.agent.clients.generator.inside."
found = [m.name for p in (automesh, services, gateway) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")
         if not m.name.endswith("__main__") and not m.name.startswith(apart)]
for name in found:
    print(name, getattr(importlib.import_module(name), "__file__", ""))
"""
    imported = dict(line.split(" ", 1) for line in run(code).splitlines())
    assert {"automesh.core.errors", "automesh.orchestrator.v1.task_pb2_grpc", "services.auth"} <= imported.keys()
    assert [
        name for name, file in imported.items() if str(ROOT / "libs") in file or str(ROOT / "services") in file
    ] == []


def test_the_descriptor_set_is_found_where_the_package_is_installed(run: Run) -> None:
    code = """
from importlib import resources
from google.protobuf import descriptor_pb2
data = resources.files("automesh").joinpath("descriptors.binpb").read_bytes()
print(*(file.name for file in descriptor_pb2.FileDescriptorSet.FromString(data).file))
"""
    assert {"automesh/orchestrator/v1/task_service.proto", "google/api/http.proto"} <= set(run(code).split())
