"""The folder of one generation: what we write, what a run may write, and what comes out are kept apart.

A run sees our inputs read-only and gets a fresh scratch folder each time, so nothing that it leaves is ever
written through or read back by accident.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.agent.clients.sandbox import scratch as folders


class Workspace:
    """`root` must exist and belong to one generation alone."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.inputs = self._made("inputs")
        self.tests = self._made("tests")
        self._runs = 0

    def put(self, name: str, content: str | bytes | Mapping[str, Any]) -> Path:
        """An input, readable by whoever a run is."""
        file = self.inputs / name
        for parent in reversed(file.relative_to(self.root).parents[:-1]):
            self._made(str(parent))
        text = json.dumps(content) if isinstance(content, Mapping) else content
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(0o644)
        return file

    def link(self, name: str, target: Path) -> Path:
        """A link among the inputs, in a folder of its own; returns the folder."""
        folder = self._made(f"inputs/{name}")
        link = folder / target.name
        if not link.is_symlink():
            link.symlink_to(target)
        return folder

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for one run, removed after it."""
        self._runs += 1
        folder = self._made(f"scratch-{self._runs}")
        try:
            yield folder
        finally:
            folders.remove(folder)

    def _made(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        return folder
