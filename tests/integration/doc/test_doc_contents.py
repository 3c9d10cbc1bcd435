"""Bodies as they lie in the database: chains of deltas, damage, tenants, and what nothing refers to any more."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automesh.core.ids import new_id
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, SealBroken, Sealer, place
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.documents.document import Head
from services.doc.store.contents import MAX_DEPTH, ContentDamaged, SqlContents
from tests.contract.doc_stores import OTHER, SPACE, TENANT, House, doc_database, following, sql_house
from tests.integration.doc.doc_house_search import until

pytestmark = pytest.mark.postgres

SEALER = Sealer(Keyring.generate())
line = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
texts = st.lists(line, max_size=8).map("\n".join)


@pytest.fixture
async def database(postgres: PostgresForTests) -> AsyncIterator[Database]:
    async with doc_database(postgres) as database:
        yield database


@pytest.fixture
async def house(database: Database) -> House:
    house = sql_house(database, SEALER)
    await house.space()
    return house


def fresh(database: Database) -> SqlContents:
    """With nothing in memory."""
    return SqlContents(database, SEALER)


async def rows(database: Database, query: str, *args: object) -> list[Any]:
    return [tuple(row.values()) for row in await database.fetch(query, *args, tenant=ENGINE)]


async def grown(house: House, count: int) -> list[Head]:
    """A document with many revisions, a line more each time."""
    text = "".join(f"a line that is long enough to be worth something {number}\n" for number in range(100))
    heads = [await house.create(f"{new_id('page')}.md", text)]
    for number in range(count):
        text += f"{number}\n"
        heads.append(await house.edit(heads[-1], text))
    return heads


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(revisions=st.lists(texts, min_size=1, max_size=30))
async def test_any_sequence_of_revisions_reads_back_as_it_was_written(
    house: House, database: Database, revisions: list[str]
) -> None:
    heads = [await house.create(f"{new_id('page')}.md", revisions[0])]
    for text in revisions[1:]:
        heads.append(await house.edit(heads[-1], text))
    wanted = [head.sha256 for head in heads]
    assert await fresh(database).read(TENANT, wanted) == dict(zip(wanted, revisions, strict=True))
    for head, text in zip(heads, revisions, strict=True):
        assert (await fresh(database).read(TENANT, [head.sha256]))[head.sha256] == text


async def test_a_chain_of_deltas_ends_after_sixteen_steps_and_takes_little_room(
    house: House, database: Database
) -> None:
    heads = await grown(house, 3 * MAX_DEPTH)
    found = await rows(
        database,
        "SELECT depth, length(bytes) FROM content c JOIN revision r USING (tenant_id, sha256) ORDER BY r.number",
    )
    depths = [depth for depth, _ in found]
    assert depths == [number % (MAX_DEPTH + 1) for number in range(len(heads))]
    snapshots = [size for depth, size in found if depth == 0]
    deltas = [size for depth, size in found if depth > 0]
    assert max(deltas) < min(snapshots) / 3


async def test_equal_bodies_are_stored_once_whoever_writes_them(house: House, database: Database) -> None:
    one = await house.create("one.md", "# Same\n")
    two = await house.create("two.md", "# Other\n")
    again = await house.edit(two, "# Same\n")
    back = await house.edit(await house.edit(one, "# Other\n"), "# Same\n")
    assert {one.sha256, again.sha256, back.sha256} == {one.sha256}
    assert await rows(database, "SELECT count(*) FROM content") == [(2,)]


@pytest.mark.parametrize("damage", ["flip", "swap", "cut", "gone"])
async def test_a_damaged_body_is_said_to_be_damaged_and_never_shown(
    house: House, database: Database, damage: str
) -> None:
    heads = await grown(house, 3)
    first = heads[0].sha256
    statement = {
        "flip": "UPDATE content SET bytes = set_byte(bytes, 60, get_byte(bytes, 60) # 1) WHERE sha256 = $1",
        "swap": "UPDATE content SET bytes = (SELECT bytes FROM content WHERE sha256 <> $1 LIMIT 1) WHERE sha256 = $1",
        "cut": "UPDATE content SET bytes = substr(bytes, 1, 40) WHERE sha256 = $1",
        "gone": "UPDATE content SET base = NULL, depth = 0 WHERE sha256 <> $1",
    }[damage]
    await database.execute(statement, first, tenant=ENGINE)
    for head in heads[1:]:
        with pytest.raises((ContentDamaged, SealBroken)):
            await fresh(database).read(TENANT, [head.sha256])


async def test_a_body_that_is_another_than_its_hash_says_is_damaged(house: House, database: Database) -> None:
    head = await house.create()
    contents = fresh(database)
    packed = await contents.pack(TENANT, "# Forged\n", None)
    forged = SEALER.seal(
        SEALER.unseal(packed.bytes, place("doc", TENANT, packed.sha256)), place("doc", TENANT, head.sha256)
    )
    await database.execute("UPDATE content SET bytes = $1", forged, tenant=ENGINE)
    with pytest.raises(ContentDamaged, match="another than its hash says"):
        await contents.read(TENANT, [head.sha256])


async def test_bodies_are_sealed_and_of_one_tenant(house: House, database: Database) -> None:
    await house.space(SPACE, OTHER)
    head = await house.create(content="# A secret body\n" * 20)
    await house.create(content="# A secret body\n" * 20, tenant_id=OTHER)
    kept = await rows(database, "SELECT tenant_id, bytes FROM content")
    assert sorted(tenant for tenant, _ in kept) == sorted([TENANT, OTHER])
    assert not any(b"secret" in sealed for _, sealed in kept)
    assert (await database.fetchval("SELECT count(*) FROM content", tenant=TENANT)) == 1
    await database.execute(
        "UPDATE content SET bytes = (SELECT bytes FROM content WHERE tenant_id = $1)", OTHER, tenant=ENGINE
    )
    with pytest.raises(SealBroken):
        await fresh(database).read(TENANT, [head.sha256])


COUNTS = [
    f"SELECT '{table}', count(*) FROM {table}"  # noqa: S608 - names of this list
    for table in (
        "space", "member", "content", "document", "revision", "branch", "head", "redirect", "link", "anchor", "change",
        "write_request", "review", "judgement", "loose_content",
    )
]  # fmt: skip


async def test_row_level_security_hides_every_table_from_other_tenants(house: House, database: Database) -> None:
    head = await house.write(
        following(await house.create(content="[x](y.md)\n"), "z", request_id="r", fingerprint=b"f")
    )
    await house.rename(head, "moved.md")
    for query in COUNTS:
        for tenant in (OTHER, None):
            table, count = await database.fetchrow(query, tenant=tenant) or ("", -1)
            assert count == 0, table
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(
            "INSERT INTO content (tenant_id, sha256, size, bytes) VALUES ($1, repeat('a', 64), 1, 'x')", TENANT,
            tenant=OTHER,
        )  # fmt: skip


async def test_a_revision_never_changes(house: House, database: Database) -> None:
    await house.create()
    with pytest.raises(asyncpg.RestrictViolationError):
        await database.execute("UPDATE revision SET author = 'mallory'", tenant=TENANT)


# ---------------------------------------------------------------------- cleaning up
async def test_bodies_stay_while_others_are_packed_against_them_and_go_with_the_last(
    house: House, database: Database
) -> None:
    heads = await grown(house, 5)
    keeper = await house.create("keeper.md", await house.content(heads[-1]))
    await house.delete(await house.documents.head(TENANT, heads[-1].document_id, "main"))
    await house.advance(31 * 86_400)
    assert await house.documents.purge(10) == 1
    while await house.documents.sweep(2):
        pass
    assert await rows(database, "SELECT count(*) FROM content") == [(6,)]  # the keeper's, and the chain below it
    assert (await fresh(database).read(TENANT, [keeper.sha256]))[keeper.sha256].endswith("4\n")

    await house.spaces.delete(TENANT, SPACE, force=True)
    while await house.documents.sweep(2):
        pass
    assert await rows(database, "SELECT count(*) FROM content") == [(0,)]
    assert await rows(database, "SELECT count(*) FROM loose_content") == [(0,)]


async def test_a_body_that_is_taken_up_again_while_it_is_cleaned_up_is_not_lost(
    house: House, database: Database
) -> None:
    gone = await house.create("gone.md", "# Same\n")
    await house.delete(gone)
    await house.advance(31 * 86_400)
    await house.documents.purge(10)
    async with database.transaction(TENANT) as tx:  # a write that has not been committed yet refers to it
        kept = await house.create("kept.md", "# Other\n")
        await tx.execute(
            """INSERT INTO revision (revision_id, tenant_id, document_id, parents, branch, change, path, title, sha256,
                                     size, author, message)
               VALUES ('rev_x', $1, $2, ARRAY[$3::text], 'main', 'EDIT', 'kept.md', '', $4, 7, 'ann', '')""",
            TENANT, kept.document_id, kept.revision_id, gone.sha256,
        )  # fmt: skip
        sweeping = asyncio.create_task(house.documents.sweep(10))

        async def waits() -> bool:
            return bool(await rows(database, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

        await until(waits)
    assert await sweeping == 0
    assert (await fresh(database).read(TENANT, [gone.sha256]))[gone.sha256] == "# Same\n"
    assert await house.documents.sweep(10) == 1
    assert (await fresh(database).read(TENANT, [gone.sha256]))[gone.sha256] == "# Same\n"
