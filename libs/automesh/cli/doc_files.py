"""Files of this machine that are, or become, documents and attachments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from automesh.cli.errors import CliError

SUFFIX = ".md"
MAX_FILES = 100_000
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})
ORIGIN = ".automesh-export.json"
"""In an archive: the hashes of the documents that its files were made from. No file of its own."""


def local_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Path below `root` (with "/") and file, in order. What is hidden, a link or no regular file is left out."""
    if root.is_file():
        yield root.name, root
        return
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in SKIPPED_FOLDERS)
        for name in sorted(names):
            file = Path(folder) / name
            if name.startswith(".") or file.is_symlink() or not file.is_file():
                continue
            count += 1
            if count > MAX_FILES:
                raise CliError(f"{root} has more than {MAX_FILES} files", next_step="Name a folder further down")
            yield file.relative_to(root).as_posix(), file
