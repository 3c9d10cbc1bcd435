"""Which index answers: that of the replica, that of the database meanwhile, or that of the database alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.search.errors import IndexNotReady
from tests.integration.doc.doc_house import Served, doc_service, serving
from tests.integration.doc.doc_house_search import caught_up, paths, status, until


async def test_while_the_index_is_built_the_database_answers(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with doc_service(postgres, tmp_path, options={"search_standby_every_s": 0.01}) as doc:
        await doc.space()
        await doc.write("a.md", "# A\n\nzebra\n")
        await caught_up(doc)
        await until(lambda: standby_has(doc, 1))
        held = doc.engine.core.documents.list

        async def never(*args: object, **kwargs: object) -> object:
            raise IndexNotReady("not now")

        doc.engine.core.documents.list = never  # type: ignore[method-assign,assignment]
        for replica in (tmp_path / "doc" / "search").iterdir():
            if replica.is_dir():
                shutil.rmtree(replica)
        await until(lambda: rebuilding(doc))
        assert await paths(doc, "zebra") == ["a.md"]
        assert await paths(doc, "zebar") == ["a.md"]

        doc.engine.core.documents.list = held  # type: ignore[method-assign]
        await caught_up(doc)
        assert await paths(doc, "zebra") == ["a.md"]


async def test_the_database_alone_can_be_chosen(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with doc_service(postgres, tmp_path, options={"search_engine": "postgres"}) as doc:
        await doc.space()
        await doc.write("a.md", "# A\n\nzebra\n")
        await caught_up(doc)

        assert await paths(doc, "zebra") == ["a.md"]
        assert (await status(doc)).engine == "postgres"
        assert not (tmp_path / "doc" / "search").exists()


async def test_a_second_replica_has_an_index_of_its_own(postgres: PostgresForTests, tmp_path: Path) -> None:
    sealer = Sealer(Keyring.generate())
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        serving(database, sealer, tmp_path / "one") as one,
        serving(database, sealer, tmp_path / "two") as two,
    ):
        await one.space()
        await one.write("a.md", "# A\n\nzebra\n")
        await caught_up(one)
        await caught_up(two)

        assert await paths(one, "zebra") == await paths(two, "zebra") == ["a.md"]


async def standby_has(doc: Served, pages: int) -> bool:
    count = await doc.database.fetchval("SELECT count(*) FROM search_page", tenant=ENGINE)
    return bool(count == pages)


async def rebuilding(doc: Served) -> bool:
    return (await status(doc)).rebuilding
