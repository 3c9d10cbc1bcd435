"""A git bundle on its way out: `git clone FILE` reads it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from services.doc.clients.scratch import SealedScratch
from services.doc.domain.transfer.ports import PackedCommit

if TYPE_CHECKING:
    from dulwich.objects import ShaFile

_AT_ONCE = 1024 * 1024
_ADDRESS = re.compile(r"[^<>]* <[^<>]*>")


async def bundled(commits: AsyncIterator[PackedCommit], branch: str, folder: Path) -> AsyncIterator[bytes]:
    """The bundle in chunks. Its pack waits in `folder`, encrypted, until it is known how many objects it has."""
    scratch = SealedScratch(folder)
    try:
        writer = _PackWriter(scratch)
        async for commit in commits:
            await asyncio.to_thread(writer.commit, commit)
        for chunk in writer.chunks(branch):
            yield chunk
    finally:
        scratch.close()


@dataclass(slots=True)
class _Folder:
    """Files and folders by name; `object_id` while nothing below has changed."""

    children: dict[str, _Folder | bytes] = field(default_factory=dict)
    object_id: bytes = b""

    def set(self, path: str, blob: bytes | None) -> None:
        """Puts a file there, or takes it away."""
        self.object_id = b""
        name, slash, rest = path.partition("/")
        child = self.children.get(name)
        if not slash:
            if blob is not None:
                self.children[name] = blob
            elif isinstance(child, bytes):
                del self.children[name]
            return
        if not isinstance(child, _Folder):
            if blob is None:
                return
            child = self.children[name] = _Folder()
        child.set(rest, blob)
        if not child.children:
            del self.children[name]

    def written(self, write: Callable[[ShaFile], bytes]) -> bytes:
        """The id of its tree."""
        from dulwich.objects import Tree  # noqa: PLC0415 - only those who export git need it

        if not self.object_id:
            tree = Tree()
            for name, child in self.children.items():
                if isinstance(child, _Folder):
                    tree.add(name.encode(), 0o040000, child.written(write))  # type: ignore[arg-type] # ids are bytes
                else:
                    tree.add(name.encode(), 0o100644, child)  # type: ignore[arg-type] # the same
            self.object_id = write(tree)
        return self.object_id


class _PackWriter:
    """Objects without deltas, each once."""

    def __init__(self, scratch: SealedScratch) -> None:
        self._scratch = scratch
        self._written: set[bytes] = set()
        self._root = _Folder()
        self._head = b""

    def commit(self, commit: PackedCommit) -> None:
        """On top of the one before."""
        from dulwich.objects import Blob, Commit  # noqa: PLC0415 - only those who export git need it

        for path in commit.removes:
            self._root.set(path, None)
        for path, content in commit.sets.items():
            self._root.set(path, self._write(Blob.from_string(content)))
        made = Commit()
        made.tree = self._root.written(self._write)
        made.parents = [self._head] if self._head else []  # type: ignore[list-item] # the same
        made.author = made.committer = _identity(commit.author)
        made.author_time = made.commit_time = int(commit.time.timestamp())
        offset = commit.time.utcoffset()
        made.author_timezone = made.commit_timezone = int(offset.total_seconds()) if offset else 0
        made.encoding = b"UTF-8"
        made.message = f"{commit.message.strip()}\n".encode()
        self._head = self._write(made)

    def chunks(self, branch: str) -> Iterator[bytes]:
        """Head, pack, checksum."""
        name = _reference(branch)
        yield b"# v2 git bundle\n%s HEAD\n%s refs/heads/%s\n\n" % (self._head, self._head, name)
        digest = hashlib.sha1(usedforsecurity=False)
        head = b"PACK" + (2).to_bytes(4, "big") + len(self._written).to_bytes(4, "big")
        digest.update(head)
        yield head
        for at in range(0, self._scratch.size, _AT_ONCE):
            piece = self._scratch.read_at(at, _AT_ONCE)
            digest.update(piece)
            yield piece
        yield digest.digest()

    def _write(self, made: ShaFile) -> bytes:
        """Its id in hexadecimal digits."""
        if made.id not in self._written:
            self._written.add(made.id)
            content = made.as_raw_string()
            self._scratch.append(_header(made.type_num, len(content)) + zlib.compress(content))
        return made.id


def _header(kind: int, size: int) -> bytes:
    first, size = kind << 4 | size & 15, size >> 4
    out = bytearray()
    while size:
        out.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    out.append(first)
    return bytes(out)


def _identity(author: str) -> bytes:
    """As git wants it. A user here has no address that we know of."""
    if _ADDRESS.fullmatch(author):
        return author.encode()
    name = re.sub(r"[<>\n\x00]", "", author).strip() or "unknown"
    return f"{name} <{re.sub(r'[^A-Za-z0-9._-]', '-', name)}@automesh.invalid>".encode()


def _reference(branch: str) -> bytes:
    """Some names of branches are none to git."""
    name = re.sub(r"\.\.+", ".", branch).strip(".")
    return (f"{name}-" if name.endswith(".lock") else name).encode()
