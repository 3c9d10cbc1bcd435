"""Does the long work of a doc service until it is killed: `... DSN FOLDER KEYRING`."""

import asyncio
import sys
from pathlib import Path

from automesh.mesh.loops import running
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from services.doc.engine.core import Core, Outside
from services.doc.engine.jobs import open_jobs
from services.doc.engine.options import Options


async def main() -> None:
    dsn, folder, keyring = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    sealer = Sealer(Keyring.from_file(keyring))
    async with Database.open(dsn, schema="doc") as database:
        outside = Outside(
            database=database,
            sealer=sealer,
            blobs=EncryptedBlobStore.open(folder / "blobs", sealer),
            fanout=LocalFanout(),
            backups=EncryptedBlobStore.open(folder / "backups", sealer),
        )
        core = Core(outside, Options(scratch=folder / "scratch", job_lease_s=0.5))
        async with open_jobs(core) as part, running({"jobs": part.loops["jobs"]}):
            sys.stdout.write("working\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


asyncio.run(main())
