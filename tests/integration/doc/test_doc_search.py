"""Search as people use it, on the index of a replica."""

from __future__ import annotations

import pytest

from automesh.core import paging
from automesh.core.errors import NotFound, ValidationError
from automesh.doc.v1 import search_service_pb2 as pb
from automesh.doc.v1 import space_pb2
from automesh.doc.v1 import space_service_pb2 as space_pb
from services.doc.domain.search.ports import Searched
from services.doc.search import folder
from tests.integration.doc.doc_house import Served, invalid, refused
from tests.integration.doc.doc_house_search import caught_up, paths, search, search_stub, status

READER, WRITER = space_pb2.MEMBER_ROLE_READER, space_pb2.MEMBER_ROLE_WRITER


async def test_a_document_is_found_by_its_words_with_its_section_and_marks(handbook: Served) -> None:
    await handbook.write(
        "deploy.md", "# Deployment\n\nIntro.\n\n## Rolling back\n\nCall `rollback_release` to go back.\n"
    )
    await handbook.write("other.md", "# Other\n\nNothing of that.\n")
    await caught_up(handbook)

    (result,) = (await search(handbook, "rollback")).results

    assert (result.path, result.title, result.section, result.anchor) == (
        "deploy.md", "Deployment", "Rolling back", "rolling-back",
    )  # fmt: skip
    assert [result.snippet[mark.start : mark.end] for mark in result.marks] == ["rollback_release"]
    assert result.score > 0
    assert result.update_time.seconds > 0


async def test_a_mistyped_word_is_corrected_and_told(handbook: Served) -> None:
    await handbook.write("deploy.md", "# Deployment\n\nHow configuration works.\n")
    await caught_up(handbook)

    found = await search(handbook, "confgiuration")

    assert [each.path for each in found.results] == ["deploy.md"]
    assert dict(found.corrections) == {"confgiuration": "configuration"}


async def test_a_slip_in_a_word_that_is_new_is_corrected_a_little_later_and_not_never(
    handbook: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "VOCABULARY_FOR_S", 3600.0)
    await handbook.write("a.md", "# A\n\nzebra\n")
    await caught_up(handbook)
    assert dict((await search(handbook, "zebar")).corrections) == {"zebar": "zebra"}
    await handbook.write("b.md", "# B\n\ncrocodile\n")
    await caught_up(handbook)
    assert dict((await search(handbook, "crocdile")).corrections) == {}

    monkeypatch.setattr(folder, "VOCABULARY_FOR_S", 0.0)
    assert dict((await search(handbook, "crocdile")).corrections) == {"crocdile": "crocodile"}


async def test_what_is_written_over_is_found_by_its_new_words_only(handbook: Served) -> None:
    written = await handbook.write("a.md", "# A\n\nzebra\n")
    await handbook.edit(written, "# A\n\ngiraffe\n")
    await caught_up(handbook)

    assert await paths(handbook, "giraffe") == ["a.md"]
    assert await paths(handbook, "zebra") == []


async def test_members_only_spaces_are_found_by_their_members_and_at_once(handbook: Served) -> None:
    await handbook.space("board", visibility=space_pb2.VISIBILITY_MEMBERS, members=[_member("ann", WRITER)])
    await handbook.write("open.md", "# Open\n\nmerger of teams\n")
    await handbook.write("closed.md", "# Closed\n\nmerger with globex\n", space="board")
    await caught_up(handbook)

    assert set(await paths(handbook, "merger")) == {"open.md", "closed.md"}
    assert await paths(handbook, "merger", user="bob") == ["open.md"]
    found = await search(handbook, "globx", user="bob")
    assert (list(found.results), dict(found.corrections)) == ([], {})
    assert isinstance(await refused(search(handbook, "merger", user="bob", space="board")), NotFound)
    await handbook.write("other.md", "# Other\n\n## One\n\n## Two\n")
    await handbook.edit(await handbook.write("another.md"), "# Another\n")
    await caught_up(handbook)
    assert [(await status(handbook, user)).sections for user in ("ann", "bob")] == [6, 5]

    spaces = await handbook.spaces()
    board = (await spaces.GetSpace(space_pb.GetSpaceRequest(space="board"))).space
    board.members.append(_member("bob", READER))
    await spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=board))
    assert set(await paths(handbook, "merger", user="bob")) == {"open.md", "closed.md"}


async def test_a_deleted_space_is_gone_from_search_at_once(handbook: Served) -> None:
    await handbook.write("a.md", "# A\n\nzebra\n")
    await caught_up(handbook)
    spaces = await handbook.spaces()
    await spaces.DeleteSpace(space_pb.DeleteSpaceRequest(space="handbook", force=True, reason="test"))

    assert await paths(handbook, "zebra") == []
    await caught_up(handbook)
    assert (await status(handbook)).sections == 0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "query is empty: say what to look for"),
        (" \n\t ", "query is empty: say what to look for"),
        ("a\x00b", "query has the control character '\\x00'"),
        ("word " * 10_000, "query has 50000 characters; at most 1000 are allowed"),
        ("x" * 1_000_000, "query has 1000000 characters; at most 1000 are allowed"),
    ],
)
async def test_a_query_that_is_none_is_refused_with_what_is_wrong(handbook: Served, query: str, said: str) -> None:
    error = await invalid(search(handbook, query))

    assert said in error.message
    assert _field(error) == "query"


