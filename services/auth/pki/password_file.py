"""The file in which the first admin's password waits for its owner: 0600, in a folder of 0700."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.auth.pki import folder


class PasswordFile:
    """Keeps one password."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def keep(self, password: str) -> None:
        """Replaces the file. Raises PkiError when it cannot be written."""
        await asyncio.to_thread(folder.write, self.path, f"{password}\n".encode())
