"""Generates Python, type stubs and the descriptor set from proto/automesh into libs/gen.

    python tools/gen.py            write libs/gen
    python tools/gen.py --check    write elsewhere, compare, list what is stale (exit 1)

google/* is not generated: googleapis-common-protos and protobuf bring it at run time.
"""

from __future__ import annotations

import argparse
import importlib.resources
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "libs" / "gen"
DESCRIPTORS = Path("automesh") / "descriptors.binpb"
# A protocol of others, as descriptors only: generated modules would take its package name in every process, and a
# process can hold a package once (whoever uses tritonclient beside the SDK has it already).
INFERENCE = Path("automesh") / "inference.binpb"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        if parser.parse_args().check:
            return report(stale(fresh))
        return install(fresh)


def generate(out: Path) -> None:
    """Everything below `out`, as it should stand in libs/gen."""
    protos = sorted(path.relative_to(PROTO).as_posix() for path in (PROTO / "automesh").rglob("*.proto"))
    if not protos:
        raise SystemExit(f"gen: no .proto file below {PROTO / 'automesh'}")
    (out / DESCRIPTORS).parent.mkdir(parents=True)
    compile_protos(
        [
            *(f"--plugin={name}={Path(sys.executable).parent / name}" for name in plugins()),
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--mypy_grpc_out=quiet:{out}",
            f"--descriptor_set_out={out / DESCRIPTORS}",
            "--include_imports",
            "--include_source_info",
            *protos,
        ]
    )
    compile_protos([f"--descriptor_set_out={out / INFERENCE}", "--include_imports", "inference/grpc_service.proto"])
    mark_packages(out, protos)


def compile_protos(arguments: list[str]) -> None:
    """Runs protoc on files below proto/, or ends the program."""
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    code: int = protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *arguments])
    if code != 0:
        raise SystemExit(f"gen: protoc failed with exit status {code}; its messages are above")


def plugins() -> tuple[str, str]:
    return ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def mark_packages(out: Path, protos: list[str]) -> None:
    """An __init__.py in every generated package, but not in `automesh`: that namespace is shared with libs/automesh."""
    for folder in {parent for proto in protos for parent in Path(proto).parents if len(parent.parts) > 1}:
        (out / folder / "__init__.py").write_text(f'"""Generated from proto/{folder.as_posix()}: do not edit."""\n')
        if len(folder.parts) == 2:  # noqa: PLR2004 - an area, automesh/<area>: its stubs count for users too (PEP 561)
            (out / folder / "py.typed").touch()


def files(root: Path) -> dict[Path, Path]:
    return {
        path.relative_to(root): path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }


def stale(fresh: Path) -> list[str]:
    """What differs between `fresh` and libs/gen, a line for each file."""
    want, have = files(fresh), files(GENERATED)
    return [
        *(f"missing  {path}" for path in sorted(want.keys() - have.keys())),
        *(f"left over  {path}" for path in sorted(have.keys() - want.keys())),
        *(f"stale  {path}" for path in sorted(want.keys() & have.keys()) if not same(want[path], have[path])),
    ]


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def report(lines: list[str]) -> int:
    for line in lines:
        print(f"gen-check: {line}")
    print("gen-check: run `make gen` and commit libs/gen" if lines else "gen-check: libs/gen is current")
    return 1 if lines else 0


def install(fresh: Path) -> int:
    """Brings libs/gen to what `fresh` holds, touching only what differs."""
    want, have = files(fresh), files(GENERATED)
    for path in have.keys() - want.keys():
        have[path].unlink()
    changed = [path for path in want if path not in have or not same(want[path], have[path])]
    for path in changed:
        (GENERATED / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(want[path], GENERATED / path)
    print(f"gen: {len(want)} files in libs/gen, {len(changed)} written, {len(have.keys() - want.keys())} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
