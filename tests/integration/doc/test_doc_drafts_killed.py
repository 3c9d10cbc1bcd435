"""A process that is killed while it saves: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.spaces.space import NewSpace
from services.doc.store.drafts import SqlDraftStore
from services.doc.store.spaces import SqlSpaceStore

LIMIT_S = 60
PROGRAM = """
import asyncio, sys
from pathlib import Path
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from services.doc.domain.drafts.draft import NewDraft
from services.doc.store.drafts import SqlDraftStore

async def main(dsn: str, keys: str) -> None:
    async with Database.open(dsn, schema="doc") as database:
        store, version = SqlDraftStore(database, Sealer(Keyring.from_file(Path(keys)))), 0
        while True:
            content = f"save {version + 1} " + "x" * 20_000
            draft = NewDraft(draft_id="d", space="guides", content=content, version=version)
            version = (await store.save("default", "anna", draft, most=9)).version
            print(version, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_every_acknowledged_save_of_a_draft_survives_kill_9(postgres: PostgresForTests, tmp_path: Path) -> None:
    keyring = Keyring.generate()
    keys = tmp_path / "keys.json"
    keyring.save(keys)
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        await SqlSpaceStore(database).add("default", NewSpace(space="guides"), "anna")
        store = SqlDraftStore(database, Sealer(keyring))
        for saves in (1, 7, 30):
            await database.execute("DELETE FROM draft", tenant="default")
            acknowledged = await killed_after(saves, dsn, keys)
            draft = await store.get("default", "anna", "d")
            assert acknowledged <= draft.version <= acknowledged + 1  # at most one more, whose answer was lost
            assert draft.content.startswith(f"save {draft.version} ")


async def killed_after(saves: int, dsn: str, keys: Path) -> int:
    """The last version that the program has told of."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, dsn, str(keys), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    last = 0
    async with asyncio.timeout(LIMIT_S):
        while last < saves:
            last = json.loads(await process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = await process.stdout.read()
        await process.wait()
    lines = [line for line in rest.split(b"\n")[:-1] if line]
    return int(lines[-1]) if lines else last
