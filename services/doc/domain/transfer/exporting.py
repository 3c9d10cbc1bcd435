"""The work of an export: a branch as files, or with its history as commits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.doc.domain.attachments.attachment import EXPORT_MANIFEST, Attachment
from services.doc.domain.attachments.shelf import AttachmentShelf
from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.documents.document import Head
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.jobs.job import Ending, Job, Tally
from services.doc.domain.jobs.report import Report
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.transfer.asked import GIT_BUNDLE, ExportAsked
from services.doc.domain.transfer.errors import NothingToExport, TooMuchToExport
from services.doc.domain.transfer.history import commits_of
from services.doc.domain.transfer.portable import left_out
from services.doc.domain.transfer.ports import Blobs, HistoryStore, Ledger, PackedCommit, PackedFile, Packer

MAX_DOCUMENTS, MAX_REVISIONS = 100_000, 200_000
_AT_ONCE, _PAGE = 100, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportGround:
    """What every export stands on. `keep_for`: how long its file can be downloaded."""

    directory: SpaceDirectory
    branches: BranchStore
    documents: DocumentStore
    history: HistoryStore
    shelf: AttachmentShelf
    packer: Packer
    blobs: Blobs
    ledger: Ledger
    keep_for: timedelta


class ExportWork:
    """A services.doc.domain.jobs.ports.Work."""

    def __init__(self, ground: ExportGround) -> None:
        self._ground = ground

    async def run(self, job: Job, report: Report) -> Ending:
        """Begun anew by another process: nothing but the whole file is of use."""
        ground, asked = self._ground, ExportAsked.of_json(job.asked)
        await ground.ledger.reserve(asked.blob, ground.keep_for + timedelta(hours=1))
        await self._export(job, asked, report)
        return Ending(keep_for_s=ground.keep_for.total_seconds())

    async def _export(self, job: Job, asked: ExportAsked, report: Report) -> None:
        ground = self._ground
        await ground.directory.find(job.person, job.space)
        await ground.branches.get(job.tenant_id, job.space, asked.branch)
        report.done, report.tally = 0, Tally()
        report.problems.clear()
        await report.begin("looking")
        heads = await ground.history.heads(job.tenant_id, job.space, asked.branch, asked.prefix, MAX_DOCUMENTS + 1)
        if len(heads) > MAX_DOCUMENTS:
            raise TooMuchToExport(
                f"there are more than {MAX_DOCUMENTS} documents: export a folder at a time, with `prefix`"
            )
        attachments = await self._attachments(job, asked)
        if not attachments and not any(head.deleted_at is None for head in heads):
            raise NothingToExport(f"nothing is below {asked.prefix or 'the top'!r} on the branch {asked.branch!r}")
        export = _Export(ground, job, asked, report)
        wrong = left_out(
            [*(head.path for head in heads if head.deleted_at is None), *(each.path for each in attachments)]
        )
        for path, why in wrong.items():
            report.refuse(path, why)
        heads = [head for head in heads if head.path not in wrong]
        attachments = [each for each in attachments if each.path not in wrong]
        if asked.format == GIT_BUNDLE:
            chunks = ground.packer.bundle(export.commits(heads, attachments), asked.branch)
        else:
            live = [head for head in heads if head.deleted_at is None]
            await report.begin("packing", total=len(live) + len(attachments))
            chunks = ground.packer.archive(asked.format, export.files(live, attachments))
        await ground.blobs.put(asked.blob, chunks)
        await report.tell(now=True)

    async def _attachments(self, job: Job, asked: ExportAsked) -> Sequence[Attachment]:
        found: list[Attachment] = []
        while True:
            after = found[-1].path if found else ""
            page = await self._ground.shelf.list(
                job.person, job.space, asked.branch, prefix=asked.prefix, limit=_PAGE, after=after
            )
            found += page
            if len(page) < _PAGE:
                return found


class _Export:
    """One export, under way. Paths in its file count from the prefix."""

    def __init__(self, ground: ExportGround, job: Job, asked: ExportAsked, report: Report) -> None:
        self._ground, self._job, self._asked, self._report = ground, job, asked, report

    async def files(self, heads: Sequence[Head], attachments: Sequence[Attachment]) -> AsyncIterator[PackedFile]:
        """Documents, attachments, and which content of each document it is."""
        latest = max((each.updated_at for each in heads), default=None)
        for start in range(0, len(heads), _AT_ONCE):
            batch = heads[start : start + _AT_ONCE]
            texts = await self._ground.documents.contents(self._job.tenant_id, [each.sha256 for each in batch])
            for head in batch:
                yield _file(self._below(head.path), head.updated_at, texts[head.sha256].encode())
            self._report.done += len(batch)
            await self._report.tell()
        for attachment in attachments:
            yield self._attachment(attachment)
            self._report.done += 1
            await self._report.tell()
        if latest is not None:
            known = {self._below(head.path): head.sha256 for head in heads}
            yield _file(EXPORT_MANIFEST, latest, json.dumps({"documents": known}, indent=1).encode())

    async def commits(self, heads: Sequence[Head], attachments: Sequence[Attachment]) -> AsyncIterator[PackedCommit]:
        """One a revision, those that came together as one; files beside documents when they were stored."""
        line = await self._ground.history.line(self._job.tenant_id, [head.revision_id for head in heads])
        if len(line) > MAX_REVISIONS:
            raise TooMuchToExport(
                f"there are more than {MAX_REVISIONS} revisions: export a folder at a time, with `prefix`"
            )
        planned = commits_of(line, attachments, self._below)
        await self._report.begin("packing", total=len(planned))
        for each in planned:
            hashes = sorted(set(each.documents.values()))
            texts = await self._ground.documents.contents(self._job.tenant_id, hashes) if hashes else {}
            sets = {path: texts[sha256].encode() for path, sha256 in each.documents.items()}
            for path, sha256 in each.attachments.items():
                sets[path] = b"".join([chunk async for chunk in self._ground.shelf.read(self._job.tenant_id, sha256)])
            yield PackedCommit(
                author=each.author, message=each.message, time=each.time, sets=sets, removes=each.removes
            )
            self._report.done += 1
            await self._report.tell()

    def _attachment(self, attachment: Attachment) -> PackedFile:
        return PackedFile(
            path=self._below(attachment.path),
            modified_at=attachment.created_at,
            content=self._ground.shelf.read(self._job.tenant_id, attachment.sha256),
            size=attachment.size,
        )

    def _below(self, path: str) -> str:
        """Empty for what lies elsewhere."""
        return path.removeprefix(self._asked.prefix) if path.startswith(self._asked.prefix) else ""


def _file(path: str, modified_at: datetime, content: bytes) -> PackedFile:
    return PackedFile(path=path, modified_at=modified_at, content=content, size=len(content))
