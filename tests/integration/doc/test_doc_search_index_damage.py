"""An index that is deleted, cut or altered is built anew from the documents; meanwhile the database answers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from automesh.storage.postgres import ENGINE, Database
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.search.errors import IndexDamaged, IndexNotReady
from services.doc.domain.search.page import number_of
from services.doc.search import integrity, tantivy_index
from services.doc.search.folder import SECTIONS, TenantFolder
from services.doc.search.places import NEW
from services.doc.search.schema import VERSION
from services.doc.search.tantivy_index import TantivyIndex
from tests.contract.doc_search_indexes import OTHER, TENANT, Searched, searched

PAGES = 12


@pytest.fixture
async def docs(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Searched]:
    """An index that follows when it is told to, with some pages."""
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        searched("tantivy", database, tmp_path) as made,
    ):
        await made.space()
        for number in range(PAGES):
            await made.write(f"p{number}.md", f"# Page {number}\n\nzebra stripe{number}\n")
        await made.follow()
        yield made


def segments(folder: Path, kind: str = "sections", suffix: str = ".term") -> list[Path]:
    return sorted(folder.rglob(f"{kind}/*{suffix}"))


def cut(folder: Path) -> None:
    for file in segments(folder):
        with file.open("r+b") as stream:
            stream.truncate(file.stat().st_size // 2)


def cut_positions(folder: Path) -> None:
    for file in segments(folder, "pages", ".pos"):
        with file.open("r+b") as stream:
            stream.truncate(1)


def empty(folder: Path) -> None:
    for file in segments(folder, "links", ".fast") + segments(folder, "pages", ".store"):
        file.write_bytes(b"")


def delete_everything(folder: Path) -> None:
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)


def delete_one_index(folder: Path) -> None:
    for child in folder.glob("*/v*/*/pages"):
        shutil.rmtree(child)


@pytest.mark.parametrize("harm", [cut, cut_positions, empty, delete_everything, delete_one_index])
async def test_harm_to_the_files_of_a_running_index_is_noticed_and_mended(
    docs: Searched, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    assert len((await docs.found("zebra", limit=50))[0]) == PAGES
    harm(tmp_path)

    assert await docs.index.unbuilt() == [TENANT]
    with pytest.raises(IndexNotReady):
        await docs.find("zebra")
    assert (await docs.index.status(TENANT, ["docs"])).rebuilding

    await docs.follow()
    assert len((await docs.found("zebra", limit=50))[0]) == PAGES
    assert not (await docs.index.status(TENANT, ["docs"])).rebuilding


async def test_a_write_into_a_harmed_index_loses_nothing(docs: Searched, tmp_path: Path) -> None:
    delete_everything(tmp_path)
    await docs.write("new.md", "# New\n\nzebra\n")

    await docs.follow()

    assert len((await docs.found("zebra", limit=50))[0]) == PAGES + 1


def alter(folder: Path) -> None:
    for file in segments(folder):
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 0xFF
        file.write_bytes(bytes(content))


def garble_meta(folder: Path) -> None:
    for file in folder.rglob("pages/meta.json"):
        file.write_text("{")


def garble_cursor(folder: Path) -> None:
    for file in folder.rglob("cursor.json"):
        file.write_text(json.dumps({"version": VERSION, "sequence": "many", "tenants": {}}))


def forget_how_far(folder: Path) -> None:
    for file in folder.rglob("built.json"):
        file.unlink()


def nothing_can_be_put_where_the_cursor_is(folder: Path) -> Path:
    (cursor,) = folder.rglob("cursor.json")
    cursor.unlink()
    cursor.mkdir()
    return cursor


def file_instead_of_a_folder(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file"


def nothing_can_be_built(folder: Path) -> Path:
    (place,) = [child for child in folder.glob("0/v*/*") if child.is_dir()]
    taken = place.with_name(place.name + NEW)
    taken.touch()
    return taken


@pytest.mark.parametrize(
    "harm", [cut, empty, alter, garble_meta, garble_cursor, forget_how_far, delete_everything, delete_one_index]
)
async def test_an_index_that_was_harmed_while_nobody_ran_is_built_anew(
    docs: Searched, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    async with copied(docs, tmp_path) as (copy, folder):
        assert (await copy.paths("stripe3"))[0] == "p3.md"
    harm(folder)

    async with searched("tantivy", docs.database, folder, docs.sealer) as again:
        await attempt(again)
        await again.follow()
        assert len((await again.found("zebra", limit=50))[0]) == PAGES


async def test_an_index_that_is_whole_goes_on_where_it_was(docs: Searched, tmp_path: Path) -> None:
    async with copied(docs, tmp_path) as (_, folder):
        pass
    await docs.write("new.md", "# New\n\nzebra\n")

    async with searched("tantivy", docs.database, folder, docs.sealer) as again:
        assert (await again.paths("stripe3"))[0] == "p3.md"  # at once, before anything was read
        await again.follow()
        assert len((await again.found("zebra", limit=50))[0]) == PAGES + 1


async def test_a_folder_that_takes_nothing_is_an_error_that_is_foreseen_until_it_does(
    docs: Searched, tmp_path: Path
) -> None:
    cursor = nothing_can_be_put_where_the_cursor_is(tmp_path)
    await docs.write("new.md", "# New\n\nzebra\n")
    with pytest.raises(IndexDamaged, match=r"cursor\.json of the search index cannot be written .*Is a directory"):
        await docs.follow()
    cursor.rmdir()

    await docs.index.begin(await docs.index.position() or 0, [TENANT])
    taken = nothing_can_be_built(tmp_path)
    with pytest.raises(IndexDamaged, match="cannot be used"):
        await docs.follower.build()
    taken.unlink()
    await docs.follow()
    assert len((await docs.found("zebra", limit=50))[0]) == PAGES + 1


async def test_only_some_tenants_are_held_open_and_all_of_them_answer(
    docs: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tantivy_index, "MAX_OPEN", 2)
    tenants = ["one", "two", "three", "four"]
    for tenant_id in tenants:
        await docs.space(tenant_id=tenant_id)
        await docs.write("a.md", "# A\n\nzebra\n", tenant_id=tenant_id)
    await docs.index.begin(0, tenants)  # all of them are built anew
    await docs.follow()
    assert isinstance(docs.index, TantivyIndex)
    assert len(docs.index._open) == 2

    for number, tenant_id in enumerate(tenants):
        await docs.write("a.md", f"# A\n\nzebra okapi{number}\n", tenant_id=tenant_id)
        asking = asyncio.gather(*(docs.paths("zebra", tenant_id=each) for each in tenants * 3))
        await docs.follow()
        assert await asking == [["a.md"]] * len(tenants) * 3
        assert await docs.paths(f'"okapi{number}"', tenant_id=tenant_id) == ["a.md"]


async def test_only_tenants_that_wrote_last_keep_the_threads_of_a_writer(
    docs: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tantivy_index, "MAX_WRITERS", 2)
    assert isinstance(docs.index, TantivyIndex)
    for number in range(4):
        await docs.space(tenant_id=f"t{number}")
        await docs.write("a.md", "# A\n\nzebra\n", tenant_id=f"t{number}")
        await docs.follow()
    await docs.write("a.md", "# A\n\nokapi\n", tenant_id="t0")
    await docs.follow()

    assert [tenant_id for tenant_id, folder in docs.index._open.items() if folder.writes] == ["t3", "t0"]
    assert await docs.paths('"okapi"', tenant_id="t0") == ["a.md"]


async def test_two_processes_never_share_an_index(docs: Searched, tmp_path: Path) -> None:
    async with copied(docs, tmp_path) as (one, folder), searched("tantivy", docs.database, folder, docs.sealer) as two:
        await two.follow()
        await docs.write("new.md", "# New\n\nzebra\n")
        await one.follow()
        await two.follow()
        for each in (one, two):
            assert len((await each.found("zebra", limit=50))[0]) == PAGES + 1


async def test_a_place_where_no_index_can_be_kept_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(IndexNotReady, match=r"below .*file/search \(Not a directory\).* doc_search_engine=postgres"):
        async with TantivyIndex.open(file_instead_of_a_folder(tmp_path) / "search", lambda: None):
            raise AssertionError


async def test_an_old_copy_of_one_tenants_index_is_noticed(docs: Searched, tmp_path: Path) -> None:
    async with copied(docs, tmp_path) as (_, folder):
        pass
    (place,) = [child for child in folder.glob("0/v*/*") if child.is_dir()]
    shutil.copytree(place, tmp_path / "old")
    await docs.write("new.md", "# New\n\nzebra\n")
    async with searched("tantivy", docs.database, folder, docs.sealer) as again:
        await again.follow()
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "old", place)

    async with searched("tantivy", docs.database, folder, docs.sealer) as again:
        await attempt(again)
        await again.follow()
        assert len((await again.found("zebra", limit=50))[0]) == PAGES + 1


async def test_an_index_of_another_version_is_left_behind(docs: Searched, tmp_path: Path) -> None:
    async with copied(docs, tmp_path) as (_, folder):
        pass
    (old,) = folder.glob("0/v*")
    old.rename(folder / "0" / "v0")

    async with searched("tantivy", docs.database, folder, docs.sealer) as again:
        assert await again.index.position() is None
        await again.follow()
        assert len((await again.found("zebra", limit=50))[0]) == PAGES
    assert "v0" not in os.listdir(folder / "0")


async def test_a_build_that_is_broken_off_leaves_the_old_index_alone(docs: Searched, tmp_path: Path) -> None:
    assert isinstance(docs.index, TantivyIndex)
    with pytest.raises(ZeroDivisionError):
        async with docs.index.build(TENANT, 0):
            raise ZeroDivisionError

    assert len((await docs.found("zebra", limit=50))[0]) == PAGES
    assert not [name for _, names, _ in os.walk(tmp_path) for name in names if name.endswith(".new")]


async def test_what_is_written_during_a_build_is_in_it(docs: Searched) -> None:
    await docs.index.begin(0, [TENANT])
    real = docs.documents.list

    async def listing_while_somebody_writes(*args: object, **kwargs: object) -> object:
        heads = await real(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        docs.documents.list = real  # type: ignore[method-assign]
        await docs.write("p3.md", "# Page 3\n\nokapi\n")
        await docs.write("late.md", "# Late\n\nokapi\n")
        await docs.follower.follow()
        return heads

    docs.documents.list = listing_while_somebody_writes  # type: ignore[method-assign,assignment]
    await docs.follower.build()
    await docs.follow()

    assert set(await docs.paths("okapi")) == {"p3.md", "late.md"}
    assert await docs.paths('"stripe3"') == []


def test_files_that_are_not_whole_are_named(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(json.dumps({"segments": [{"segment_id": "ab-cd"}]}))
    (tmp_path / "abcd.term").write_bytes(b"too short")

    with pytest.raises(IndexDamaged, match=r"abcd\.term"):
        integrity.verify(tmp_path)


async def test_indexes_say_the_same_when_they_have_the_same_however_they_came_to_it(
    docs: Searched, tmp_path: Path
) -> None:
    said = await docs.index.contents(TENANT)
    async with copied(docs, tmp_path) as (copy, _):
        assert said is not None
        assert await copy.index.contents(TENANT) == said
        await docs.write("p3.md", "# Page 3\n\nokapi\n")
        await docs.write("new.md", "# New\n\nokapi\n")
        await docs.follow()
        assert await docs.index.contents(TENANT) != said
        assert await copy.index.contents(TENANT) == said

        await copy.index.begin(0, [TENANT])
        await copy.follow()
        assert await copy.index.contents(TENANT) == await docs.index.contents(TENANT)
    assert await docs.index.contents(OTHER) is None


async def test_an_index_whose_keeper_died_between_two_commits_says_nothing_until_the_next(
    docs: Searched, tmp_path: Path
) -> None:
    async with copied(docs, tmp_path) as (_, folder):
        pass
    (place,) = [child for child in folder.glob("0/v*/*") if child.is_dir()]
    half = TenantFolder.open(place)
    half._take_out([number_of(docs.heads[f"{TENANT}/docs/p3.md"].document_id)])
    half._writer(SECTIONS).commit()

    async with searched("tantivy", docs.database, folder, docs.sealer) as again:
        assert len((await again.found("zebra", limit=50))[0]) == PAGES
        assert await again.index.contents(TENANT) is None
        await docs.write("p3.md", "# Page 3\n\nzebra stripe3\n")
        await docs.follow()
        await again.follow()
        assert await again.index.contents(TENANT) == await docs.index.contents(TENANT)


async def test_nothing_of_a_text_is_readable_in_the_database(docs: Searched, tmp_path: Path) -> None:
    async with searched("postgres", docs.database, tmp_path / "unused", docs.sealer) as stored:
        await stored.follow()
        assert len((await stored.found("zebra", limit=50))[0]) == PAGES
    for table in ("search_key", "search_page_words", "search_section", "search_section_words", "search_word"):
        rows = await docs.database.fetch(f"SELECT t::text AS line FROM {table} t", tenant=ENGINE)  # noqa: S608
        assert rows
        for row in rows:
            assert "zebra" not in row["line"]
            assert b"zebra".hex() not in row["line"]


@asynccontextmanager
async def copied(docs: Searched, tmp_path: Path) -> AsyncIterator[tuple[Searched, Path]]:
    """A second index of the same documents, in a folder of its own."""
    folder = tmp_path / "copied"
    async with searched("tantivy", docs.database, folder, docs.sealer) as copy:
        await copy.follow()
        yield copy, folder


async def attempt(docs: Searched) -> None:
    """A search that may find the index wanting."""
    try:
        await docs.find("zebra")
    except IndexNotReady:
        return
