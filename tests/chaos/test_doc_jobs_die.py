"""Whoever imports or backs up is killed in the middle, over and over: everything is there once, nothing is half."""

import asyncio
import io
import random
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.clients.backup_store import BlobBackupStore
from services.doc.clients.hints import FanoutHints
from services.doc.domain.backups.desk import BackupDesk
from services.doc.domain.jobs.desk import JobDesk
from services.doc.domain.jobs.job import Job, JobState, NewJob
from services.doc.domain.jobs.ports import JobStore
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import NewSpace
from services.doc.domain.transfer.asked import ImportAsked
from services.doc.domain.transfer.desk import TransferDesk
from services.doc.domain.transfer.ports import NoTasks
from services.doc.engine.core import Core, Outside
from services.doc.engine.options import Options
from services.doc.store.jobs import SqlJobStore

ANN = Person(tenant_id="default", user="ann", admin=True)
FILES, LIMIT_S = 400, 120
ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).parent / "programs" / "doc_worker.py"


class House:
    """Asks for work that programs of their own do."""

    def __init__(self, core: Core, dsn: str, folder: Path, keyring: Path) -> None:
        self.core, self.dsn, self.folder, self.keyring = core, dsn, folder, keyring
        self.rows: JobStore = SqlJobStore(core.outside.database)
        hints = FanoutHints(core.outside.fanout)
        self.jobs = JobDesk(self.rows, core.directory, hints, core.doorbell)
        assert core.outside.backups is not None
        self.store = BlobBackupStore(core.outside.backups)
        self.backups = BackupDesk(self.store, self.jobs, core.directory, make_id=core.options.make_id)
        self.transfer = TransferDesk(
            self.jobs, directory=core.directory, branches=core.branches, blobs=core.outside.blobs,
            ledger=core.blob_ledger, tasks=NoTasks(), make_id=core.options.make_id, clock=core.options.clock,
            max_bytes=2**30,
        )  # fmt: skip

    async def killed_until_it_ends(self, job: Job | NewJob, pauses: list[float]) -> Job:
        """Each worker is killed after a pause; the last one may come to an end."""
        for pause in pauses:
            async with self.working() as program:
                await asyncio.sleep(pause)  # at any moment
                program.kill()
        async with self.working():
            return await self.jobs.wait(await self.rows.get("default", job.job_id), timedelta(seconds=LIMIT_S))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Killed at the end, if it lives still."""
        program = await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), self.dsn, str(self.folder), str(self.keyring),
            stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}, cwd=ROOT,
        )  # fmt: skip
        try:
            assert program.stdout is not None
            assert await asyncio.wait_for(program.stdout.readline(), 60) == b"working\n"
            yield program
        finally:
            if program.returncode is None:
                program.kill()
            await program.wait()


@pytest.fixture
async def house(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[House]:
    keyring = tmp_path / "keyring.json"
    keys = Keyring.generate()
    keys.save(keyring)
    sealer = Sealer(keys)
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        outside = Outside(
            database=database,
            sealer=sealer,
            blobs=EncryptedBlobStore.open(tmp_path / "blobs", sealer),
            fanout=LocalFanout(),
            backups=EncryptedBlobStore.open(tmp_path / "backups", sealer),
        )
        core = Core(outside, Options(scratch=tmp_path / "scratch"))
        await core.directory.create(ANN, NewSpace(space="guides"))
        yield House(core, dsn, tmp_path, keyring)


async def archive() -> AsyncIterator[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for at in range(FILES):
            packed.writestr(f"p{at}.md", f"# Page {at}\n\n" + f"word{at} " * 2000)
    yield out.getvalue()


async def test_an_import_whose_workers_are_killed_brings_every_file_once(house: House) -> None:
    job = await house.transfer.import_archive(ANN, "guides", ImportAsked.checked(), archive())
    chance = random.Random(8)
    done = await house.killed_until_it_ends(job, [chance.uniform(0.1, 0.9) for _ in range(4)])
    assert (done.state, done.tally.created, done.tally.unchanged, done.tally.refused) == (JobState.DONE, FILES, 0, 0)
    database = house.core.outside.database
    counts = await database.fetchrow(
        "SELECT count(*) AS revisions, count(DISTINCT document_id) AS documents FROM revision", tenant="default"
    )
    assert counts is not None
    assert (counts["revisions"], counts["documents"]) == (FILES, FILES)


async def test_a_backup_whose_workers_are_killed_is_listed_whole_or_not_at_all(house: House, tmp_path: Path) -> None:
    job = await house.transfer.import_archive(ANN, "guides", ImportAsked.checked(), archive())
    await house.killed_until_it_ends(job, [])
    chance = random.Random(9)
    for _ in range(3):
        asked = await house.backups.create(ANN, [], full=True)
        async with house.working() as program:
            await asyncio.sleep(chance.uniform(0.05, 0.4))  # at any moment
            program.kill()
        for listed in await house.store.list("default"):
            manifest = await house.store.manifest("default", listed)
            for piece, _ in manifest.pieces():
                await house.store.read("default", piece)
        done = await house.killed_until_it_ends(asked, [])
        assert done.state is JobState.DONE
    whole = await house.store.list("default")
    assert len(whole) == 3
    assert len({backup.digest for backup in whole}) == 1
    pieces = {path.parent.name for path in (tmp_path / "backups").rglob("pieces/*/*")}
    assert pieces == {backup.backup_id for backup in whole}
