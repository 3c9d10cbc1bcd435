"""The work of a restore: what a backup shows comes back, and what is there already stays as it is."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automesh.core.errors import AlreadyExists, AutomationError, Unavailable
from services.doc.domain.backups.backup import Bodies, Manifest
from services.doc.domain.backups.copies import Grouped, Returning
from services.doc.domain.backups.errors import BackupDamaged, NotInBackup
from services.doc.domain.backups.pieces import rows_of, unpack_bodies
from services.doc.domain.backups.ports import BackupStore, DocumentRows, Restorer
from services.doc.domain.backups.tables import TABLES, BackedTable, Row
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents import diff
from services.doc.domain.documents.document import Change, Head, Write
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.documents.text import read
from services.doc.domain.errors import DocumentNotFound
from services.doc.domain.jobs.errors import JobCancelled, JobLost
from services.doc.domain.jobs.job import Ending, Job, Tally
from services.doc.domain.jobs.report import Report

_AT_ONCE, _PIECES_KEPT = 500, 8
_DOCUMENTS, _BYTES = 100, 16 * 1024 * 1024
"""That are brought back in one transaction."""
_BEGIN = ("space", "member", "branch")
_OF_SPACES = frozenset({"template", "review", "judgement", "follow", "import_base", "import_commit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreGround:
    """What every restore stands on."""

    store: BackupStore
    restorer: Restorer
    documents: DocumentStore
    doorbell: Doorbell
    make_id: Callable[[str], str]


class RestoreWork:
    """A services.doc.domain.jobs.ports.Work."""

    def __init__(self, ground: RestoreGround) -> None:
        self._ground = ground

    async def run(self, job: Job, report: Report) -> Ending:
        """Begun anew by another process: what has come back already is there and stays."""
        report.done, report.tally = 0, Tally()
        report.problems.clear()
        asked: dict[str, Any] = dict(job.asked)
        backup = await self._ground.store.get(job.tenant_id, job.backup_id)
        manifest = await self._ground.store.manifest(job.tenant_id, backup)
        wanted = asked.get("space", "")
        parts = [part for part in manifest.spaces if wanted in {"", part.summary.space}]
        if not parts:
            raise NotInBackup(f"the backup {job.backup_id} has no space {wanted!r}", space=wanted)
        only = asked.get("document_id", "")
        await report.begin("restoring", total=1 if only else sum(part.summary.documents for part in parts))
        for part in parts:
            target = asked.get("as_space") or part.summary.space
            await _Restoring(self._ground, job, report, manifest, Returning(part, target, only)).all()
        await report.tell(now=True)
        return Ending(backup_id=job.backup_id)


class _Restoring:
    """One space, under way."""

    def __init__(self, ground: RestoreGround, job: Job, report: Report, manifest: Manifest, space: Returning) -> None:
        self._ground, self._job, self._report, self._manifest, self._space = ground, job, report, manifest, space
        self._bodies = {sha256: bodies for bodies in manifest.bodies for sha256 in bodies.hashes}
        self._cache: OrderedDict[str, Mapping[str, bytes]] = OrderedDict()
        self._existed = False
        self._paths: set[tuple[str, str]] = set()

    async def all(self) -> None:
        """The space, its documents, and what hangs on them."""
        batches = self._batches()
        first = await anext(batches, None)
        if self._space.only and first is None:
            raise NotInBackup(
                f"the backup has no document {self._space.only!r} in the space {self._space.part.summary.space!r}",
                documentId=self._space.only,
            )
        await self._begin()
        await self._take(first or [])
        async for batch in batches:
            await self._take(batch)
        for table in TABLES:
            if not table.document and table.name not in _BEGIN and table.name in self._space.part.tables:
                await self._table(table)
        self._ground.doorbell.ring()

    async def _begin(self) -> None:
        restorer, tenant_id, target = self._ground.restorer, self._job.tenant_id, self._space.target
        self._existed = await restorer.exists(tenant_id, target)
        rows = {name: [row async for row in self._rows(name)] for name in _BEGIN}
        await restorer.begin(tenant_id, target, rows)

    async def _documents(self) -> AsyncIterator[DocumentRows]:
        """One after the other, each with its rows of all tables: those are in the order of documents."""
        names = [table.name for table in TABLES if table.document and table.name in self._space.part.tables]
        streams = {name: Grouped(self._rows(name, mapped=False)) for name in names}
        async for row in self._rows("document", mapped=False):
            document_id = row["document_id"]
            rows = {name: await streams[name].of(document_id) for name in names}
            if self._space.only in {"", document_id}:
                mapped = {name: [self._space.row(each) for each in found] for name, found in rows.items()}
                yield DocumentRows(self._space.id(document_id), mapped)

    async def _batches(self) -> AsyncIterator[Sequence[DocumentRows]]:
        """Documents, as many as can well be in memory with their texts."""
        batch: list[DocumentRows] = []
        size = 0
        async for document in self._documents():
            batch.append(document)
            size += sum(row["size"] for row in document.rows["revision"])
            if len(batch) >= _DOCUMENTS or size >= _BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def _take(self, batch: Sequence[DocumentRows]) -> None:
        for document in batch:
            self._paths |= {(link["branch"], link["target_key"]) for link in document.rows.get("link", ())}
        known = await self._ground.restorer.known(self._job.tenant_id, [each.document_id for each in batch])
        await self._add_documents([each for each in batch if each.document_id not in known])
        for document in batch:
            if document.document_id in known:
                await self._telling(document, self._again(document))
        self._report.done += len(batch)
        await self._report.tell()
        self._ground.doorbell.ring()

    async def _add_documents(self, batch: Sequence[DocumentRows]) -> None:
        """Together; one by one where one of them cannot be."""
        if len(batch) > 1:
            try:
                await self._bring(batch)
                return
            except (AlreadyExists, BackupDamaged):
                pass
        for document in batch:
            await self._telling(document, self._bring([document]))

    async def _bring(self, batch: Sequence[DocumentRows]) -> None:
        hashes = {row["sha256"] for document in batch for row in document.rows["revision"]}
        bodies = {sha256: await self._body(sha256) for sha256 in sorted(hashes, key=self._place)}
        await self._ground.restorer.add(self._job.tenant_id, self._space.target, batch, bodies)
        self._report.count(Tally(created=len(batch)))

    async def _telling(self, document: DocumentRows, work: Awaitable[None]) -> None:
        """What goes wrong with one document is told of, and the rest goes on."""
        try:
            await work
        except (JobLost, JobCancelled, Unavailable):
            raise
        except AutomationError as error:
            self._report.refuse(document.path, error.message)

    def _place(self, sha256: str) -> str:
        """In which piece: so that each is read once."""
        bodies = self._bodies.get(sha256)
        return bodies.piece.sha256 if bodies else ""

    async def _again(self, document: DocumentRows) -> None:
        """A document that is there: where it is not as it was, a new revision says what it was."""
        written = False
        shas = {row["revision_id"]: row["sha256"] for row in document.rows["revision"]}
        for row in document.rows["head"]:
            if row["deleted_at"] is not None:
                continue
            try:
                head = await self._ground.documents.head(self._job.tenant_id, document.document_id, row["branch"])
            except DocumentNotFound:
                self._report.mention(row["path"], f"is not on the branch {row['branch']!r} any more: it was left so")
                continue
            sha256 = shas[row["revision_id"]]
            if head.deleted_at is None and (head.sha256, head.path) == (sha256, row["path"]):
                continue
            await self._write(head, row["path"], (await self._body(sha256)).decode())
            written = True
        self._report.count(Tally(updated=1) if written else Tally(unchanged=1))

    async def _write(self, head: Head, path: str, content: str) -> None:
        old = await self._ground.documents.content(self._job.tenant_id, head.sha256)
        counts = diff.counts(old, content)
        write = Write(
            tenant_id=self._job.tenant_id,
            space=head.space,
            branch=head.branch,
            document_id=head.document_id,
            revision_id=self._ground.make_id("rev"),
            expected=head.revision_id,
            change=Change.RESTORE,
            path=path,
            content=content,
            author=self._job.created_by,
            message=f"restored from {self._job.backup_id}",
            lines_added=counts.added,
            lines_removed=counts.removed,
        )
        await self._ground.documents.write(write, read(content, path, max_bytes=max(1, len(content.encode()))))

    async def _table(self, table: BackedTable) -> None:
        """What belongs to the space and to documents that are there."""
        if (table.new_spaces_only and self._existed) or (self._space.only and table.name in _OF_SPACES):
            return
        batch: list[Row] = []
        async for row in self._rows(table.name):
            if not self._space.only or self._belongs(table, row):
                batch.append(row)
            if len(batch) >= _AT_ONCE:
                await self._add(table, batch)
                batch = []
        await self._add(table, batch)

    def _belongs(self, table: BackedTable, row: Row) -> bool:
        """To the one document that is restored."""
        if table.file:
            return (row["branch"], row["path_key"]) in self._paths
        return bool(row.get("document_id")) and row["document_id"] == self._space.id(self._space.only)

    async def _add(self, table: BackedTable, rows: Sequence[Row]) -> None:
        restorer, tenant_id = self._ground.restorer, self._job.tenant_id
        if not rows:
            return
        if table.file:
            wanted = {row[table.file] for row in rows if row[table.file]}
            for sha256 in await restorer.missing_files(tenant_id, wanted):
                await self._file(sha256)
        added, lost = await restorer.add_rows(tenant_id, self._space.target, table, rows)
        if table.name == "attachment":
            self._report.count(Tally(created=added, unchanged=len(rows) - added - lost))
        if lost:
            self._report.mention(
                self._space.target, f"{lost} rows of {table.name!r} did not come back: what they belong to is not there"
            )
        await self._report.tell()

    async def _file(self, sha256: str) -> None:
        pieces = self._manifest.files.get(sha256)
        if pieces is None:
            self._report.mention(sha256, "the content of this attachment was missing when the backup was made")
            return

        async def chunks() -> AsyncIterator[bytes]:
            digest = hashlib.sha256()
            for piece in pieces:
                content = await self._ground.store.read(self._job.tenant_id, piece)
                digest.update(content)
                yield content
            if digest.hexdigest() != sha256:
                raise BackupDamaged(f"the attachment {sha256[:12]}... is another than its hash says", sha256=sha256)

        await self._ground.restorer.add_file(self._job.tenant_id, sha256, chunks())

    async def _rows(self, name: str, *, mapped: bool = True) -> AsyncIterator[Row]:
        table = self._space.part.tables.get(name)
        for piece in table.pieces if table else ():
            for row in rows_of(await self._ground.store.read(self._job.tenant_id, piece)):
                yield self._space.row(row) if mapped else row

    async def _body(self, sha256: str) -> bytes:
        bodies = self._bodies.get(sha256)
        if bodies is None:
            raise BackupDamaged(f"the backup lacks the text {sha256[:12]}...: verify it", sha256=sha256)
        return (await self._unpacked(bodies))[sha256]

    async def _unpacked(self, bodies: Bodies) -> Mapping[str, bytes]:
        name = bodies.piece.sha256
        if name not in self._cache:
            content = await self._ground.store.read(self._job.tenant_id, bodies.piece)
            self._cache[name] = unpack_bodies(content)
            while len(self._cache) > _PIECES_KEPT:
                self._cache.popitem(last=False)
        self._cache.move_to_end(name)
        return self._cache[name]
