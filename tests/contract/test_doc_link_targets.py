"""What links can lead to: the fake and PostgreSQL give the same answers."""

from __future__ import annotations

from automesh.testing.postgres import PostgresForTests
from services.doc.domain.documents.path import key
from services.doc.domain.validation.targets import LinkTargets
from services.doc.fakes.validation import FakeLinkTargets
from services.doc.store.validation import SqlLinkTargets
from tests.contract.doc_stores import OTHER, SPACE, TENANT, doc_database, sql_house

DOCUMENTS = {
    "Start.md": "# Start\n\n## Next\n",
    "guides/index.md": "# Guides\n",
    "guides/install.md": "# Install\n\n## On Linux\n\n## On Linux\n",
    "api/readme.md": '# API\n\n<a id="Here"></a>\n',
    "api/v1/deep/page.md": "# Page\n",
    "0.md": "# Zero\n",
}
ANCHORS = {
    "Start.md": {"start", "next"},
    "guides/index.md": {"guides"},
    "guides/install.md": {"install", "on-linux", "on-linux-1"},
    "api/readme.md": {"api", "Here"},
    "api/v1/deep/page.md": {"page"},
    "0.md": {"zero"},
    "moved/new.md": {"old"},
}
ASKED = [
    *("", "start.md", "start", "guides", "guides/index.md", "guides/install.md", "guides/install", "guide", "guides0"),
    *("api", "api/readme.md", "api/v1", "api/v1/deep", "api/v1/deep/page.md", "api/v1/dee", "api/v2", "0", "0.md"),
    *("moved/old.md", "moved", "moved/new.md", "gone.md", "gone/gone.md", "a'b\"c%_", "ä", "x" * 500),
]


async def test_the_fake_and_postgresql_find_the_same(postgres: PostgresForTests) -> None:
    fake = FakeLinkTargets(
        documents={path: frozenset(anchors) for path, anchors in ANCHORS.items()},
        moved={"moved/old.md": "moved/new.md"},
    )
    async with doc_database(postgres) as database:
        house = sql_house(database)
        await house.space()
        for path, content in DOCUMENTS.items():
            await house.create(path, content)
        await house.rename(await house.create("moved/old.md", "# Old\n"), "moved/new.md")
        await house.delete(await house.create("gone/gone.md", "# Gone\n"))
        stores: list[LinkTargets] = [fake, SqlLinkTargets(database)]
        answers = [await store.look_up(TENANT, SPACE, "main", ASKED, ASKED) for store in stores]
        names = [await store.named(TENANT, SPACE, "main", ["install.md", "no.md"]) for store in stores]
        elsewhere = await stores[1].look_up(OTHER, SPACE, "main", ASKED, ASKED)
    assert sorted(answers[0].missing) == sorted(answers[1].missing)
    assert answers[0].anchors == answers[1].anchors
    assert "guides/install" in answers[1].missing
    assert {key(path) for path in DOCUMENTS} & set(answers[1].missing) == set()
    assert names == [{"install.md": "guides/install.md"}] * 2
    assert (set(elsewhere.missing), elsewhere.anchors) == (set(ASKED), {})
