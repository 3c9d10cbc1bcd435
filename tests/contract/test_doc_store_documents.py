"""One suite for the stores of documents: the fake, and the real one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.doc.domain.documents.document import Change, DocumentQuery, Head
from services.doc.domain.errors import (
    BranchNotFound,
    DocumentNotFound,
    PathTaken,
    RequestReused,
    RevisionNotFound,
    SpaceNotFound,
    StaleHead,
)
from services.doc.domain.spaces.space import Rules
from tests.contract.doc_stores import (
    OTHER,
    SPACE,
    TENANT,
    House,
    doc_database,
    fake_house,
    first,
    following,
    sql_house,
)


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """With one space."""
    if request.param == "fake":
        made = fake_house()
        await made.space()
        yield made
        return
    async with doc_database(request.getfixturevalue("postgres")) as database:
        made = sql_house(database)
        await made.space()
        yield made


async def listed(house: House, **fields: Any) -> list[str]:
    told: dict[str, Any] = {"spaces": [SPACE], "branch": "main", "limit": 50, **fields}
    return [each.path for each in await house.documents.list(TENANT, DocumentQuery(**told))]


# ---------------------------------------------------------------------- writing
async def test_a_document_is_what_was_written(house: House) -> None:
    content = "---\ntags: [a, b]\nowner: kim\nreview: 2027-01-02\n---\n# Title\n\nText.\n"
    head = await house.create("guides/start.md", content, lines_added=8)
    assert (head.path, head.title, head.tags, head.owner) == ("guides/start.md", "Title", ("a", "b"), "kim")
    assert (head.size, head.created_by, head.updated_by, head.deleted_at) == (len(content), "ann", "ann", None)
    assert str(head.review_at) == "2027-01-02 00:00:00+00:00"
    document = await house.documents.document(TENANT, head.document_id, "main")
    assert (document.head, document.content) == (head, content)
    revision = await house.documents.revision(TENANT, head.document_id, head.revision_id)
    assert (revision.parents, revision.change, revision.author, revision.branch) == ((), Change.CREATE, "ann", "main")
    assert (revision.message, revision.size, revision.sha256) == ("created", head.size, head.sha256)
    assert (revision.lines_added, revision.lines_removed, revision.path) == (8, 0, "guides/start.md")


async def test_a_revision_stands_on_the_one_before(house: House) -> None:
    made = await house.create()
    changed = await house.edit(made, "# Other\n", co_authors=("kim",), message="why")
    assert (changed.title, changed.owner, changed.created_by, changed.updated_by) == ("Other", "ann", "ann", "bob")
    revision = await house.documents.revision(TENANT, made.document_id, changed.revision_id)
    assert (revision.parents, revision.co_authors, revision.message) == ((made.revision_id,), ("kim",), "why")
    history = await house.documents.history(TENANT, SPACE, document_id="", since=None, after="", limit=9)
    assert [each.revision_id for each in history] == [changed.revision_id, made.revision_id]
    assert history[0].number > history[1].number
    rest = await house.documents.history(
        TENANT, SPACE, document_id=made.document_id, since=None, after=changed.revision_id, limit=9
    )
    assert [each.revision_id for each in rest] == [made.revision_id]
    later = await house.documents.history(
        TENANT, SPACE, document_id="", since=changed.updated_at + timedelta(hours=1), after="", limit=9
    )
    assert list(later) == []


async def test_a_write_on_a_head_that_has_moved_leaves_nothing(house: House) -> None:
    made = await house.create()
    moved = await house.edit(made, "# Two\n")
    stale = following(made, "# Late\n", path="elsewhere.md")
    with pytest.raises(StaleHead) as error:
        await house.write(stale)
    assert error.value.head == moved
    assert await house.content(moved) == "# Two\n"
    assert await listed(house) == ["start.md"]
    assert list(await house.documents.revisions(TENANT, [stale.revision_id])) == []
    with pytest.raises(RevisionNotFound):
        await house.documents.revision(TENANT, made.document_id, stale.revision_id)


async def test_of_many_writes_on_one_head_exactly_one_is_made(house: House) -> None:
    made = await house.create()
    writes = [following(made, f"# {number}\n") for number in range(8)]
    outcomes = await asyncio.gather(*(house.write(write) for write in writes), return_exceptions=True)
    [head] = [each for each in outcomes if isinstance(each, Head)]
    assert sum(isinstance(each, StaleHead) for each in outcomes) == 7
    now = await house.documents.head(TENANT, made.document_id, "main")
    assert now == head
    history = await house.documents.history(TENANT, SPACE, document_id="", since=None, after="", limit=9)
    assert [each.revision_id for each in history] == [head.revision_id, made.revision_id]


async def test_a_write_to_what_is_not_there_says_what_is_missing(house: House) -> None:
    made = await house.create()
    for write, error in (
        (first("a.md", space="nowhere"), SpaceNotFound),
        (first("a.md", branch="nowhere"), BranchNotFound),
        (following(made, "x", branch="nowhere"), DocumentNotFound),
        (following(made, "x", document_id="doc_unknown"), DocumentNotFound),
        (following(made, "x", tenant_id=OTHER), DocumentNotFound),
        (first("a.md", document_id="doc_unknown", merged=made.revision_id, change=Change.MERGE), DocumentNotFound),
    ):
        with pytest.raises(error):
            await house.write(write)
    assert await listed(house) == ["start.md"]


async def test_a_repeated_request_makes_nothing_new_and_another_with_its_id_is_refused(house: House) -> None:
    begin = first(request_id="r1", fingerprint=b"a")
    made = await house.write(begin)
    again = await house.write(first(request_id="r1", fingerprint=b"a"))
    assert again == made
    change = following(made, "# Two\n", request_id="r2", fingerprint=b"b")
    changed = await house.write(change)
    assert await house.write(replace(change, revision_id="rev_other")) == changed
    for reused in (
        first("other.md", request_id="r1", fingerprint=b"c"),
        following(changed, "# Three\n", request_id="r2", fingerprint=b"c"),
        following(made, "# Stale\n", request_id="r2", fingerprint=b"c"),
    ):
        with pytest.raises(RequestReused):
            await house.write(reused)
    history = await house.documents.history(TENANT, SPACE, document_id="", since=None, after="", limit=9)
    assert len(history) == 2


async def test_the_same_request_at_the_same_moment_is_made_once(house: House) -> None:
    heads = await asyncio.gather(
        *(house.write(first(request_id="r", fingerprint=b"f", document_id=f"doc_{number}")) for number in range(6))
    )
    assert len({each.document_id for each in heads}) == 1
    assert await listed(house) == ["start.md"]


async def test_request_ids_are_forgotten_after_days(house: House) -> None:
    made = await house.write(first(request_id="r", fingerprint=b"f"))
    assert await house.documents.forget_requests(7) == 0
    await house.advance(8 * 86_400)
    assert await house.documents.forget_requests(7) == 1
    assert await house.documents.forget_requests(7) == 0
    with pytest.raises(PathTaken):
        await house.write(first(request_id="r", fingerprint=b"f"))
    assert (await house.documents.head(TENANT, made.document_id, "main")) == made


# ---------------------------------------------------------------------- paths
async def test_a_path_is_one_documents_whatever_the_case(house: House) -> None:
    made = await house.create("Straße.md")
    other = await house.create("b.md")
    for write in (first("STRASSE.md"), following(other, "x", path="strasse.md")):
        with pytest.raises(PathTaken) as error:
            await house.write(write)
        assert error.value.metadata["takenBy"] == made.path
    await house.branches.add(TENANT, SPACE, "next", "main", "ann")
    await house.create("c.md", branch="next")
    await house.create("c.md")
    assert (await house.rename(made, "STRASSE.md")).path == "STRASSE.md"


async def test_an_old_path_leads_to_the_document_until_another_takes_it(house: House) -> None:
    made = await house.create("a.md")
    moved = await house.rename(await house.rename(made, "b.md"), "c.md")
    for path in ("a.md", "A.md", "b.md", "c.md"):
        assert (await house.documents.at_path(TENANT, SPACE, "main", path)).revision_id == moved.revision_id
    taker = await house.create("b.md")
    assert (await house.documents.at_path(TENANT, SPACE, "main", "b.md")).document_id == taker.document_id
    back = await house.rename(moved, "a.md")
    assert (await house.documents.at_path(TENANT, SPACE, "main", "c.md")).revision_id == back.revision_id
    await house.delete(back)
    for path in ("a.md", "c.md", "nowhere.md"):
        with pytest.raises(DocumentNotFound):
            await house.documents.at_path(TENANT, SPACE, "main", path)


async def test_documents_are_listed_by_path_with_filters_and_pages(house: House) -> None:
    await house.space("other")
    await house.create("b/two.md", "---\ntags: [x]\nowner: kim\n---\n")
    await house.create("a.md", "---\ntags: [x, y]\n---\n")
    await house.create("b/one.md")
    await house.create("bb.md", space="other")
    await house.delete(await house.create("gone.md"))
    assert await listed(house) == ["a.md", "b/one.md", "b/two.md"]
    assert await listed(house, prefix="b/") == ["b/one.md", "b/two.md"]
    assert await listed(house, tag="x") == ["a.md", "b/two.md"]
    assert await listed(house, owner="kim") == ["b/two.md"]
    assert await listed(house, spaces=[SPACE, "other"], limit=2) == ["a.md", "b/one.md"]
    assert await listed(house, spaces=[SPACE, "other"], after=(SPACE, "b/one.md")) == ["b/two.md", "bb.md"]
    assert await listed(house, spaces=[]) == []


# ---------------------------------------------------------------------- the trash
async def test_what_is_deleted_is_in_the_trash_and_its_path_is_free(house: House) -> None:
    one, two = await house.create("one.md"), await house.create("two.md")
    gone = await house.delete(one)
    assert gone.deleted_at is not None
    later = await house.delete(two)
    trash = await house.documents.trash(TENANT, SPACE, "main", limit=9, before=None)
    assert [each.document_id for each in trash] == [two.document_id, one.document_id]
    assert later.deleted_at is not None
    rest = await house.documents.trash(TENANT, SPACE, "main", limit=9, before=(later.deleted_at, later.document_id))
    assert list(rest) == [gone]
    taker = await house.create("one.md")
    with pytest.raises(PathTaken):
        await house.write(following(gone, "# Start\n", change=Change.RESTORE))
    back = await house.write(following(gone, "# Start\n", change=Change.RESTORE, path="three.md"))
    assert back.deleted_at is None
    assert await listed(house) == ["one.md", "three.md"]
    assert taker.document_id != back.document_id


async def test_the_trash_is_emptied_when_the_space_says_so(house: House) -> None:
    await house.space("brief", rules=Rules(trash_retention=timedelta(hours=1)))
    kept, brief = await house.create(), await house.create(space="brief")
    await house.branches.add(TENANT, "brief", "next", "main", "ann")
    both = await house.create("both.md", space="brief")
    await house.branches.add(TENANT, "brief", "last", "main", "ann")
    for head in (kept, brief, both):
        await house.delete(head)
    assert await house.documents.purge(10) == 0
    await house.advance(2 * 3600)
    assert await house.documents.purge(1) == 1
    assert await house.documents.purge(10) == 1
    for head in (brief, both):
        with pytest.raises(DocumentNotFound):
            await house.documents.head(TENANT, head.document_id, "main")
    assert (await house.documents.head(TENANT, both.document_id, "last")).revision_id == both.revision_id
    await house.advance(31 * 86_400)
    assert await house.documents.purge(10) == 1
    with pytest.raises(RevisionNotFound):
        await house.documents.revision(TENANT, kept.document_id, kept.revision_id)


# ---------------------------------------------------------------------- many writes at once
async def test_many_writes_are_made_together(house: House) -> None:
    made = await house.create()
    heads = await house.write_all(first("new.md"), following(made, "# Two\n"))
    assert [each.path for each in heads] == ["new.md", "start.md"]
    assert await house.content(heads[1]) == "# Two\n"
    assert list(await house.write_all()) == []


async def test_of_many_writes_none_is_made_when_one_fails(house: House) -> None:
    made = await house.create()
    moved = await house.edit(made, "# Two\n")
    for bad, error in (
        (following(made, "# Late\n"), StaleHead),
        (first("START.md"), PathTaken),
        (first("x.md", branch="nowhere"), BranchNotFound),
        (following(made, "x", document_id="doc_unknown"), DocumentNotFound),
    ):
        with pytest.raises(error):
            await house.write_all(first("new.md"), bad, first("newer.md"))
    assert await listed(house) == ["start.md"]
    assert (await house.documents.head(TENANT, made.document_id, "main")) == moved


async def test_a_request_id_stands_for_one_write_among_many_too(house: House) -> None:
    await house.write(first(request_id="r", fingerprint=b"f"))
    with pytest.raises(RequestReused):
        await house.write_all(first("new.md", request_id="r", fingerprint=b"g"))
    assert await listed(house) == ["start.md"]


async def test_documents_of_one_step_may_take_each_others_paths(house: House) -> None:
    one, two, three = [await house.create(f"{name}.md", f"# {name}\n") for name in ("one", "two", "three")]
    heads = await house.write_all(
        following(one, "# one\n", path="two.md", change=Change.RENAME),
        following(two, "# two\n", path="ONE.md", change=Change.RENAME),
        first("three.md", "# new\n"),
        following(three, "# three\n", change=Change.DELETE, deleted=True),
    )
    assert await listed(house) == ["ONE.md", "three.md", "two.md"]
    assert (await house.documents.at_path(TENANT, SPACE, "main", "one.md")).document_id == two.document_id
    assert (await house.documents.at_path(TENANT, SPACE, "main", "three.md")).document_id == heads[2].document_id
    with pytest.raises(PathTaken):
        await house.write_all(following(heads[0], "x", path="three.md"), following(heads[1], "y", path="four.md"))
    assert await listed(house) == ["ONE.md", "three.md", "two.md"]


async def test_a_document_comes_over_to_a_branch_that_did_not_have_it(house: House) -> None:
    await house.branches.add(TENANT, SPACE, "next", "main", "ann")
    there = await house.create("new.md", "# New\n", branch="next")
    over = first(
        "new.md", "# New\n", document_id=there.document_id, merged=there.revision_id, change=Change.MERGE, author="bob"
    )
    [here] = await house.write_all(over)
    assert (here.branch, here.document_id, here.created_by, here.owner) == ("main", there.document_id, "ann", "ann")
    revision = await house.documents.revision(TENANT, here.document_id, here.revision_id)
    assert (revision.parents, revision.change) == ((there.revision_id,), Change.MERGE)
    assert (await house.documents.graph(TENANT, here.document_id)).ancestor(
        here.revision_id, there.revision_id
    ) == there.revision_id
    with pytest.raises(StaleHead) as error:
        await house.write_all(replace(over, revision_id="rev_again"))
    assert error.value.head.revision_id == here.revision_id


# ---------------------------------------------------------------------- bodies and tenants
async def test_bodies_that_nothing_refers_to_are_forgotten(house: House) -> None:
    shared = await house.create("kept.md", "# Shared\n")
    head = await house.create("gone.md", "# Shared\n")
    for number in range(20):
        head = await house.edit(head, f"# Shared\n\n{number}\n")
    await house.delete(head)
    assert await house.documents.sweep(100) == 0
    await house.advance(31 * 86_400)
    await house.documents.purge(10)
    while await house.documents.sweep(3):
        pass
    assert await house.content(shared) == "# Shared\n"
    bodies = await house.documents.contents(TENANT, [shared.sha256])
    assert list(bodies) == [shared.sha256]
    again = await house.create("again.md", "# Shared\n\n19\n")
    assert await house.content(again) == "# Shared\n\n19\n"


async def test_a_tenant_sees_nothing_of_another(house: House) -> None:
    made = await house.create()
    await house.space(SPACE, OTHER)
    foreign = await house.create(tenant_id=OTHER)
    documents = house.documents
    for call in (
        documents.head(OTHER, made.document_id, "main"),
        documents.document(OTHER, made.document_id, "main"),
        documents.at_path(OTHER, SPACE, "main", "nowhere.md"),
    ):
        with pytest.raises(DocumentNotFound):
            await call
    assert (await documents.at_path(OTHER, SPACE, "main", "start.md")).document_id == foreign.document_id
    assert list(await documents.revisions(OTHER, [made.revision_id])) == []
    assert made.revision_id not in await documents.graph(OTHER, made.document_id)
    history = await documents.history(OTHER, SPACE, document_id="", since=None, after="", limit=9)
    assert [each.document_id for each in history] == [foreign.document_id]
    with pytest.raises(DocumentNotFound):
        await house.write(following(made, "# Mine\n", tenant_id=OTHER))
