"""Whoever keeps the search index is killed in the middle of it, over and over: nothing is lost, nothing is twice."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from tests.contract.doc_search_indexes import Searched, searched

ROUNDS, PAGES = 8, 40
ROOT = Path(__file__).resolve().parents[2]
FOLLOWER = Path(__file__).parent / "programs" / "index_follower.py"


async def test_an_index_whose_keeper_is_killed_has_every_page_once(postgres: PostgresForTests, tmp_path: Path) -> None:
    keyring = tmp_path / "keyring.json"
    keys = Keyring.generate()
    keys.save(keyring)
    chance = random.Random(4)
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        sealer = Sealer(keys)
        async with searched("tantivy", database, tmp_path / "unused", sealer) as docs:
            await docs.space()
            for turn in range(ROUNDS):
                async with following(dsn, tmp_path / "index", keyring) as program:
                    await write(docs, turn)
                    await asyncio.sleep(chance.uniform(0, 0.3))  # at any moment
                    program.kill()
        async with searched("tantivy", database, tmp_path / "index", sealer) as kept:
            await kept.follow()
            for page in range(PAGES):
                hits, _ = await kept.found(f'"owner{page}x"', limit=10)
                assert [hit.path for hit in hits] == [f"p{page}.md"]
                assert f"turn{ROUNDS - 1}y" in hits[0].text
            status = await kept.index.status("acme", ["docs"])
            assert (status.sections, status.rebuilding) == (PAGES, False)
            async with searched("tantivy", database, tmp_path / "fresh", sealer) as fresh:
                await fresh.follow()
                contents = await kept.index.contents("acme")
                assert contents is not None
                assert contents == await fresh.index.contents("acme")


async def write(docs: Searched, turn: int) -> None:
    for page in range(PAGES):
        await docs.write(f"p{page}.md", f"# Page {page}\n\nowner{page}x turn{turn}y\n")


@asynccontextmanager
async def following(dsn: str, folder: Path, keyring: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Killed at the end, if it lives still."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(FOLLOWER), dsn, str(folder), str(keyring),
        stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}, cwd=ROOT,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        assert await asyncio.wait_for(program.stdout.readline(), 60) == b"following\n"
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()
