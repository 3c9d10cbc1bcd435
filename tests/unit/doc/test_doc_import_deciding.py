"""What an import does with a document, whatever the hashes."""

from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.documents.path import key
from services.doc.domain.jobs.job import Problem
from services.doc.domain.transfer.arrival import Arrival, Departure, Step
from services.doc.domain.transfer.deciding import Action, Place, decide
from services.doc.domain.transfer.planning import Planner, Standing

HASHES = st.sampled_from(["a", "b", "c", ""])


def place(sha256: str, path: str = "x.md", *, deleted: bool = False, document_id: str = "doc") -> Place:
    return Place(
        document_id=document_id, revision_id="rev", path=path, sha256=sha256, updated_by="ben", deleted=deleted
    )


@given(here=st.sampled_from("abc"), new=st.sampled_from("abc"), bases=st.lists(HASHES, max_size=3))
def test_what_people_wrote_here_is_never_overwritten(here: str, new: str, bases: list[str]) -> None:
    decision = decide(place(here), None, new, bases, "x.md")
    if decision.action is Action.UPDATE:
        assert here in bases
    if here == new:
        assert decision.action is Action.LEAVE
    if not any(bases) and here != new:
        assert decision.action is Action.REFUSE
    assert (decision.action is Action.MERGE) == (
        here != new and any(bases) and here not in bases and new != next(each for each in bases if each)
    )


@given(trashed=st.none() | st.sampled_from("abc"), new=st.sampled_from("abc"), bases=st.lists(HASHES, max_size=3))
def test_what_people_deleted_here_comes_back_only_when_nothing_was_imported(
    trashed: str | None, new: str, bases: list[str]
) -> None:
    decision = decide(None, place(trashed, deleted=True) if trashed else None, new, bases, "x.md")
    if trashed is None:
        assert decision.action is Action.CREATE
    elif any(bases):
        assert decision.action in {Action.LEAVE, Action.REFUSE}
        assert decision.note
    else:
        assert decision.action is Action.RESTORE


def arrival(path: str, sha256: str) -> Arrival:
    return Arrival(path=path, token="0", size=1, sha256=sha256)


def planner(places: list[Place], bases: dict[str, str] | None = None, prefix: str = "") -> Planner:
    return Planner(Standing(places, bases or {}), {}, prefix, delete_missing=True)


def test_a_file_that_was_moved_is_found_by_its_content_once() -> None:
    places = [place("a", "one.md", document_id="1"), place("a", "two.md", document_id="2")]
    step = Step(arrivals=[arrival(f"new{at}.md", "a") for at in range(3)], present={f"new{at}.md" for at in range(3)})
    plan = planner(places).plan(step)
    assert [each.decision.action for each in plan.documents] == [Action.RENAME, Action.RENAME, Action.CREATE]
    assert plan.missing == []


def test_what_a_refused_file_would_replace_is_not_missing() -> None:
    step = Step(arrivals=[], problems=[Problem("x.md", "too large")], present={"x.md"})
    assert planner([place("a")]).plan(step).missing == []


def test_a_departure_takes_a_document_away_unless_it_arrives_again() -> None:
    step = Step(arrivals=[arrival("X.md", "b")], departures=[Departure("x.md", "a"), Departure("y.md", "a")])
    plan = planner([place("a"), place("c", "y.md", document_id="2")], {key("x.md"): "a"}).plan(step)
    assert [each.path for each in plan.missing] == ["y.md"]
    assert [each.decision.action for each in plan.documents] == [Action.UPDATE]


def test_other_suffixes_of_markdown_become_documents_too() -> None:
    plan = planner([]).plan(Step(arrivals=[arrival("a.markdown", "a"), arrival("b.txt", "b")]))
    assert [each.path for each in plan.documents] == ["a.md"]
    assert [path for _, path in plan.attachments] == ["b.txt"]
