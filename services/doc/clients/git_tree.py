"""Trees of git: all that is below a folder, and what differs between two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.doc.clients.git_pack import Pack, refusing_broken
from services.doc.domain.transfer.errors import ArchiveRefused

FOLDER, LINK, SUBMODULE = 0o040000, 0o120000, 0o160000
MAX_DEPTH = 64
_TREES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is at a path: a file, a link, a submodule."""

    mode: int
    object_id: bytes


class Trees:
    """Of one pack."""

    def __init__(self, pack: Pack, max_entries: int) -> None:
        self._pack, self._max_entries = pack, max_entries
        self._read: dict[bytes, dict[str, Leaf]] = {}
        self._looked = 0

    def below(self, tree: bytes, root: str) -> bytes | None:
        """The tree of the folder `root` ("" or "a/b/"); None where there is none."""
        for part in root.split("/")[:-1]:
            leaf = self._children(tree).get(part)
            if leaf is None or not _is_folder(leaf):
                return None
            tree = leaf.object_id
        return tree

    def files(self, tree: bytes | None) -> dict[str, Leaf]:
        """Everything by path. Raises ArchiveRefused for more than is taken."""
        return {path: leaf for path, _, leaf in self.changes(None, tree) if leaf is not None}

    def changes(self, old: bytes | None, new: bytes | None) -> Iterator[tuple[str, Leaf | None, Leaf | None]]:
        """Paths with what was there and what is there; equal folders are not looked into."""
        self._looked = 0
        yield from self._changes(old, new, "", 0)

    def _changes(
        self, old: bytes | None, new: bytes | None, prefix: str, depth: int
    ) -> Iterator[tuple[str, Leaf | None, Leaf | None]]:
        if old == new:
            return
        if depth > MAX_DEPTH:
            raise ArchiveRefused(f"the git bundle has folders within folders, more than {MAX_DEPTH} levels")
        before = self._children(old) if old else {}
        after = self._children(new) if new else {}
        for name in sorted(before.keys() | after.keys()):
            one, other = before.get(name), after.get(name)
            if one == other:
                continue
            self._count()
            folders = [leaf.object_id if leaf and _is_folder(leaf) else None for leaf in (one, other)]
            if any(folders):
                yield from self._changes(folders[0], folders[1], f"{prefix}{name}/", depth + 1)
            leaves = [leaf if leaf and not _is_folder(leaf) else None for leaf in (one, other)]
            if any(leaves):
                yield f"{prefix}{name}", leaves[0], leaves[1]

    def _count(self) -> None:
        """Folders too: a few of them within each other are without end."""
        self._looked += 1
        if self._looked > self._max_entries:
            raise ArchiveRefused(
                f"a commit changes more than {self._max_entries} files and folders: import a folder, with `root`"
            )

    def _children(self, tree: bytes) -> dict[str, Leaf]:
        if tree not in self._read:
            if len(self._read) > _TREES_KEPT:
                self._read.clear()
            self._read[tree] = _parsed(self._pack.read(tree)[1])
        return self._read[tree]


def _is_folder(leaf: Leaf) -> bool:
    return leaf.mode == FOLDER


def _parsed(content: bytes) -> dict[str, Leaf]:
    from dulwich.objects import parse_tree  # noqa: PLC0415 - only those who import git need it

    with refusing_broken():
        return {
            name.decode("utf-8", "surrogateescape"): Leaf(mode, bytes.fromhex(object_id.decode()))
            for name, mode, object_id in parse_tree(content, 20)
        }
