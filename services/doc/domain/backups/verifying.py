"""The work of a verification: every piece is read and held against its hash, every space against its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set

from services.doc.domain.backups.backup import Manifest, Piece, SpacePart, TablePart, space_digest
from services.doc.domain.backups.errors import BackupDamaged
from services.doc.domain.backups.pieces import counted, rows_of, unpack_bodies
from services.doc.domain.backups.ports import BackupStore
from services.doc.domain.backups.tables import TABLES
from services.doc.domain.jobs.errors import JobFailed
from services.doc.domain.jobs.job import Ending, Job, Tally
from services.doc.domain.jobs.report import Report

_TABLES = {table.name: table for table in TABLES}


class VerifyWork:
    """A services.doc.domain.jobs.ports.Work."""

    def __init__(self, store: BackupStore) -> None:
        self._store = store

    async def run(self, job: Job, report: Report) -> Ending:
        """Fails when something is damaged, and names it."""
        report.done, report.tally = 0, Tally()
        report.problems.clear()
        backup = await self._store.get(job.tenant_id, job.backup_id)
        manifest = await self._store.manifest(job.tenant_id, backup)
        await report.begin("reading", total=sum(1 for _ in manifest.pieces()))
        await _Verifying(self._store, job, report, manifest).all()
        await report.tell(now=True)
        if report.tally.refused:
            raise JobFailed(
                f"{report.tally.refused} parts of the backup are damaged or missing, see its problems: make a new one "
                "in full, and look after the place where backups are kept",
                backupId=job.backup_id,
            )
        return Ending(backup_id=job.backup_id)


class _Verifying:
    """One verification, under way."""

    def __init__(self, store: BackupStore, job: Job, report: Report, manifest: Manifest) -> None:
        self._store, self._job, self._report, self._manifest = store, job, report, manifest

    async def all(self) -> None:
        """Texts, attachments, rows; then whether rows refer to what is there."""
        texts: set[str] = set()
        for bodies in self._manifest.bodies:
            content = await self._piece(bodies.piece, f"texts of {len(bodies.hashes)} revisions")
            texts |= self._unpacked(bodies.piece, content) if content is not None else set(bodies.hashes)
        for sha256, pieces in self._manifest.files.items():
            await self._file(sha256, pieces)
        for part in self._manifest.spaces:
            await self._space(part, texts)

    def _unpacked(self, piece: Piece, content: bytes) -> Set[str]:
        try:
            return unpack_bodies(content).keys()
        except BackupDamaged as error:
            self._report.refuse(f"{piece.owner}/{piece.sha256}", error.message)
            return frozenset()

    async def _file(self, sha256: str, pieces: Sequence[Piece]) -> None:
        digest = hashlib.sha256()
        for piece in pieces:
            content = await self._piece(piece, f"the attachment {sha256[:12]}...")
            if content is None:
                return
            digest.update(content)
        if digest.hexdigest() != sha256:
            self._report.refuse(sha256, "the attachment is another than its hash says")

    async def _space(self, part: SpacePart, texts: Set[str]) -> None:
        space = part.summary.space
        for name, held in part.tables.items():
            await self._table(space, name, held, texts)
        if space_digest(part.tables) != part.summary.digest:
            self._report.refuse(space, "its tables do not give the digest that was written down")

    async def _table(self, space: str, name: str, held: TablePart, texts: Set[str]) -> None:
        digest, rows, lacking = hashlib.sha256(), 0, 0
        table = _TABLES.get(name)
        for piece in held.pieces:
            content = await self._piece(piece, f"rows of {name!r} of the space {space!r}")
            if content is None:
                return
            for row in rows_of(content):
                rows += 1
                if table is not None and table.counted:
                    digest.update(counted(table, row))
                lacking += name == "revision" and row["sha256"] not in texts
        if rows != held.rows or (table is not None and table.counted and digest.hexdigest() != held.digest):
            self._report.refuse(space, f"the rows of {name!r} are not those that were written down")
        if lacking:
            self._report.refuse(space, f"{lacking} revisions have no text")

    async def _piece(self, piece: Piece, holds: str) -> bytes | None:
        """None when it is damaged, which is told of."""
        self._report.done += 1
        await self._report.tell()
        try:
            content = await self._store.read(self._job.tenant_id, piece)
        except BackupDamaged as error:
            self._report.refuse(f"{piece.owner}/{piece.sha256}", f"{holds}: {error.message}")
            return None
        self._report.count(Tally(unchanged=1))
        return content
