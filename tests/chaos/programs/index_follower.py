"""Keeps a search index in step with the documents until it is killed: `... DSN FOLDER KEYRING`."""

import asyncio
import sys
from pathlib import Path

from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from tests.contract.doc_search_indexes import searched


async def main() -> None:
    dsn, folder, keyring = sys.argv[1:]
    sealer = Sealer(Keyring.from_file(Path(keyring)))
    async with (
        Database.open(dsn, schema="doc") as database,
        searched("tantivy", database, Path(folder), sealer) as docs,
    ):
        sys.stdout.write("following\n")
        sys.stdout.flush()
        while True:
            await docs.follow()
            await asyncio.sleep(0.001)


asyncio.run(main())
