"""Files of this machine that are, or become, documents and attachments."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from automesh.cli.errors import CliError

SUFFIX = ".md"
MAX_FILES = 100_000
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """By path below a folder (with "/"), in order, without what is hidden, a link, or no regular file."""

    files: Mapping[str, Path]
    links: Sequence[str] = ()
    """What people may miss: they see a file there."""

    @classmethod
    def of(cls, root: Path) -> Self:
        """Of a folder, or of a single file. Raises OSError for what cannot be read: a part is never taken for all."""
        if root.is_file():
            return cls({root.name: root})
        files: dict[str, Path] = {}
        links: list[str] = []
        for path, file in _below(root):
            if file.is_symlink():
                links.append(path)
            elif file.is_file():
                files[path] = file
        return cls(files, links)


def text_of(file: Path, content: bytes) -> str:
    """What the file holds. Raises CliError for what is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        name = "standard input" if str(file) == "-" else str(file)
        raise CliError(
            f"{name} is not UTF-8: byte {error.start} is wrong", next_step="Convert it: iconv -f latin1 -t utf-8 FILE"
        ) from error


def _below(root: Path) -> Iterator[tuple[str, Path]]:
    count = 0
    for folder, folders, names in os.walk(root, onerror=_raised):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in SKIPPED_FOLDERS)
        linked = [each for each in folders if os.path.islink(os.path.join(folder, each))]
        for name in sorted([*linked, *(each for each in names if not each.startswith("."))]):
            count += 1
            if count > MAX_FILES:
                raise CliError(f"{root} has more than {MAX_FILES} files", next_step="Name a folder further down")
            yield (Path(folder) / name).relative_to(root).as_posix(), Path(folder) / name


def _raised(error: OSError) -> None:
    raise error
