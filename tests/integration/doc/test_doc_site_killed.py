"""A process that is killed while it publishes: readers see a whole site all the time, and somebody else finishes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.clients.site_program import SiteProgram
from services.doc.domain.documents.requests import NewDocument
from services.doc.domain.publishing.addresses import SiteAddresses
from services.doc.domain.publishing.building import Ground, ReleaseMaker
from services.doc.domain.publishing.errors import ReleaseLost
from services.doc.domain.publishing.ports import Progress
from services.doc.domain.publishing.site import NewRelease, Release, ReleaseState
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import NewSpace
from services.doc.engine.core import Core, Outside
from services.doc.engine.options import Options
from services.doc.store.published import SqlPublishedSites
from services.doc.store.site_contents import SqlSiteContents
from services.doc.store.site_queue import MAX_ATTEMPTS, SqlReleaseQueue
from services.doc.store.site_sources import SqlSiteSources
from services.doc.store.sites import SqlSiteStore

pytestmark = pytest.mark.postgres

ANNA = Person(tenant_id="default", user="anna")
PAGES, LEASE_S, LIMIT_S = 60, 1.0, 60
PROGRAM = """
import asyncio, sys
from pathlib import Path
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring
from tests.integration.doc.test_doc_site_killed import core_of, maker_of

async def main(dsn: str, keys: str, folder: str) -> None:
    async with Database.open(dsn, schema="doc") as database:
        maker = maker_of(core_of(database, Keyring.from_file(Path(keys)), Path(folder)), Path(folder) / "killed")
        await maker.step()

asyncio.run(main(*sys.argv[1:]))
"""


def core_of(database: Database, keyring: Keyring, folder: Path) -> Core:
    sealer = Sealer(keyring)
    blobs = EncryptedBlobStore.open(folder / "blobs", sealer)
    outside = Outside(database=database, sealer=sealer, blobs=blobs, fanout=LocalFanout())
    return Core(outside, Options(scratch=folder / "scratch"))


def maker_of(core: Core, scratch: Path) -> ReleaseMaker:
    outside = core.outside
    program = SiteProgram(scratch, limit_s=60, memory=0)
    program.clear()
    ground = Ground(
        queue=SqlReleaseQueue(outside.database),
        sources=SqlSiteSources(outside.database),
        texts=core.documents,
        attachments=core.attachment_store,
        shelf=core.attachments,
        builder=program,
        contents=SqlSiteContents(outside.database, outside.sealer, outside.blobs, core.options.make_id),
        addresses=SiteAddresses("http://127.0.0.1:8081"),
    )
    return ReleaseMaker(ground, lease_s=LEASE_S)


async def asked(core: Core, number: int) -> Release:
    release = NewRelease(
        release_id=f"rel_{number}", tenant_id="default", space="guides", branch="main", created_by="anna"
    )
    return await SqlSiteStore(core.outside.database).add(release)


async def whole(core: Core) -> str:
    """The release that readers see, after all its files were read and found to be what their hashes say."""
    outside = core.outside
    contents = SqlSiteContents(outside.database, outside.sealer, outside.blobs, core.options.make_id)
    sites = SqlPublishedSites(outside.database, contents)
    served = await sites.current("default", "guides")
    assert served is not None
    query = "SELECT path FROM release_file WHERE release_id = $1"
    paths = [row["path"] for row in await outside.database.fetch(query, served.release_id, tenant="default")]
    told = await SqlSiteStore(outside.database).release("default", "guides", served.release_id)
    assert len(paths) == told.files > PAGES
    for path in paths:
        file = await sites.file(served, path)
        assert file is not None
        body = await sites.body("default", file.sha256)
        content = gzip.decompress(body.content or b"") if body.gzip else body.content or b""
        assert hashlib.sha256(content).hexdigest() == file.sha256
    return served.release_id


async def killed_at(stage: str, core: Core, release: Release, arguments: list[str]) -> None:
    """A process of its own builds, until the release says that it has come so far."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, cwd=Path(__file__).parents[3], stderr=asyncio.subprocess.DEVNULL
    )
    store = SqlSiteStore(core.outside.database)
    ended = asyncio.create_task(process.wait())
    async with asyncio.timeout(LIMIT_S):
        while not ended.done():
            now = await store.release("default", "guides", release.release_id)
            if now.step.startswith(stage):
                break
    if not ended.done():
        process.send_signal(signal.SIGKILL)
    await ended


@pytest.mark.chaos
async def test_whoever_is_killed_in_publish_leaves_a_whole_site_and_another_finishes(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    keyring = Keyring.generate()
    keyring.save(tmp_path / "keys.json")
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        core = core_of(database, keyring, tmp_path)
        await core.directory.create(ANNA, NewSpace(space="guides"))
        for number in range(PAGES):
            text = f"# Page {number}\n\n" + "word [next](page-1.md) `code` " * 200
            await core.writer.create(ANNA, NewDocument(space="guides", path=f"page-{number}.md", content=text))
        maker = maker_of(core, tmp_path / "mine")
        await asked(core, 0)
        await maker.step()
        shown = await whole(core)
        for number, stage in enumerate(("reading", "page", "checking", "keeping"), start=1):
            release = await asked(core, number)
            await killed_at(stage, core, release, [dsn, str(tmp_path / "keys.json"), str(tmp_path)])
            assert await whole(core) in {shown, release.release_id}
            async with asyncio.timeout(LIMIT_S):
                while not (await SqlSiteStore(database).release("default", "guides", release.release_id)).over:
                    rung = core.doorbell.rung
                    if await maker.step() is None:  # the lease of the dead has not run out yet
                        await core.doorbell.wait(rung, 0.1)
            shown = await whole(core)
            assert shown == release.release_id


async def test_one_who_was_away_too_long_can_say_nothing_any_more(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        core = core_of(database, Keyring.generate(), tmp_path)
        await core.directory.create(ANNA, NewSpace(space="guides"))
        queue = SqlReleaseQueue(database)
        await asked(core, 0)
        slow = await queue.claim(LEASE_S)
        assert slow is not None
        assert await queue.claim(LEASE_S) is None
        await over(database)
        quick = await queue.claim(LEASE_S)
        assert quick == replace(slow, attempt=2)
        for late in (queue.renew(slow, Progress("x", 0.5), LEASE_S), queue.fail(slow, "x")):
            with pytest.raises(ReleaseLost):
                await late
        await queue.renew(quick, Progress("x", 0.5), LEASE_S)


async def test_a_release_that_takes_its_builders_with_it_fails_in_the_end(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        core = core_of(database, Keyring.generate(), tmp_path)
        await core.directory.create(ANNA, NewSpace(space="guides"))
        queue = SqlReleaseQueue(database)
        await asked(core, 0)
        for _ in range(MAX_ATTEMPTS):
            assert await queue.claim(LEASE_S) is not None
            await over(database)
        assert await queue.claim(LEASE_S) is None
        failed = await SqlSiteStore(database).release("default", "guides", "rel_0")
        assert (failed.state, failed.failure) == (
            ReleaseState.FAILED, f"the build was cut off {MAX_ATTEMPTS} times: publish again",
        )  # fmt: skip


async def over(database: Database) -> None:
    """All leases have run out."""
    await database.execute("UPDATE release SET leased_until = now() - interval '1 s'", tenant=ENGINE)
