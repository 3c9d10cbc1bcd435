"""The core of a doc service on a database of its own, without a server: for tests of stores and use cases."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.documents.document import Head
from services.doc.domain.documents.requests import NewDocument
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import NewSpace
from services.doc.engine.core import Core, Outside
from services.doc.engine.options import Options

ANNA = Person(tenant_id="default", user="anna")
BEN = Person(tenant_id="default", user="ben")
ADMIN = Person(tenant_id="default", user="root", admin=True)
ELSEWHERE = Person(tenant_id="other", user="anna", admin=True)


@asynccontextmanager
async def doc_core(postgres: PostgresForTests, tmp_path: Path, **options: Any) -> AsyncIterator[Core]:
    """With an empty space `guides`."""
    sealer = Sealer(Keyring.generate())
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        outside = Outside(
            database=database,
            sealer=sealer,
            blobs=EncryptedBlobStore.open(tmp_path / "blobs", sealer),
            fanout=LocalFanout(),
        )
        core = Core(outside, Options(scratch=tmp_path / "scratch", **options))
        await core.directory.create(ANNA, NewSpace(space="guides"))
        yield core


async def written(core: Core, path: str, content: str, person: Person = ANNA, **new: Any) -> Head:
    """A document of the space `guides`."""
    made = await core.writer.create(person, NewDocument(**{"space": "guides", "path": path, "content": content, **new}))
    return made.document.head