async def test_queries_of_stop_words_and_noise_are_answered(handbook: Served) -> None:
    await handbook.write("a.md", "# To be or not to be\n\nThat is the question.\n")
    await caught_up(handbook)

    assert await paths(handbook, "to be or not to be") == ["a.md"]
    assert await paths(handbook, "(((((q*)*)*)*$ [^") == []
    assert await paths(handbook, "???") == []


async def test_pages_of_results_go_on_with_their_token_and_with_no_other(handbook: Served) -> None:
    for number in range(15):
        await handbook.write(f"p{number:02}.md", f"# Page {number}\n\nzebra\n")
    await caught_up(handbook)

    first = await search(handbook, "zebra")
    second = await search(handbook, "zebra", page_token=first.next_page_token)

    assert len(first.results) == 10
    assert len({each.path for each in (*first.results, *second.results)}) == 15
    assert second.next_page_token == ""
    assert _field(await invalid(search(handbook, "giraffe", page_token=first.next_page_token))) == "page_token"
    assert _field(await invalid(search(handbook, "zebra", page_token="x"))) == "page_token"
    assert _field(await invalid(search(handbook, "zebra", page_token=paging.encode_token("99999999")))) == "page_token"
    assert _field(await invalid(search(handbook, "zebra", page_size=-1))) == "page_size"


async def test_suggestions_are_titles_then_words_of_what_the_caller_finds(handbook: Served) -> None:
    await handbook.space("board", visibility=space_pb2.VISIBILITY_MEMBERS, members=[_member("ann", WRITER)])
    await handbook.write("a.md", "# Rolling back a release\n\nrollback and rollout\n")
    await handbook.write("b.md", "# Rolling heads\n\nrollercoaster\n", space="board")
    await caught_up(handbook)
    stub = await search_stub(handbook, "bob")

    answer = await stub.SuggestQueries(pb.SuggestQueriesRequest(prefix="how roll"))
    assert [each.text for each in answer.suggestions] == ["how rollback", "how rolling", "how rollout"]
    answer = await stub.SuggestQueries(pb.SuggestQueriesRequest(prefix="Roll", page_size=2))
    assert [(each.text, each.path) for each in answer.suggestions] == [
        ("Rolling back a release", "a.md"), ("rollback", ""),
    ]  # fmt: skip
    assert not (await stub.SuggestQueries(pb.SuggestQueriesRequest(prefix=""))).suggestions
    assert not (await stub.SuggestQueries(pb.SuggestQueriesRequest(prefix=".*[("))).suggestions
    assert _field(await invalid(stub.SuggestQueries(pb.SuggestQueriesRequest(prefix="x" * 101)))) == "prefix"


@pytest.mark.parametrize(
    ("typed", "texts"),
    [
        ("TaskBo", ["Über das TaskBoard", "taskboard"]),
        ("the taskbo", ["the taskboard"]),
        ("Üb", ["Über das TaskBoard", "uber"]),
        ("ub", ["Über das TaskBoard", "uber"]),
        ("U\u0308b", ["Über das TaskBoard", "uber"]),
        ("İst", ["istanbul"]),
        ("claim_", []),
        ("a b c d e f g h i j k l m n rollb", ["a b c d e f g h i j k l m n rollback"]),
        ("über das ", ["Über das TaskBoard"]),
    ],
)
async def test_whatever_is_typed_is_gone_on_with_and_never_shortened(
    handbook: Served, typed: str, texts: list[str]
) -> None:
    await handbook.write("a.md", "# Über das TaskBoard\n\n`TaskBoard.claim_it` rollback in İstanbul\n")
    await caught_up(handbook)

    answer = await (await search_stub(handbook)).SuggestQueries(pb.SuggestQueriesRequest(prefix=typed))

    assert [each.text for each in answer.suggestions] == texts


async def test_a_search_is_told_to_whoever_counts_searches(handbook: Served) -> None:
    log = Log()
    handbook.engine.core.search_log = log
    await handbook.write("a.md", "# A\n\nzebra\n")
    await caught_up(handbook)

    found = await search(handbook, "  Zebra\n Crossing ", space="handbook")

    assert log.searches == [
        Searched(
            search_id=found.search_id,
            tenant_id="default",
            space="handbook",
            person="ann",
            query="zebra crossing",
            results=1,
        )
    ]


async def test_the_second_page_is_no_other_search(handbook: Served) -> None:
    log = Log()
    handbook.engine.core.search_log = log
    for number in range(3):
        await handbook.write(f"p{number}.md", "# P\n\nzebra\n")
    await caught_up(handbook)

    first = await search(handbook, "zebra", page_size=2)
    await search(handbook, "zebra", page_size=2, page_token=first.next_page_token)

    assert len(log.searches) == 1


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.searches: list[Searched] = []

    def searched(self, search: Searched) -> None:
        self.searches.append(search)


def _member(user: str, role: space_pb2.MemberRole.ValueType) -> space_pb2.Member:
    return space_pb2.Member(user=user, role=role)


def _field(error: ValidationError) -> str:
    return error.violations[0].field
