"""One suite for the search indexes: tantivy, and PostgreSQL's full text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from automesh.testing.databases import OpenDatabase
from services.doc.domain.documents.document import Change
from tests.contract.doc_search_indexes import ENGINES, OTHER, TENANT, Searched, searched

WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
ROLLBACK = (
    "# Deployment\n\nIntro.\n\n## Rolling back\n\nCall `rollback_release` to go back.\n\n## Going on\n\nNothing more.\n"
)


@pytest.fixture(params=ENGINES)
async def docs(request: pytest.FixtureRequest, open_database: OpenDatabase, tmp_path: Path) -> AsyncIterator[Searched]:
    database = await open_database("doc", "services.doc.migrations")
    async with searched(request.param, database, tmp_path) as made:
        await made.space()
        yield made


async def test_a_page_is_found_by_a_word_of_one_of_its_sections_which_is_shown(docs: Searched) -> None:
    head = await docs.write("deploy.md", ROLLBACK)
    await docs.write("other.md", "# Other\n\nSomething else.\n")
    await docs.follow()

    (hit,) = await docs.find("release")

    assert (hit.document_id, hit.space, hit.path, hit.title) == (head.document_id, "docs", "deploy.md", "Deployment")
    assert (hit.heading, hit.anchor) == ("Rolling back", "rolling-back")
    assert "rollback_release" in hit.text
    assert hit.changed_at == head.updated_at


@pytest.mark.parametrize("query", ["rollback_release", "rollback", "ROLLBACK_RELEASE()", "rolled back", "release"])
async def test_identifiers_are_found_whole_and_by_their_parts(docs: Searched, query: str) -> None:
    await docs.write("deploy.md", ROLLBACK)
    await docs.write("other.md", "# Other\n\nSomething else.\n")
    await docs.follow()

    assert await docs.paths(query) == ["deploy.md"]


async def test_the_page_with_the_very_title_comes_first(docs: Searched) -> None:
    await docs.write("long.md", "# Notes\n\n" + "Backup, backup, backup and restore. " * 20)
    await docs.write("exact.md", "# Backup\n\nHow it is done.\n")
    await docs.follow()

    assert (await docs.paths("backup"))[0] == "exact.md"


async def test_a_rare_word_counts_more_than_a_common_one(docs: Searched) -> None:
    for number in range(10):
        await docs.write(f"common{number}.md", f"# Page {number}\n\nThe server server server is a server.\n")
    await docs.write("rare.md", "# Rare\n\nA server with a flywheel.\n")
    await docs.follow()

    assert (await docs.paths("server flywheel"))[0] == "rare.md"


async def test_a_phrase_in_quotes_must_stand_as_it_is(docs: Searched) -> None:
    await docs.write("yes.md", "# Yes\n\nThe quick brown fox.\n")
    await docs.write("no.md", "# No\n\nA brown and quick fox.\n")
    await docs.follow()

    assert await docs.paths('"quick brown fox"') == ["yes.md"]
    assert set(await docs.paths("quick brown fox")) == {"yes.md", "no.md"}


async def test_a_word_that_nobody_has_written_is_corrected(docs: Searched) -> None:
    await docs.write("config.md", "# Settings\n\nHow the configuration is read.\n")
    await docs.follow()

    hits, corrections = await docs.found("confgiuration")

    assert [hit.path for hit in hits] == ["config.md"]
    assert corrections == {"confgiuration": "configuration"}


async def test_a_slip_in_a_word_of_mixed_case_is_one_in_the_word_and_not_in_its_humps(docs: Searched) -> None:
    await docs.write("postgres.md", "# PostgreSQL\n\nPostgreSQL is a database.\n")
    await docs.write("poster.md", "# A poster\n\nA poster on the wall.\n")
    await docs.follow()

    hits, corrections = await docs.found("PostgerSQL")

    assert [hit.path for hit in hits] == ["postgres.md"]
    assert corrections == {"postgersql": "postgresql"}


async def test_a_word_that_is_there_is_never_corrected(docs: Searched) -> None:
    await docs.write("rare.md", "# Rare\n\nThe cofiguration of the moon.\n")
    for number in range(5):
        await docs.write(f"common{number}.md", "# Common\n\nThe configuration.\n")
    await docs.follow()

    hits, corrections = await docs.found("cofiguration")

    assert [hit.path for hit in hits] == ["rare.md"]
    assert corrections == {}


async def test_spelling_knows_the_words_of_the_spaces_that_are_asked_only(docs: Searched) -> None:
    await docs.space("secret")
    await docs.write("open.md", "# Open\n\nNothing of it.\n")
    await docs.write("closed.md", "# Closed\n\nProject Thunderbird.\n", space="secret")
    await docs.follow()

    hits, corrections = await docs.found("thunderbrd")
    assert (list(hits), corrections) == ([], {})
    hits, corrections = await docs.found("thunderbird")
    assert (list(hits), corrections) == ([], {})
    assert (await docs.found("thunderbrd", spaces=["docs", "secret"]))[1] == {"thunderbrd": "thunderbird"}


async def test_nothing_of_other_spaces_is_found_counted_or_suggested(docs: Searched) -> None:
    await docs.space("secret")
    await docs.write("open.md", "# Open treasure\n\nA map.\n")
    await docs.write("closed.md", "# Hidden treasure\n\nThe island of Xanadu.\n", space="secret")
    await docs.follow()

    assert await docs.paths("treasure") == ["open.md"]
    assert await docs.paths("island") == []
    assert (await docs.index.frequencies(TENANT, ["docs"], ["island"]))["island"] == 0
    assert await docs.index.completions(TENANT, ["docs"], "xan", 5) == []
    titles = await docs.index.titles(TENANT, ["docs"], ["treasure"], "", 5)
    assert [title.text for title in titles] == ["Open treasure"]
    assert await docs.find("treasure", spaces=[]) == []


async def test_tenants_do_not_see_each_other(docs: Searched) -> None:
    await docs.space("docs", OTHER)
    await docs.write("ours.md", "# Ours\n\nA secret recipe.\n")
    await docs.write("theirs.md", "# Theirs\n\nA secret plan.\n", tenant_id=OTHER)
    await docs.follow()

    assert await docs.paths("secret") == ["ours.md"]
    assert await docs.paths("secret", tenant_id=OTHER) == ["theirs.md"]


async def test_what_is_written_over_is_found_by_its_new_words_only(docs: Searched) -> None:
    await docs.write("a.md", "# A\n\nzebra\n")
    await docs.follow()
    await docs.write("a.md", "# A\n\ngiraffe\n")
    await docs.follow()

    assert await docs.paths("giraffe") == ["a.md"]
    assert await docs.paths("zebra") == []


async def test_what_is_deleted_is_not_found_and_comes_back_when_it_is_restored(docs: Searched) -> None:
    await docs.write("a.md", "# A\n\nzebra\n")
    await docs.follow()
    await docs.write("a.md", "# A\n\nzebra\n", change=Change.DELETE, deleted=True)
    await docs.follow()
    assert await docs.paths("zebra") == []

    await docs.write("a.md", "# A\n\nzebra\n", change=Change.RESTORE)
    await docs.follow()
    assert await docs.paths("zebra") == ["a.md"]


async def test_a_renamed_page_is_found_under_its_new_path(docs: Searched) -> None:
    await docs.write("a.md", "# A\n\nzebra\n")
    await docs.follow()
    await docs.write("a.md", "# A\n\nzebra\n", to="b.md", change=Change.RENAME)
    await docs.follow()

    assert await docs.paths("zebra") == ["b.md"]


async def test_a_space_that_is_deleted_while_it_is_indexed_goes_at_once(docs: Searched) -> None:
    await docs.write("plan.md", "# Plan\n\nZeppelin.\n")
    async with docs.database.transaction(TENANT) as tx:  # as SqlSpaceStore.delete does it
        await tx.execute("SELECT FROM space WHERE tenant_id = $1 AND space = $2 FOR UPDATE", TENANT, "docs")
        following = asyncio.create_task(docs.follow())
        async with asyncio.timeout(20):
            while not (following.done() or await docs.database.fetch(WAITING, tenant=None)):
                pass  # until it has come as far as it can
        await tx.execute("DELETE FROM document WHERE tenant_id = $1", TENANT)
        await tx.execute("DELETE FROM space WHERE tenant_id = $1", TENANT)
        await tx.execute("INSERT INTO change (tenant_id, space) VALUES ($1, $2)", TENANT, "docs")
    await following
    await docs.follow()

    assert await docs.paths("zeppelin") == []


async def test_a_deleted_space_leaves_nothing_even_when_its_name_is_used_again(docs: Searched) -> None:
    await docs.write("a.md", "# A\n\nzebra\n")
    await docs.follow()
    await docs.spaces.delete(TENANT, "docs", force=True)
    docs.heads.clear()
    await docs.space()
    await docs.write("b.md", "# B\n\ngiraffe\n")
    await docs.follow()

    assert await docs.paths("zebra giraffe") == ["b.md"]


async def test_results_are_filtered_by_tag_author_and_time(docs: Searched) -> None:
    await docs.write("a.md", "---\ntags: [red, two words]\n---\n# A\n\nzebra\n", author="ann")
    await docs.write("b.md", "---\ntags: [blue]\n---\n# B\n\nzebra\n", author="bob")
    await docs.follow()
    later, earlier = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)

    assert await docs.paths("zebra", tag="two words") == ["a.md"]
    assert await docs.paths("zebra", tag="two") == []
    assert await docs.paths("zebra", author="bob") == ["b.md"]
    assert await docs.paths("zebra", author="bob", tag="red") == []
    assert set(await docs.paths("zebra", since=earlier, before=later)) == {"a.md", "b.md"}
    assert await docs.paths("zebra", since=later) == []
    assert await docs.paths("zebra", before=earlier) == []


async def test_pages_of_results_follow_each_other(docs: Searched) -> None:
    for number in range(25):
        await docs.write(f"p{number:02}.md", f"# Page {number}\n\nzebra {'stripe ' * number}\n")
    await docs.follow()

    pages = [(await docs.found("zebra", offset=offset, limit=10))[0] for offset in (0, 10, 20)]

    found = [hit.path for page in pages for hit in page]
    assert sorted(found) == [f"p{number:02}.md" for number in range(25)]
    scores = [hit.score for page in pages for hit in page]
    assert scores == sorted(scores, reverse=True)


async def test_titles_and_words_are_suggested(docs: Searched) -> None:
    await docs.write("install.md", "# Installing the server\n\nInstall, installation, installed.\n")
    await docs.write("start.md", "# Start of the installation\n\nHello.\n")
    await docs.follow()

    titles = await docs.index.titles(TENANT, ["docs"], [], "inst", 10)
    assert [title.text for title in titles] == ["Installing the server", "Start of the installation"]
    titles = await docs.index.titles(TENANT, ["docs"], ["the"], "serv", 10)
    assert [(title.text, title.path) for title in titles] == [("Installing the server", "install.md")]
    await docs.write("about.md", "# Über uns\n\nHello.\n")
    await docs.follow()
    titles = await docs.index.titles(TENANT, ["docs"], ["uber"], "un", 10)
    assert [title.text for title in titles] == ["Über uns"]
    words = await docs.index.completions(TENANT, ["docs"], "install", 10)
    assert set(words) == {"install", "installation", "installed", "installing"}


async def test_languages_without_spaces_are_found_by_any_two_characters(docs: Searched) -> None:
    await docs.write("zh.md", "# 入门\n\n这是一个编程语言的教程。\n")
    await docs.write("ja.md", "# ガイド\n\nデータベースの設定方法。\n")
    await docs.follow()

    assert await docs.paths("编程") == ["zh.md"]
    assert await docs.paths("設定") == ["ja.md"]


async def test_accents_do_not_matter(docs: Searched) -> None:
    await docs.write("de.md", "# Größe\n\nDie Übersicht über das Café.\n")
    await docs.follow()

    assert await docs.paths("ubersicht cafe") == ["de.md"]


@pytest.mark.parametrize(
    "query",
    [
        "((((a+)+)+)+$ [x-",
        "* OR 1=1 --",
        "a:b:c:d && || !! \\ ~ ^ ?",
        "'; DROP TABLE head; --",
        "\U0001f600 \U0001d518 \u202e",
        "the of and",
        "-" * 900,
        "a." * 499,
        " ".join(f"word{number}" for number in range(120)),
        '"" " "unbalanced',
    ],
)
async def test_noise_is_looked_for_like_anything_else(docs: Searched, query: str) -> None:
    await docs.write("a.md", "# The title of it\n\nSome words and more.\n")
    await docs.follow()

    for path in await docs.paths(query):
        assert path == "a.md"


async def test_a_page_of_any_shape_can_be_indexed(docs: Searched) -> None:
    await docs.write("empty.md", "")
    await docs.write("long-word.md", f"# Long\n\n{'x' * 200_000} needle\n")
    await docs.write("dots.md", f"# Dots\n\n{'a.' * 100_000} needle\n")
    await docs.write("headings.md", "".join(f"## Heading {number}\n\n" for number in range(6_000)) + "needle\n")
    await docs.write("words.md", "# Words\n\n" + " ".join(f"w{number}" for number in range(60_000)) + " needle\n")
    await docs.follow()

    found = set(await docs.paths("needle"))
    assert {"long-word.md", "dots.md", "headings.md"} <= found
    assert await docs.paths("empty") == ["empty.md"]


class Meaning:
    """Embeddings that know one document."""

    def __init__(self, *near: str) -> None:
        self.near = near

    async def nearest(self, tenant_id: str, spaces: Sequence[str], query: str, limit: int) -> Sequence[str]:
        return list(self.near)


async def test_what_is_near_by_meaning_is_found_within_the_filters(docs: Searched) -> None:
    await docs.space("secret")
    near = await docs.write("car.md", "# Automobile\n\nFour wheels.\n")
    hidden = await docs.write("hidden.md", "# Vehicle\n\nClosed.\n", space="secret")
    await docs.write("other.md", "# Other\n\nA vehicle of another kind: a boat.\n")
    await docs.follow()
    docs.embeddings = Meaning(hidden.document_id, near.document_id)

    assert set(await docs.paths("vehicle")) == {"car.md", "other.md"}
    assert await docs.paths("vehicle", author="nobody") == []


async def test_an_index_that_never_began_is_built_from_all_documents(docs: Searched) -> None:
    await docs.space("docs", OTHER)
    for number in range(30):
        await docs.write(f"p{number}.md", f"# Page {number}\n\nzebra\n")
    await docs.write("theirs.md", "# Theirs\n\nzebra\n", tenant_id=OTHER)
    assert await docs.index.position() is None

    await docs.follow()

    assert len((await docs.found("zebra", limit=50))[0]) == 30
    assert await docs.paths("zebra", tenant_id=OTHER) == ["theirs.md"]
    status = await docs.index.status(TENANT, ["docs"])
    assert (status.engine, status.sections, status.rebuilding) == (docs.index.engine, 30, False)


async def test_lines_that_are_forgotten_before_they_were_seen_make_it_start_over(docs: Searched) -> None:
    await docs.write("a.md", "# A\n\nzebra\n")
    await docs.follow()
    await docs.write("b.md", "# B\n\nzebra\n")
    await docs.database.execute("DELETE FROM change", tenant=None)
    async with docs.database.transaction(TENANT) as tx:
        await tx.execute("DELETE FROM change")

    docs.follower._steps = 0  # as after a start
    await docs.follow()

    assert set(await docs.paths("zebra")) == {"a.md", "b.md"}
