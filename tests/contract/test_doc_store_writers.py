"""Many writers at once, on the fake and on PostgreSQL: nothing that was accepted is lost, whatever the order."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automesh.core.ids import new_id
from services.doc.domain.branches.branches import Branches
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents.document import Change, Head
from services.doc.domain.documents.merging import StaleWrite
from services.doc.domain.documents.requests import Edit, NewDocument, Restore
from services.doc.domain.documents.writer import DocumentWriter
from services.doc.domain.errors import DocumentTrashed, RequestReused, StaleHead
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.fakes.validation import NoChecks
from tests.contract.doc_stores import SPACE, TENANT, House, doc_database, fake_house, sql_house

BOUNDED = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LINES = 12


@dataclass
class Desk:
    """Writers over stores; every example has a document of its own."""

    house: House
    writer: DocumentWriter
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def document(self) -> Head:
        lines = [f"line {number}\n\n" for number in range(LINES)]
        new = NewDocument(space=SPACE, path=f"page{next(self.numbers)}.md", content="".join(lines))
        return (await self.writer.create(person("root"), new)).document.head

    async def text(self, head: Head) -> str:
        return await self.house.content(head)

    async def now(self, head: Head) -> Head:
        return await self.house.documents.head(TENANT, head.document_id, head.branch)


def person(user: str) -> Person:
    return Person(tenant_id=TENANT, user=user)


def desk_of(house: House) -> Desk:
    doorbell = Doorbell()
    directory = SpaceDirectory(house.spaces, doorbell)
    writer = DocumentWriter(house.documents, directory, NoChecks(), doorbell, make_id=new_id, max_bytes=1_000_000)
    return Desk(house, writer)


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def desk(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    if kind == "fake":
        house = fake_house()
        await house.space()
        yield desk_of(house)
        return
    async with doc_database(request.getfixturevalue("postgres")) as database:
        house = sql_house(database)
        await house.space()
        yield desk_of(house)


Step = tuple[str, int]
steps = st.tuples(st.sampled_from(["line", "line", "line", "end", "rename", "trash"]), st.integers(0, LINES - 1))
scripts = st.lists(st.lists(steps, min_size=1, max_size=3), min_size=2, max_size=4)


async def write(desk: Desk, made: Head, user: str, script: Sequence[Step]) -> list[str]:
    """Carries a script out, reading again and deciding for itself whenever it came too late; what was accepted."""
    accepted: list[str] = []
    for number, step in enumerate(script):
        for _ in range(50):
            head = await desk.now(made)
            try:
                accepted.append((await act(desk, head, user, step, number)).revision_id)
                break
            except (StaleHead, DocumentTrashed):
                await asyncio.sleep(0)
        else:
            raise AssertionError("a writer never came through")
    return accepted


async def act(desk: Desk, head: Head, user: str, step: Step, number: int) -> Head:
    what, line = step
    me = person(user)
    if head.deleted_at is not None:
        back = Restore(document_id=head.document_id, expected=head.revision_id)
        return (await desk.writer.restore(me, back)).head
    if what == "trash":
        return await desk.writer.delete(me, head.document_id, head.branch, head.revision_id, "")
    text = await desk.text(head)
    edit = Edit(document_id=head.document_id, expected=head.revision_id, merge_if_clean=True)
    if what == "rename":
        path = f"{user}-{number}-{head.path.rpartition('-')[2]}"
        edit = Edit(document_id=head.document_id, expected=head.revision_id, path=path)
    elif what == "end":
        edit = replace(edit, content=f"{text}{user} {number}\n\n")
    else:
        old = [each for each in text.split("\n") if each.startswith(f"line {line}")]
        new = text.replace(old[0], f"{old[0]} {user}.{number}", 1) if old else f"{text}{user} {number}\n\n"
        edit = replace(edit, content=new)
    return (await desk.writer.update(me, edit)).document.head


@BOUNDED
@given(scripts=scripts)
async def test_whatever_the_order_every_accepted_revision_led_to_the_head(
    desk: Desk, scripts: list[list[Step]]
) -> None:
    made = await desk.document()
    accepted = await asyncio.gather(
        *(write(desk, made, f"user{number}", script) for number, script in enumerate(scripts))
    )
    head = await desk.now(made)
    graph = await desk.house.documents.graph(TENANT, made.document_id)
    led = {node.revision_id for node in graph.history(head.revision_id)}
    every = {revision for revisions in accepted for revision in revisions}
    assert every <= led
    kept = await desk.house.documents.history(
        TENANT, SPACE, document_id=made.document_id, since=None, after="", limit=1000
    )
    assert {each.revision_id for each in kept} == led  # and none is there that nobody was told of
    assert len(kept) == len(every) + 1


@BOUNDED
@given(order=st.permutations(range(LINES)))
@pytest.mark.slow
async def test_edits_of_different_lines_are_all_in_the_text(desk: Desk, order: list[int]) -> None:
    made = await desk.document()
    text = await desk.text(made)

    async def change(line: int) -> None:
        edit = Edit(
            document_id=made.document_id,
            expected=made.revision_id,
            content=text.replace(f"line {line}\n", f"LINE {line}\n"),
            merge_if_clean=True,
        )
        for _ in range(50):
            try:
                await desk.writer.update(person(f"user{line}"), edit)
            except StaleWrite as stale:
                if stale.outcome.clean:  # it only ran out of tries
                    continue
                raise
            return
        raise AssertionError("a writer never came through")

    await asyncio.gather(*(change(line) for line in order))
    assert await desk.text(await desk.now(made)) == text.replace("line", "LINE")


async def test_a_stale_write_brings_both_texts_and_changes_nothing(desk: Desk) -> None:
    made = await desk.document()
    text = await desk.text(made)
    theirs = text.replace("line 3", "theirs")
    await desk.writer.update(
        person("bob"), Edit(document_id=made.document_id, expected=made.revision_id, content=theirs)
    )
    head = await desk.now(made)
    clean = Edit(document_id=made.document_id, expected=made.revision_id, content=text.replace("line 9", "mine"))
    with pytest.raises(StaleWrite) as error:
        await desk.writer.update(person("ann"), clean)
    outcome = error.value.outcome
    assert (outcome.clean, outcome.content) == (True, theirs.replace("line 9", "mine"))
    assert (outcome.base, outcome.theirs, error.value.head) == (made.revision_id, head.revision_id, head)
    unclean = Edit(
        document_id=made.document_id, expected=made.revision_id, content=text.replace("line 3", "mine"),
        merge_if_clean=True,
    )  # fmt: skip
    with pytest.raises(StaleWrite) as error:
        await desk.writer.update(person("ann"), unclean)
    [conflict] = error.value.outcome.conflicts
    assert (conflict.base, conflict.ours, conflict.theirs) == ("line 3\n", "mine\n", "theirs\n")
    assert await desk.now(made) == head


async def test_a_clean_merge_says_so_and_has_the_head_as_its_parent(desk: Desk) -> None:
    made = await desk.document()
    text = await desk.text(made)
    edits = [
        Edit(
            document_id=made.document_id, expected=made.revision_id, content=text.replace(f"line {number}\n", "new\n"),
            merge_if_clean=True,
        )
        for number in (2, 8)
    ]  # fmt: skip
    first = await desk.writer.update(person("ann"), edits[0])
    second = await desk.writer.update(person("bob"), edits[1])
    assert (first.merged, second.merged) == (False, True)
    revision = await desk.house.documents.revision(TENANT, made.document_id, second.document.head.revision_id)
    assert (revision.change, list(revision.parents)) == (Change.MERGE, [first.document.head.revision_id])


async def test_a_repeated_update_is_made_once_whatever_came_after_it(desk: Desk) -> None:
    made = await desk.document()
    edit = Edit(document_id=made.document_id, expected=made.revision_id, content="# One\n", request_id="r")
    first = (await desk.writer.update(person("ann"), edit)).document
    later = (
        await desk.writer.update(
            person("bob"), Edit(document_id=made.document_id, expected=first.head.revision_id, content="# Two\n")
        )
    ).document
    again = (await desk.writer.update(person("ann"), edit)).document
    assert again == later
    other = Edit(document_id=made.document_id, expected=made.revision_id, content="# Other\n", request_id="r")
    with pytest.raises(RequestReused):
        await desk.writer.update(person("ann"), other)
    history = await desk.house.documents.history(
        TENANT, SPACE, document_id=made.document_id, since=None, after="", limit=9
    )
    assert len(history) == 3


async def test_a_deleted_document_is_restored_before_it_is_written(desk: Desk) -> None:
    made = await desk.document()
    gone = await desk.writer.delete(person("ann"), made.document_id, "main", made.revision_id, "")
    for call in (
        desk.writer.update(person("ann"), Edit(document_id=made.document_id, expected=gone.revision_id, content="x")),
        desk.writer.delete(person("ann"), made.document_id, "main", gone.revision_id, ""),
    ):
        with pytest.raises(DocumentTrashed):
            await call
    text = (await desk.text(made)).replace("line 3", "late")
    late = Edit(document_id=made.document_id, expected=made.revision_id, content=text, merge_if_clean=True)
    with pytest.raises(DocumentTrashed):
        await desk.writer.update(person("ann"), late)
    back = await desk.writer.restore(person("ann"), Restore(document_id=made.document_id, expected=gone.revision_id))
    assert back.content == await desk.text(back.head)


@pytest.mark.parametrize("path", ["other.md", "START.md"])
async def test_a_rename_says_where_the_document_was(desk: Desk, path: str) -> None:
    made = await desk.house.create("start.md")
    edit = Edit(document_id=made.document_id, expected=made.revision_id, path=path)
    renamed = (await desk.writer.update(person("ann"), edit)).document.head
    [revision] = await desk.house.documents.revisions(TENANT, [renamed.revision_id])
    assert (revision.change, revision.path, revision.message) == (Change.RENAME, path, "renamed from start.md")


async def test_differences_of_a_branch_are_what_it_did_since_it_began(desk: Desk) -> None:
    made = await desk.document()
    house = desk.house
    branches = Branches(house.branches, house.documents, SpaceDirectory(house.spaces, Doorbell()))
    await branches.create(person("ann"), SPACE, "next", "main")
    there = await house.documents.head(TENANT, made.document_id, "next")

    async def found() -> list[tuple[Change, bool]]:
        listed = await branches.compare(person("ann"), SPACE, "next", "main", limit=9, after="")
        return [(each.change, each.both_changed) for each in listed]

    here = await house.edit(made, "# Main\n")
    assert await found() == []  # only the base has gone on
    there = await house.edit(there, "# Next\n")
    assert await found() == [(Change.EDIT, True)]
    here = await house.rename(here, "elsewhere.md")
    assert await found() == [(Change.EDIT, True)]  # it was not the branch that renamed it
    both = Edit(
        document_id=made.document_id, branch="next", expected=there.revision_id, content="# Both\n",
        merged=here.revision_id,
    )  # fmt: skip
    there = (await desk.writer.update(person("bob"), both)).document.head
    assert there.path == "elsewhere.md"  # main's rename came along
    assert await found() == [(Change.EDIT, False)]  # what main had done is in it
    there = await house.rename(there, "other.md")
    assert await found() == [(Change.RENAME, False)]
    await house.delete(there)
    assert await found() == [(Change.DELETE, False)]
    await house.delete(here)
    assert await found() == []
