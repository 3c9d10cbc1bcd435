"""A git bundle that was uploaded: its first-parent line, commit by commit, then the files beside documents."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from automesh.core.errors import ValidationError
from services.doc.clients.archive_limits import Meter
from services.doc.clients.archives import normal
from services.doc.clients.git_pack import BLOB, COMMIT, TAG, Pack, refusing_broken
from services.doc.clients.git_tree import LINK, SUBMODULE, Leaf, Trees
from services.doc.clients.scratch import SealedScratch
from services.doc.domain.jobs.job import Problem
from services.doc.domain.transfer.arrival import Arrival, Departure, Step, ignored, named
from services.doc.domain.transfer.errors import ArchiveRefused
from services.doc.domain.transfer.history import with_trailers

SIGNATURES = (b"# v2 git bundle\n", b"# v3 git bundle\n")
MAX_COMMITS = 20_000
"""Of a longer history the oldest commits come as one."""
_MAX_HEAD, _MAX_NAME = 1024 * 1024, 200
_MAIN_NAMES = (b"HEAD", b"refs/heads/main", b"refs/heads/master")
_MAKE = "make it with `git bundle create FILE --all`"


@dataclass(frozen=True, slots=True)
class _Commit:
    object_id: bytes
    tree: bytes
    parents: Sequence[bytes]
    author: str
    time: datetime
    message: str


class GitSource:
    """A services.doc.domain.transfer.ports.Source."""

    def __init__(self, scratch: SealedScratch, meter: Meter, root: str) -> None:
        self._scratch, self._meter, self._root = scratch, meter, root
        self._refs: dict[bytes, bytes] = {}
        self._line: list[bytes] = []
        self._end = Step(arrivals=())
        self._digests: dict[bytes, tuple[str, int]] = {}
        self._pack = Pack(scratch, 0, meter)
        self._trees = Trees(self._pack, meter.limits.max_entries)

    @property
    def total(self) -> int:
        return len(self._line) + len(self._end.arrivals)

    @property
    def bases(self) -> Mapping[str, str]:
        return {}

    def scan(self) -> None:
        """Reads the pack whole, and finds the line of commits. Raises ArchiveRefused."""
        self._refs, start = _head(self._scratch)
        self._pack = Pack(self._scratch, start, self._meter)
        self._pack.open()
        self._trees = Trees(self._pack, self._meter.limits.max_entries)
        at: bytes | None = self._peeled(_chosen(self._refs))
        seen: set[bytes] = set()
        while at is not None and at in self._pack and at not in seen:
            seen.add(at)
            self._line.append(at)
            parents = self._commit(at).parents
            at = parents[0] if parents else None
        self._line.reverse()
        self._end = self._last()

    async def steps(self, after: str) -> AsyncIterator[Step]:
        """After a rewritten history, everything that is different comes as one commit."""
        known = [each.hex() for each in self._line]
        start, before = max(len(known) - MAX_COMMITS, 0), None
        if after in known:
            start = known.index(after) + 1
            before = self._line[start - 1]
        elif after:
            start = len(known) - 1
        for at in range(start, len(self._line)):
            yield await asyncio.to_thread(self._step, before, self._line[at])
            before = self._line[at]
        yield self._end

    async def contents(self, arrivals: Sequence[Arrival]) -> Sequence[bytes]:
        return await asyncio.to_thread(
            lambda: [normal(each.path, self._pack.read(bytes.fromhex(each.token))[1]) for each in arrivals]
        )

    def _step(self, before: bytes | None, at: bytes) -> Step:
        """What a commit did to documents."""
        commit = self._commit(at)
        old = self._trees.below(self._commit(before).tree, self._root) if before else None
        arrivals, departures = [], []
        gone: dict[bytes, str] = {}
        changes = [
            each for each in self._trees.changes(old, self._trees.below(commit.tree, self._root)) if _document(each[0])
        ]
        for path, was, now in changes:
            if was is not None and _file(was) and (now is None or not _file(now)):
                departures.append(Departure(path, self._digest(path, was.object_id)[0]))
                gone.setdefault(was.object_id, path)
        for path, was, now in changes:
            if now is None or not _file(now):
                continue
            base = self._digest(path, was.object_id)[0] if was and _file(was) else ""
            moved = gone.pop(now.object_id, "") if not base else ""
            arrivals.append(self._arrival(path, now, base, moved))
        return Step(
            arrivals=arrivals,
            departures=[each for each in departures if each.path not in {arrival.moved_from for arrival in arrivals}],
            message=with_trailers(commit.message, commit.author, commit.time, at.hex()),
            co_authors=(commit.author,),
            commit=at.hex(),
        )

    def _last(self) -> Step:
        """The files beside documents, and every path there is."""
        files = self._trees.files(self._last_tree())
        arrivals, problems = [], []
        for path, leaf in files.items():
            if leaf.mode in {LINK, SUBMODULE}:
                what = "a link" if leaf.mode == LINK else "a submodule"
                problems.append(Problem(path, f"is {what}: put the files themselves into the repository"))
            elif not ignored(path) and not _document(path):
                arrivals.append(self._arrival(path, leaf, "", ""))
        return Step(arrivals=arrivals, problems=problems, present=files.keys())

    def _last_tree(self) -> bytes:
        tree = self._trees.below(self._commit(self._line[-1]).tree, self._root)
        if tree is None:
            raise ArchiveRefused(f"the last commit has no folder {self._root!r}: name another root")
        return tree

    def _arrival(self, path: str, leaf: Leaf, base: str, moved_from: str) -> Arrival:
        digest, size = self._digest(path, leaf.object_id)
        return Arrival(
            path=path, token=leaf.object_id.hex(), size=size, sha256=digest, base=base, moved_from=moved_from
        )

    def _digest(self, path: str, object_id: bytes) -> tuple[str, int]:
        """SHA-256 and size of a file as it would be kept."""
        if object_id not in self._digests:
            kind, content = self._pack.read(object_id)
            if kind != BLOB:
                raise ArchiveRefused(f"the git bundle is broken: {path!r} is no file")
            content = normal(path, content)
            self._digests[object_id] = hashlib.sha256(content).hexdigest(), len(content)
        return self._digests[object_id]

    def _peeled(self, object_id: bytes) -> bytes:
        """The commit that a tag stands for."""
        from dulwich.objects import Tag  # noqa: PLC0415 - only those who import git need it

        for _ in range(5):
            kind, content = self._pack.read(object_id)
            if kind != TAG:
                break
            with refusing_broken():
                object_id = bytes.fromhex(Tag.from_string(content).object[1].decode())
        return object_id

    def _commit(self, object_id: bytes) -> _Commit:
        from dulwich.objects import Commit  # noqa: PLC0415 - only those who import git need it

        kind, content = self._pack.read(object_id)
        if kind != COMMIT:
            raise ArchiveRefused(f"the git bundle is broken: {object_id.hex()} is no commit")
        with refusing_broken():
            parsed = Commit.from_string(content)
            return _Commit(
                object_id=object_id,
                tree=bytes.fromhex(parsed.tree.decode()),
                parents=[bytes.fromhex(parent.decode()) for parent in parsed.parents],
                author=_name(parsed.author),
                time=_time(parsed.author_time, parsed.author_timezone),
                message=parsed.message.decode("utf-8", "replace").replace("\x00", ""),
            )


def _head(scratch: SealedScratch) -> tuple[dict[bytes, bytes], int]:
    """References, and where the pack begins."""
    data = scratch.read_at(0, _MAX_HEAD)
    end = data.find(b"\n\n")
    if end < 0:
        raise ArchiveRefused(f"the git bundle is cut: {_MAKE}")
    refs: dict[bytes, bytes] = {}
    for line in data[:end].split(b"\n")[1:]:
        if line.startswith(b"-"):
            raise ArchiveRefused(f"the git bundle builds on commits that it lacks: {_MAKE}")
        if line.startswith(b"@"):
            if line not in {b"@object-format=sha1"}:
                raise ArchiveRefused(f"the git bundle needs {line[1:].decode('ascii', 'replace')}: {_MAKE}")
            continue
        object_id, _, name = line.partition(b" ")
        try:
            refs[name] = bytes.fromhex(object_id.decode("ascii"))
        except ValueError as error:
            raise ArchiveRefused(f"the git bundle is broken: {_MAKE}") from error
    return refs, end + 2


def _chosen(refs: Mapping[bytes, bytes]) -> bytes:
    for name in _MAIN_NAMES:
        if name in refs:
            return refs[name]
    heads = sorted(name for name in refs if name.startswith(b"refs/heads/"))
    if len(heads) == 1:
        return refs[heads[0]]
    names = ", ".join(name.decode("utf-8", "replace") for name in heads[:10]) or "no branch"
    raise ArchiveRefused(f"the git bundle has {names} and no HEAD: make it with `git bundle create FILE HEAD`")


def _document(path: str) -> bool:
    try:
        return not ignored(path) and named(path, "").document
    except ValidationError:
        return False


def _file(leaf: Leaf) -> bool:
    return leaf.mode not in {LINK, SUBMODULE}


def _name(author: bytes) -> str:
    text = " ".join(author.decode("utf-8", "replace").split())
    return "".join(char for char in text if char.isprintable())[:_MAX_NAME]


def _time(seconds: int, offset_s: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, timezone(timedelta(seconds=offset_s)))
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
