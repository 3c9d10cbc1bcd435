"""What becomes of a document when two branches meet, and whose approvals count."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from services.doc.domain.branches.branch import Work, check_name
from services.doc.domain.reviews.combining import Clash, Side, combine
from services.doc.domain.reviews.review import (
    Judgement,
    NewReview,
    Review,
    ReviewState,
    Standing,
    Verdict,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("next", "main")
sides = st.builds(
    Side,
    path=st.sampled_from(["a.md", "b.md", "c.md"]),
    content=st.sampled_from(["one\n\ntwo\n", "ONE\n\ntwo\n", "one\n\nTWO\n", "1\n\ntwo\n"]),
    deleted=st.booleans(),
)
living = sides.map(lambda side: Side(side.path, side.content))


# ---------------------------------------------------------------------- combining
@given(living, sides)
def test_what_only_the_branch_changed_is_as_on_the_branch(base: Side, branch: Side) -> None:
    outcome = combine(base, branch, base, NAMES)
    assert isinstance(outcome, Side)
    assert outcome.deleted == branch.deleted
    if not branch.deleted:
        assert outcome == branch


@given(living, sides)
def test_what_only_the_target_changed_is_as_on_the_target(base: Side, target: Side) -> None:
    outcome = combine(base, base, target, NAMES)
    assert isinstance(outcome, Side)
    assert outcome.deleted == target.deleted
    if not target.deleted:
        assert outcome == target


@given(living, sides, sides)
def test_nobodys_change_is_dropped_in_silence(base: Side, branch: Side, target: Side) -> None:
    outcome = combine(base, branch, target, NAMES)
    if isinstance(outcome, Clash):
        assert outcome.why
        assert outcome.mend
        return
    for side, other in ((branch, target), (target, branch)):
        if side.deleted:
            assert outcome.deleted
            assert other.deleted or (other.path, other.content) == (base.path, base.content)
        elif not outcome.deleted:
            assert side.path in (base.path, outcome.path)
            changed = set(side.content.split("\n")) - set(base.content.split("\n"))
            assert changed <= set(outcome.content.split("\n"))


@given(living, sides, sides)
def test_whether_people_must_decide_does_not_depend_on_the_direction(base: Side, branch: Side, target: Side) -> None:
    one, other = combine(base, branch, target, NAMES), combine(base, target, branch, NAMES)
    assert isinstance(one, Clash) == isinstance(other, Clash)


def test_a_rename_on_one_side_and_an_edit_on_the_other_go_together() -> None:
    base = Side("a.md", "one\n\ntwo\n")
    assert combine(base, Side("b.md", base.content), Side("a.md", "ONE\n\ntwo\n"), NAMES) == Side(
        "b.md", "ONE\n\ntwo\n"
    )
    assert combine(base, Side("a.md", "ONE\n\ntwo\n"), Side("b.md", base.content), NAMES) == Side(
        "b.md", "ONE\n\ntwo\n"
    )


# ---------------------------------------------------------------------- approvals
def judgement(reviewer: str, verdict: Verdict = Verdict.APPROVED, digest: str = "now") -> Judgement:
    return Judgement(reviewer=reviewer, verdict=verdict, digest=digest, judged_at=NOW)


def standing(*judgements: Judgement, authors: tuple[str, ...] = (), required: int = 1) -> Standing:
    review = Review(
        tenant_id="acme", review_id="review_1", space="s", branch="next", target="main", title="t", description="",
        state=ReviewState.OPEN, author="ann", reviewers=(), judgements=judgements, edition=1, created_at=NOW,
        updated_at=NOW,
    )  # fmt: skip
    return Standing(review=review, work=Work("now", authors), required=required)


def test_approvals_of_the_branch_as_it_is_now_by_others_count() -> None:
    said = (judgement("bob"), judgement("kim"), judgement("eve", digest="before"), judgement("ann"))
    assert standing(*said).approvals == 2
    assert standing(*said, authors=("kim", "zoe")).approvals == 1
    assert standing(*said, authors=("kim",)).involved == {"ann", "kim"}


def test_who_asks_for_changes_stands_against_it_until_the_branch_changes() -> None:
    against = judgement("bob", Verdict.CHANGES_REQUESTED)
    assert standing(against).against == ["bob"]
    assert standing(judgement("bob", Verdict.CHANGES_REQUESTED, "before")).against == []


# ---------------------------------------------------------------------- names and texts
@pytest.mark.parametrize("name", ["a", "release-2.1_x", "A" * 100, "main"])
def test_a_branch_has_a_plain_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "a\n", "A" * 101, "../x"])
def test_a_name_that_is_no_plain_one_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as error:
        check_name(name, field="base")
    assert error.value.violations[0].field == "base"


@pytest.mark.parametrize("name", ["MAIN", "Head", "a..b", "a.", "a.lock"])
def test_a_name_that_git_could_not_have_beside_main_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="git"):
        check_name(name)


def test_a_review_asks_a_bounded_number_of_people() -> None:
    with pytest.raises(ValidationError, match="at most 50"):
        NewReview(space="s", branch="b", title="t", reviewers=[f"user{number}" for number in range(51)])
