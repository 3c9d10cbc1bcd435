"""The files of a site while it is being made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HASHED = 12
"""Hexadecimal digits in the names of files that never change."""


@dataclass(frozen=True, slots=True)
class File:
    """`content` is None for an attachment: its bytes are elsewhere, by their hash."""

    sha256: str
    size: int
    content_type: str
    content: bytes | None = None
    location: str = ""
    """A moved page: where it is now, from the top of the site."""
    document: str = ""
    """The path of the document that it shows."""


class Files:
    """By path. What is added first stays."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def add(self, path: str, content: bytes, content_type: str, *, location: str = "", document: str = "") -> bool:
        """False: there is one at that path already."""
        digest = hashlib.sha256(content).hexdigest()
        return self.put(path, File(digest, len(content), content_type, content, location, document))

    def put(self, path: str, file: File) -> bool:
        """The same for a file that is described."""
        if path in self._files:
            return False
        self._files[path] = file
        return True

    def add_hashed(self, stem: str, suffix: str, content: bytes) -> str:
        """Adds a file whose name tells its content; its path."""
        path = f"{stem}.{hashlib.sha256(content).hexdigest()[:HASHED]}.{suffix}"
        self.add(path, content, _TYPES[suffix])
        return path

    def take(self, others: Files) -> None:
        """All that others hold."""
        for path, file in others:
            self.put(path, file)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def __iter__(self) -> Iterator[tuple[str, File]]:
        return iter(sorted(self._files.items()))

    def __len__(self) -> int:
        return len(self._files)

    @property
    def contents(self) -> Mapping[str, bytes]:
        """Those that were made here."""
        return {path: file.content for path, file in self._files.items() if file.content is not None}

    def described(self) -> list[dict[str, Any]]:
        """Every file without its content, by path: what the result says."""
        return [
            {
                "path": path,
                "sha256": file.sha256,
                "size": file.size,
                "content_type": file.content_type,
                "attachment": file.content is None,
                "location": file.location,
                "document": file.document,
            }
            for path, file in self
        ]


HTML = "text/html; charset=utf-8"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
