"""Thousands of files in and out: import, the same again, export, git, backup, restore; and how that grows.

Service and client share this process; calls go through gRPC and mutual TLS, and PostgreSQL writes to the disk as it
does in earnest. The pages are made of the project's own docs, with links to each other and a picture to every tenth.
Environment variable: BENCH_DOCS_FILES (3,000: the largest of three sizes, each four times the one before).
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import random
import resource
import tempfile
import time
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from automesh.doc.v1 import backup_service_pb2 as backup_pb
from automesh.doc.v1 import backup_service_pb2_grpc as backup_rpc
from automesh.doc.v1 import job_pb2, space_pb2, space_service_pb2
from automesh.doc.v1 import job_service_pb2 as job_pb
from automesh.doc.v1 import job_service_pb2_grpc as job_rpc
from automesh.doc.v1 import space_service_pb2_grpc as space_rpc
from automesh.doc.v1 import transfer_service_pb2 as pb
from automesh.doc.v1 import transfer_service_pb2_grpc as rpc
from automesh.local.postgres import EmbeddedPostgres
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.migrations import migrate
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import in_process_mesh
from services.doc.engine.core import Outside
from services.doc.engine.engine import DocEngine
from services.doc.engine.options import Options

ROOT = Path(__file__).resolve().parents[1]
PERMISSIONS = ("doc.read", "doc.write", "doc.delete", "doc.admin", "doc.backup")
MIB = 1024 * 1024
TARGET_S, TARGET_FILES, GROWTH, SECTIONS = 60.0, 3000, 4, 9
LIMIT_S = 1800.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class House:
    """A service of this process, asked by somebody who may do everything."""

    transfer: rpc.TransferServiceAsyncStub
    jobs: job_rpc.JobServiceAsyncStub
    backups: backup_rpc.BackupServiceAsyncStub
    spaces: space_rpc.SpaceServiceAsyncStub

    async def ended(self, job: job_pb2.Job) -> job_pb2.Job:
        """The job at its end, which must be good."""
        async for message in self.jobs.WatchJob(job_pb.WatchJobRequest(job_id=job.job_id), timeout=LIMIT_S):
            job = message.job
        if job.state != job_pb2.JOB_STATE_DONE:
            raise SystemExit(f"a job failed: {job.failure}")
        return job

    async def bring(self, space: str, archive: bytes) -> job_pb2.Job:
        """An import."""

        async def requests() -> AsyncIterator[pb.ImportArchiveRequest]:
            yield pb.ImportArchiveRequest(space=space)
            for start in range(0, len(archive), MIB):
                request = pb.ImportArchiveRequest()
                request.content.data = archive[start : start + MIB]
                yield request

        return await self.ended((await self.transfer.ImportArchive(requests())).job)

    async def export(self, space: str, format: pb.ArchiveFormat.ValueType) -> bytes:
        """An export."""
        job = (await self.transfer.ExportArchive(pb.ExportArchiveRequest(space=space, format=format))).job
        await self.ended(job)
        call = self.transfer.DownloadExport(pb.DownloadExportRequest(job_id=job.job_id), timeout=LIMIT_S)
        return b"".join([body.data async for body in call])

    async def space(self, name: str) -> None:
        """A new one."""
        await self.spaces.CreateSpace(space_service_pb2.CreateSpaceRequest(space=space_pb2.Space(space=name)))


def main() -> None:
    """Prints seconds for each size."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    most = int(os.environ.get("BENCH_DOCS_FILES", TARGET_FILES))
    print(f"load of the machine {os.getloadavg()[0]:.1f}; target: {TARGET_FILES} files within {TARGET_S:g} s")
    for count in (most // GROWTH**2, most // GROWTH, most):
        with tempfile.TemporaryDirectory(prefix="bench-docs-") as folder:
            asyncio.run(_run(Path(folder), count))


async def _run(folder: Path, count: int) -> None:
    files = _pages(count)
    archive = _zipped(files)
    print(f"\n{count} pages of {sum(map(len, files.values())) / count / 1024:.1f} KiB, {len(files) - count} pictures")
    async with _house(folder / "one", folder) as house:
        await house.space("bench")
        _check(await _timed("import", count, house.bring("bench", archive)), created=len(files))
        _check(await _timed("the same again", count, house.bring("bench", archive)), unchanged=len(files))
        changed = {path: body + b"\nOne more line.\n" for path, body in list(files.items())[: count // 100]}
        _check(
            await _timed("one in a hundred changed", count, house.bring("bench", _zipped(files | changed))),
            updated=len(changed),
        )
        await _timed("export as zip", count, house.export("bench", pb.ARCHIVE_FORMAT_ZIP))
        bundle = await _timed("export as git", count, house.export("bench", pb.ARCHIVE_FORMAT_GIT_BUNDLE))
        await house.space("git")
        await _timed("import of git", count, house.bring("git", bundle))
        made = await _timed("backup", count, _backup(house))
        second = await _timed("the next backup", count, _backup(house))
        print(f"  {'':32} {made.size / MIB:9.1f} MiB, then {second.size / MIB:.1f} MiB")
        await _timed("verify", count, _verify(house, second.backup_id))
    async with _house(folder / "two", folder) as house:
        await _timed("restore into an empty stack", count, _restore(house, second.backup_id))
    print(f"  peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


async def _timed(what: str, count: int, work: Awaitable[_T]) -> _T:
    started = time.perf_counter()
    result = await work
    seconds = time.perf_counter() - started
    print(f"  {what:32} {seconds:8.2f} s {count / seconds:8.0f} /s", flush=True)
    return result


def _check(job: job_pb2.Job, **wanted: int) -> None:
    for name, number in wanted.items():
        if getattr(job.tally, name) != number:
            raise SystemExit(f"{name} should be {number}: {job.tally}")


async def _backup(house: House) -> backup_pb.Backup:
    job = await house.ended((await house.backups.CreateBackup(backup_pb.CreateBackupRequest())).job)
    return (await house.backups.GetBackup(backup_pb.GetBackupRequest(backup_id=job.backup_id))).backup


async def _verify(house: House, backup_id: str) -> None:
    await house.ended((await house.backups.VerifyBackup(backup_pb.VerifyBackupRequest(backup_id=backup_id))).job)


async def _restore(house: House, backup_id: str) -> None:
    await house.ended((await house.backups.RestoreBackup(backup_pb.RestoreBackupRequest(backup_id=backup_id))).job)


def _pages(count: int) -> dict[str, bytes]:
    """The same for the same count."""
    chance = random.Random(count)
    sections = [
        f"## {section}"
        for path in sorted((ROOT / "docs").rglob("*.md"))
        for section in path.read_text().split("\n## ")[1:]
    ]
    files: dict[str, bytes] = {}
    for number in range(count):
        links = " ".join(f"[{to}](../part{to % 20}/page{to}.md)" for to in chance.sample(range(count), k=min(count, 5)))
        body = "\n".join(chance.choices(sections, k=SECTIONS))
        picture = "![picture](picture.png)\n" if number % 10 == 0 else ""
        files[f"part{number % 20}/page{number}.md"] = f"# Page {number}\n\n{links}\n\n{picture}{body}\n".encode()
        if picture:
            files[f"part{number % 20}/picture{number}.png"] = b"\x89PNG\r\n\x1a\n" + chance.randbytes(20_000)
    return files


def _zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return out.getvalue()


_SEALER = Sealer(Keyring.generate())


@asynccontextmanager
async def _house(folder: Path, shared: Path) -> AsyncGenerator[House]:
    postgres = EmbeddedPostgres(folder / "data", folder / "run")
    dsn = await postgres.start()
    try:
        async with Database.open(dsn, schema="doc") as database:
            await migrate(database, "services.doc.migrations")
            outside = Outside(
                database=database,
                sealer=_SEALER,
                blobs=EncryptedBlobStore.open(folder / "blobs", _SEALER),
                fanout=LocalFanout(),
                backups=EncryptedBlobStore.open(shared / "backups", _SEALER),
            )
            engine = DocEngine(outside, Options(scratch=folder / "doc"))
            async with engine.open() as bounds, in_process_mesh("doc", bounds) as mesh:
                token = mesh.mint.mint(PERMISSIONS, name="ann", exp=int(time.time() + 4 * LIMIT_S))
                channel = await mesh.channel(token=token)
                yield House(
                    rpc.TransferServiceStub(channel),
                    job_rpc.JobServiceStub(channel),
                    backup_rpc.BackupServiceStub(channel),
                    space_rpc.SpaceServiceStub(channel),
                )
    finally:
        await postgres.stop()
