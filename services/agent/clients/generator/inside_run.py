"""Runs one of our own programs (package `inside`) in the sandbox, and brings back what it wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.agent.clients.generator.workspace import Workspace
from services.agent.clients.sandbox import scratch as folders
from services.agent.clients.sandbox.interpreter import Interpreter
from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.domain.sandbox import MIB, Limits, Outcome, ScratchFileRefused

INSIDE = Path(__file__).parent / "inside"
ROOT = INSIDE.parents[4]  # what `services` is imported from
HYPOTHESIS = "hypothesis"
MAX_RESULT_BYTES = 16 * MIB
# The module under test must meet neither our package nor its place on the path: it may have the same name.
START = """
import importlib, sys
root, name, *arguments = sys.argv[1:]
sys.path.append(root)
program = importlib.import_module("services.agent.clients.generator.inside." + name)
sys.path.reverse(); sys.path.remove(root); sys.path.reverse()
for each in [each for each in sys.modules if each.partition(".")[0] == "services"]:
    del sys.modules[each]
sys.argv[1:] = []
program.main(*arguments)
"""


class InsideRun:
    """`visible` are the folders that every run may read beside its inputs."""

    def __init__(self, sandbox: Sandbox, workspace: Workspace, visible: Sequence[Path]) -> None:
        self._sandbox = sandbox
        self._workspace = workspace
        self._visible = (INSIDE, workspace.inputs, *visible)

    async def run(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        results: Sequence[str],
        limits: Limits,
        hash_seed: int = 0,
        interpreter: Interpreter | None = None,
    ) -> tuple[Outcome, dict[str, bytes]]:
        """`results` are files it writes: they are passed by full path behind `arguments`; missing ones are left out."""
        python = (interpreter or self._sandbox.interpreter).executable
        with self._workspace.scratch() as scratch:
            paths = [str(scratch / name) for name in results]
            outcome = await self._sandbox.run(
                [str(python), "-s", "-P", "-c", START, str(ROOT), program, *arguments[:1], *paths, *arguments[1:]],
                scratch=scratch,
                read_only=self._visible,
                limits=limits,
                env={
                    "PYTHONHASHSEED": str(hash_seed),
                    "PYTHONWARNINGS": "ignore",
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                    "PYNGUIN_DANGER_AWARE": "1",  # the sandbox is what it asks for
                    "HYPOTHESIS_STORAGE_DIRECTORY": str(self._storage(scratch)),
                },
                interpreter=interpreter,
            )
            return outcome, _collected(scratch, results)

    def _storage(self, scratch: Path) -> Path:
        """Where Hypothesis finds its tables, once there are any."""
        shared = self._workspace.inputs / HYPOTHESIS
        return shared if shared.is_dir() else scratch / HYPOTHESIS


def _collected(scratch: Path, names: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in names:
        try:
            found[name] = folders.read_bounded(scratch, name, limit=MAX_RESULT_BYTES)
        except ScratchFileRefused:
            continue  # missing and refused are the same: there is no result
    return found


def as_mapping(content: bytes | None) -> Mapping[str, Any] | None:
    """A JSON object, or None where it is none: code nobody trusts wrote it."""
    try:
        value = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
