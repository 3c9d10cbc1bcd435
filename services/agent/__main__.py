"""`python -m services.agent`: joins the mesh and works on tasks until told to stop."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automesh.mesh.process import run
from automesh.mesh.settings import read_settings
from automesh.sdk.agent import MAX_SLOTS
from services.agent.app import build
from services.agent.settings import Settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits 0 after a clean stop, 78 when it cannot start as it is told."""
    run(read_settings(Settings, **_given(_parser().parse_args(arguments))), build)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says; the rest comes from the environment."""
    return {name: value for name, value in vars(options).items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.agent", description=__doc__)
    parser.add_argument(
        "--slots",
        type=_slots,
        metavar="N",
        help="how many tasks it may hold at once (AUTOMESH_SLOTS; default: one for each CPU)",
    )
    parser.add_argument(
        "--unsafe-sandbox",
        action="store_const",
        const=True,
        help="run what tasks bring WITHOUT isolation, with all rights of this process, where the kernel cannot isolate "
        "it. Only for a machine on which everybody who can submit tasks may do everything (AUTOMESH_UNSAFE_SANDBOX)",
    )
    parser.add_argument(
        "--source-root",
        dest="source_roots",
        action="append",
        type=Path,
        metavar="FOLDER",
        help="let tasks test modules below this folder; may be repeated (AUTOMESH_SOURCE_ROOTS, a JSON list). "
        "Without it only modules that are installed beside the agent",
    )
    return parser


def _slots(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SLOTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_SLOTS}")
    return int(text)


if __name__ == "__main__":
    main()
