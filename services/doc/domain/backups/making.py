"""The work of a backup: one snapshot of the database, cut into pieces that an earlier backup may have already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from automesh.core.errors import AutomationError, Unavailable
from services.doc.domain.attachments.errors import AttachmentDamaged, AttachmentNotFound
from services.doc.domain.backups.backup import (
    SCHEDULE,
    Backup,
    Bodies,
    Known,
    Manifest,
    Piece,
    SpacePart,
    SpaceSummary,
    TablePart,
    digest_of,
    space_digest,
)
from services.doc.domain.backups.errors import BackupDamaged
from services.doc.domain.backups.pieces import PIECE_BYTES, RowCutter, counted, pack_bodies
from services.doc.domain.backups.ports import BackupStore, Snapshot, Snapshots
from services.doc.domain.backups.retention import prune
from services.doc.domain.backups.tables import BackedTable, Row
from services.doc.domain.errors import space_not_found
from services.doc.domain.jobs.errors import JobFailed, JobLost
from services.doc.domain.jobs.job import Ending, Job, Tally
from services.doc.domain.jobs.report import Report

_BODIES_AT_ONCE = 50


class BackupWork:
    """A services.doc.domain.jobs.ports.Work. `keep`: backups that came by themselves and stay."""

    def __init__(self, store: BackupStore, snapshots: Snapshots, *, keep: int) -> None:
        self._store, self._snapshots, self._keep = store, snapshots, keep

    async def run(self, job: Job, report: Report) -> Ending:
        """Begun anew by another process: what one has left that died is removed first, of earlier backups too."""
        await self._store.clear(job.tenant_id, job.backup_id)
        await self._store.sweep(job.tenant_id)
        report.done, report.tally = 0, Tally()
        report.problems.clear()
        try:
            await self._make(job, report)
        except (JobLost, Unavailable):
            raise
        except AutomationError:
            await self._store.clear(job.tenant_id, job.backup_id)
            raise
        if job.created_by == SCHEDULE:
            await report.begin("removing old backups")
            await prune(self._store, job.tenant_id, self._keep)
        return Ending(backup_id=job.backup_id)

    async def _make(self, job: Job, report: Report) -> None:
        asked: dict[str, Any] = dict(job.asked)
        await report.begin("looking for what is there")
        base, known = await self._base(job.tenant_id, full=bool(asked.get("full")))
        async with self._snapshots.open(job.tenant_id) as snapshot:
            spaces = await _chosen(snapshot, asked.get("spaces", ()))
            await report.begin("reading", total=sum([await snapshot.count(space) for space in spaces]))
            making = _Making(self._store, job, report, snapshot, known)
            manifest = await making.manifest(spaces)
            moment = snapshot.moment
        await report.begin("writing its list")
        await self._check_bases(job, manifest, base)
        await self._store.finish(job.tenant_id, _head(job, base, manifest, moment, making.written), manifest)

    async def _base(self, tenant_id: str, *, full: bool) -> tuple[str, Known]:
        """The newest that can be read, with all that it builds on; without one, or on demand, nothing."""
        backups = [] if full else await self._store.list(tenant_id)
        there = {each.backup_id for each in backups}
        for backup in (each for each in backups if there.issuperset(each.bases)):
            with suppress(BackupDamaged):
                return backup.backup_id, Known.of(await self._store.manifest(tenant_id, backup))
        return "", Known()

    async def _check_bases(self, job: Job, manifest: Manifest, base: str) -> None:
        """Somebody may have deleted one while this one was made."""
        there = {each.backup_id for each in await self._store.list(job.tenant_id)} | {job.backup_id, ""}
        if any(piece.owner not in there for piece, _ in manifest.pieces()) or base not in there:
            raise JobFailed("a backup that this one builds on was deleted meanwhile: make it again")


class _Making:
    """One backup, under way."""

    def __init__(self, store: BackupStore, job: Job, report: Report, snapshot: Snapshot, known: Known) -> None:
        self._store, self._job, self._report = store, job, report
        self._snapshot, self._known = snapshot, known
        self._bodies: dict[str, Bodies] = {}
        self._new: list[tuple[str, bytes]] = []
        self._wanted: list[str] = []
        self._seen: set[str] = set()
        self._files: dict[str, Sequence[Piece]] = {}
        self.written = 0

    async def manifest(self, spaces: Sequence[str]) -> Manifest:
        """Of these spaces."""
        parts = [await self._space(space) for space in spaces]
        await self._take_bodies()
        await self._put_bodies()
        unique = {id(each): each for each in self._bodies.values()}
        return Manifest(spaces=parts, bodies=list(unique.values()), files=self._files)

    async def _space(self, space: str) -> SpacePart:
        tables = {table.name: await self._table(space, table) for table in self._snapshot.tables}
        counts = {name: part.rows for name, part in tables.items()}
        summary = SpaceSummary(
            space=space,
            documents=counts.get("document", 0),
            revisions=counts.get("revision", 0),
            attachments=counts.get("attachment", 0),
            digest=space_digest(tables),
        )
        return SpacePart(summary=summary, tables=tables)

    async def _table(self, space: str, table: BackedTable) -> TablePart:
        cutter, pieces, digest = RowCutter(table), [], hashlib.sha256()
        async for row in self._snapshot.rows(space, table):
            if table.counted:
                digest.update(counted(table, row))
            if (piece := cutter.add(row)) is not None:
                pieces.append(await self._put(piece))
            await self._take(space, table, row)
        if (piece := cutter.rest()) is not None:
            pieces.append(await self._put(piece))
        return TablePart(cutter.rows, digest.hexdigest() if table.counted else "", pieces)

    async def _take(self, space: str, table: BackedTable, row: Row) -> None:
        """What a row refers to."""
        if table.name == "document":
            self._report.done += 1
            await self._report.tell()
        elif table.name == "revision" and row["sha256"] not in self._seen:
            self._seen.add(row["sha256"])
            await self._want(row["sha256"])
        elif table.file and row[table.file]:
            await self._take_file(space, row[table.file], row.get("path", ""))

    async def _want(self, sha256: str) -> None:
        held = self._known.bodies.get(sha256)
        if held is not None:
            self._bodies[sha256] = held
            return
        self._wanted.append(sha256)
        if len(self._wanted) >= _BODIES_AT_ONCE:
            await self._take_bodies()

    async def _take_bodies(self) -> None:
        wanted, self._wanted = self._wanted, []
        bodies = await self._snapshot.bodies(wanted) if wanted else {}
        for sha256 in wanted:
            self._new.append((sha256, bodies[sha256]))
            if sum(len(body) for _, body in self._new) >= PIECE_BYTES:
                await self._put_bodies()
        await self._report.tell()

    async def _put_bodies(self) -> None:
        if not self._new:
            return
        new, self._new = self._new, []
        held = Bodies(await self._put(pack_bodies(new)), [sha256 for sha256, _ in new])
        self._bodies |= dict.fromkeys(held.hashes, held)

    async def _take_file(self, space: str, sha256: str, path: str) -> None:
        if sha256 in self._files:
            return
        if sha256 in self._known.files:
            self._files[sha256] = self._known.files[sha256]
            return
        pieces, buffer = [], bytearray()
        try:
            async for chunk in self._snapshot.file(sha256):
                buffer += chunk
                if len(buffer) >= PIECE_BYTES:
                    pieces.append(await self._put(bytes(buffer)))
                    buffer.clear()
                    await self._report.tell()
        except (AttachmentNotFound, AttachmentDamaged) as error:
            self._report.refuse(f"{space}/{path}", f"is not in the backup: {error.message}")
            return
        if buffer or not pieces:
            pieces.append(await self._put(bytes(buffer)))
        self._files[sha256] = pieces

    async def _put(self, content: bytes) -> Piece:
        """A piece that is there already is not written again."""
        held = self._known.pieces.get(hashlib.sha256(content).hexdigest())
        if held is not None:
            return held
        piece, written = await self._store.put(self._job.tenant_id, self._job.backup_id, content)
        self._known.pieces[piece.sha256] = piece
        self.written += written
        return piece


async def _chosen(snapshot: Snapshot, wanted: Sequence[str]) -> Sequence[str]:
    there = await snapshot.spaces()
    missing = [space for space in wanted if space not in there]
    if missing:
        raise space_not_found(missing[0])
    return [space for space in there if not wanted or space in wanted]


def _head(job: Job, base: str, manifest: Manifest, moment: datetime, written: int) -> Backup:
    owners = {piece.owner for piece, _ in manifest.pieces()} | {base}
    return Backup(
        backup_id=job.backup_id,
        base=base,
        bases=sorted(owners - {job.backup_id, ""}),
        created_at=moment,
        created_by=job.created_by,
        spaces=[part.summary for part in manifest.spaces],
        size=written,
        digest=digest_of([part.summary for part in manifest.spaces]),
        manifest="",
    )
