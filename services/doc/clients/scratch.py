"""A big thing for a while, without its plaintext ever lying on a disk."""

from __future__ import annotations

import io
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK = 16
_BUFFER = 256 * 1024


class SealedScratch:
    """A file without a name, encrypted under a key that only this process has: written once, then read anywhere.

    Not authenticated: nobody else can reach it, and it ends with the process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._key = algorithms.AES(secrets.token_bytes(32))
        self._encryptor = Cipher(self._key, modes.CTR(bytes(_BLOCK))).encryptor()
        self.size = 0

    def append(self, data: bytes) -> None:
        """Adds to the end: no place is ever written twice, so that the key's stream is used once."""
        self._file.seek(self.size)
        self._file.write(self._encryptor.update(data))
        self.size += len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        """As many bytes as there are, at most `count`."""
        count = max(min(count, self.size - offset), 0)
        skipped = offset % _BLOCK
        counter = (offset // _BLOCK).to_bytes(_BLOCK, "big")
        self._file.seek(offset - skipped)
        sealed = self._file.read(skipped + count)
        return Cipher(self._key, modes.CTR(counter)).decryptor().update(sealed)[skipped:]

    def view(self, start: int = 0) -> io.BufferedReader:
        """A file of its own that begins at `start`."""
        return io.BufferedReader(_View(self, start), buffer_size=_BUFFER)

    def close(self) -> None:
        """Nothing of it remains."""
        self._file.close()


class _View(io.RawIOBase):
    def __init__(self, scratch: SealedScratch, start: int) -> None:
        self._scratch, self._start, self._at = scratch, start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._scratch.size - self._start
        self._at = max({io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence] + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._scratch.read_at(self._start + self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
