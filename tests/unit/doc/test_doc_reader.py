"""What people ask of documents, on stores in memory."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from automesh.core.errors import ValidationError
from automesh.core.ids import new_id
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents import reader as reading
from services.doc.domain.documents.document import Head
from services.doc.domain.documents.history import HistoryQuery
from services.doc.domain.documents.pace import Lane
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.documents.requests import Edit, NewDocument
from services.doc.domain.documents.writer import DocumentWriter
from services.doc.domain.errors import DocumentNotFound, RevisionNotFound
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole, NewSpace, Visibility
from services.doc.fakes.documents import FakeDocumentStore
from services.doc.fakes.library import FakeLibrary
from services.doc.fakes.spaces import FakeSpaceStore
from services.doc.fakes.validation import NoChecks

ANN, BOB, EVE = (Person(tenant_id="acme", user=user) for user in ("ann", "bob", "eve"))


@dataclass
class Shelf:
    """A space of members with a reader and a writer of documents."""

    reader: DocumentReader
    writer: DocumentWriter

    async def document(self, *contents: str) -> list[Head]:
        """Its heads, one for each content; ann and bob take turns."""
        new = NewDocument(space="s", path=f"{new_id('page')}.md", content=contents[0])
        heads = [(await self.writer.create(ANN, new)).document.head]
        for number, content in enumerate(contents[1:]):
            edit = Edit(document_id=heads[0].document_id, expected=heads[-1].revision_id, content=content)
            heads.append((await self.writer.update((BOB, ANN)[number % 2], edit)).document.head)
        return heads


@pytest.fixture
async def shelf() -> Shelf:
    library, doorbell = FakeLibrary(), Doorbell()
    documents, directory = FakeDocumentStore(library), SpaceDirectory(FakeSpaceStore(library), doorbell)
    members = {"ann": MemberRole.WRITER, "bob": MemberRole.WRITER}
    await directory.create(
        Person(tenant_id="acme", user="root"), NewSpace(space="s", visibility=Visibility.MEMBERS, members=members)
    )
    writer = DocumentWriter(documents, directory, NoChecks(), doorbell, make_id=new_id, max_bytes=10_000)
    return Shelf(DocumentReader(documents, directory, Lane()), writer)


async def test_revisions_come_in_pages_newest_first_and_by_author(shelf: Shelf) -> None:
    heads = await shelf.document(*(f"{number}\n" for number in range(7)))
    newest = [head.revision_id for head in reversed(heads)]
    document_id = heads[0].document_id
    first = await shelf.reader.revisions(ANN, document_id, "main", author="", limit=3, after="")
    rest = await shelf.reader.revisions(ANN, document_id, "main", author="", limit=9, after=first[-1].revision_id)
    assert [each.revision_id for each in (*first, *rest)] == newest
    by_bob = await shelf.reader.revisions(ANN, document_id, "main", author="bob", limit=2, after="")
    more = await shelf.reader.revisions(ANN, document_id, "main", author="bob", limit=2, after=by_bob[-1].revision_id)
    assert [each.revision_id for each in (*by_bob, *more)] == newest[1::2]


async def test_a_pair_is_the_head_and_what_it_came_from_unless_others_are_named(shelf: Shelf) -> None:
    one, two, three = await shelf.document("1\n", "2\n", "3\n")
    pair = shelf.reader.pair
    assert await pair(ANN, one.document_id, "main", "", "") == (two.revision_id, three.revision_id, "2\n", "3\n")
    assert await pair(ANN, one.document_id, "main", "", one.revision_id) == ("", one.revision_id, "", "1\n")
    assert await pair(ANN, one.document_id, "main", three.revision_id, one.revision_id) == (
        three.revision_id, one.revision_id, "3\n", "1\n",
    )  # fmt: skip
    with pytest.raises(RevisionNotFound):
        await pair(ANN, one.document_id, "main", "rev_unknown", "")


async def test_an_earlier_state_has_the_path_and_title_of_then(shelf: Shelf) -> None:
    [made] = await shelf.document("# Then\n")
    edit = Edit(document_id=made.document_id, expected=made.revision_id, content="# Now\n", path="moved.md")
    now = (await shelf.writer.update(BOB, edit)).document
    then = await shelf.reader.document(ANN, made.document_id, "main", made.revision_id)
    assert (then.content, then.head.path, then.head.title, then.head.updated_by) == (
        "# Then\n",
        made.path,
        "Then",
        "ann",
    )
    assert (await shelf.reader.look_up(ANN, "s", "main", made.path)) == now
    other = (await shelf.document("x"))[0]
    with pytest.raises(RevisionNotFound):
        await shelf.reader.document(ANN, made.document_id, "main", other.revision_id)


@pytest.mark.parametrize(("bound", "most"), [("BLAME_STEPS", 2), ("BLAME_BYTES", len("a\nb\nc\na\nb\n"))])
async def test_blame_names_who_wrote_what_and_says_when_it_did_not_look_at_everything(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    one, two, three = await shelf.document("a\n", "a\nb\n", "a\nb\nc\n")
    origins, revisions, truncated = await shelf.reader.blame(ANN, one.document_id, "main", "")
    assert [each.revision_id for each in origins] == [one.revision_id, two.revision_id, three.revision_id]
    assert [each.author for each in revisions] == ["ann", "bob", "ann"]
    assert not truncated
    monkeypatch.setattr(reading, bound, most)
    origins, _, truncated = await shelf.reader.blame(ANN, one.document_id, "main", "")
    assert ([(each.count, each.revision_id) for each in origins], truncated) == (
        [(2, two.revision_id), (1, three.revision_id)], True,
    )  # fmt: skip


async def test_the_history_is_searched_in_steps_until_enough_is_found(shelf: Shelf) -> None:
    heads = await shelf.document("x\n", "needle\n", "y\n", "Needle needle\n")
    query = HistoryQuery(text="needle", document_id=heads[0].document_id, limit=2)
    hits, after = await shelf.reader.search_history(ANN, query)
    assert [(each.before, each.after, each.line) for each in hits] == [(0, 1, "Needle needle"), (1, 0, "needle")]
    rest, end = await shelf.reader.search_history(
        ANN, HistoryQuery(text="needle", document_id=heads[0].document_id, limit=2, after=after)
    )
    assert ([each.revision.revision_id for each in rest], end) == ([heads[1].revision_id], "")
    folded, _ = await shelf.reader.search_history(ANN, HistoryQuery(text="NEEDLE", space="s", ignore_case=True))
    assert [(each.before, each.after) for each in folded] == [(0, 2), (1, 0), (0, 1)]
    assert (await shelf.reader.search_history(ANN, HistoryQuery(text="NEEDLE", space="s")))[0] == []


@pytest.mark.parametrize("query", [{"text": "a", "space": "s"}, {"text": "x" * 201, "space": "s"}, {"text": "abc"}])
def test_a_search_of_history_has_a_text_and_a_place(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        HistoryQuery(**query)  # type: ignore[arg-type] # texts are all it needs here


async def test_who_does_not_find_the_space_finds_none_of_its_documents(shelf: Shelf) -> None:
    [made] = await shelf.document("x\n")
    reader = shelf.reader
    for call in (
        reader.document(EVE, made.document_id, "main"),
        reader.document(EVE, made.document_id, "main", made.revision_id),
        reader.head(EVE, made.document_id, "main"),
        reader.pair(EVE, made.document_id, "main", "", ""),
        reader.blame(EVE, made.document_id, "main", ""),
        reader.merge(EVE, made.document_id, "main", content="x", ours="", theirs=""),
        reader.search_history(EVE, HistoryQuery(text="xx", document_id=made.document_id)),
    ):
        with pytest.raises(DocumentNotFound):
            await call
