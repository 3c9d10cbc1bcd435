"""One suite for the stores of spaces, branches and reviews: the fakes, and the real ones on PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.doc.domain.branches.branch import Branch, Work
from services.doc.domain.documents.document import Change
from services.doc.domain.errors import (
    BranchInUse,
    BranchNotFound,
    BranchTaken,
    DocumentNotFound,
    PathTaken,
    SpaceChanged,
    SpaceNotEmpty,
    SpaceNotFound,
    SpaceTaken,
    StaleHead,
)
from services.doc.domain.reviews.errors import ReviewChanged, ReviewEnded, ReviewNotFound, ReviewOpen
from services.doc.domain.reviews.ports import Merging
from services.doc.domain.reviews.review import Judgement, NewReview, Review, ReviewQuery, ReviewState, Verdict
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import MemberRole, NewSpace, Rules, Visibility
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
    text,
)

ANN, ADMIN = Person(tenant_id=TENANT, user="ann"), Person(tenant_id=TENANT, user="root", admin=True)


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


async def begin(house: House, branch: str = "next", base: str = "main") -> Branch:
    return await house.branches.add(TENANT, SPACE, branch, base, "ann")


async def work(house: House, branch: str = "next") -> Work:
    return (await house.branches.work(TENANT, [(SPACE, branch)]))[(SPACE, branch)]


async def propose(house: House, branch: str = "next", *, review_id: str = "review_1", **fields: Any) -> Review:
    new = NewReview(**{"space": SPACE, "branch": branch, "title": "Words", **fields})
    return await house.reviews.add(TENANT, review_id, new, "ann")


def judgement(reviewer: str = "bob", verdict: Verdict = Verdict.APPROVED, digest: str = "d") -> Judgement:
    return Judgement(reviewer=reviewer, verdict=verdict, message="so", digest=digest, judged_at=datetime.now(UTC))


# ---------------------------------------------------------------------- spaces
async def test_a_space_is_kept_with_its_members_and_rules(house: House) -> None:
    rules = Rules(required_approvals=2, words=("mesh",))
    members = {"ann": MemberRole.OWNER, "bob": MemberRole.READER}
    asked = NewSpace(space="secret", visibility=Visibility.MEMBERS, members=members, rules=rules)
    made = await house.spaces.add(TENANT, asked, "ann")
    assert (made.title, made.members, made.rules, made.created_by) == ("secret", members, rules, "ann")
    assert await house.spaces.get(TENANT, "secret") == made
    with pytest.raises(SpaceTaken):
        await house.spaces.add(TENANT, asked, "bob")
    changed = NewSpace(space="secret", title="Ours", members={"eve": MemberRole.WRITER})
    after = await house.spaces.replace(TENANT, changed, made.edition)
    assert (after.title, after.members, after.rules) == ("Ours", {"eve": MemberRole.WRITER}, Rules())
    assert after.edition > made.edition
    with pytest.raises(SpaceChanged):
        await house.spaces.replace(TENANT, changed, made.edition)


async def test_spaces_are_found_by_those_who_may(house: House) -> None:
    await house.space("secret", visibility=Visibility.MEMBERS, members={"bob": MemberRole.READER})
    await house.space("foreign", OTHER)
    for person, names in (
        (ANN, [SPACE]),
        (ADMIN, [SPACE, "secret"]),
        (Person(tenant_id=TENANT, user="bob"), [SPACE, "secret"]),
    ):
        assert list(await house.spaces.visible(person)) == names
        assert [each.space for each in await house.spaces.list(person, limit=9, after="")] == names
    assert [each.space for each in await house.spaces.list(ADMIN, limit=1, after=SPACE)] == ["secret"]
    with pytest.raises(SpaceNotFound):
        await house.spaces.get(TENANT, "foreign")


async def test_a_space_with_documents_goes_by_force_only_and_takes_everything_with_it(house: House) -> None:
    made = await house.create()
    gone = await house.delete(await house.create("gone.md"))
    await begin(house)
    await propose(house)
    assert (await house.spaces.counted(TENANT, SPACE)).document_count == 1
    with pytest.raises(SpaceNotEmpty):
        await house.spaces.delete(TENANT, SPACE, force=False)
    await house.spaces.delete(TENANT, SPACE, force=True)
    with pytest.raises(SpaceNotFound):
        await house.spaces.delete(TENANT, SPACE, force=True)
    for head in (made, gone):
        with pytest.raises(DocumentNotFound):
            await house.documents.head(TENANT, head.document_id, "main")
    with pytest.raises(ReviewNotFound):
        await house.reviews.get(TENANT, "review_1")
    await house.space()
    assert (await house.spaces.counted(TENANT, SPACE)).document_count == 0


# ---------------------------------------------------------------------- branches
async def test_a_branch_begins_where_its_base_stands_and_goes_its_own_way(house: House) -> None:
    one, two = await house.create("one.md"), await house.create("two.md")
    moved = await house.rename(two, "three.md")
    await house.delete(await house.create("gone.md"))
    branch = await begin(house)
    assert (branch.base, branch.created_by, branch.document_count) == ("main", "ann", 2)
    assert (await house.branches.get(TENANT, SPACE, "next")).base == "main"
    there = await house.documents.head(TENANT, one.document_id, "next")
    assert (there.revision_id, there.branch) == (one.revision_id, "next")
    assert (await house.documents.at_path(TENANT, SPACE, "next", "two.md")).revision_id == moved.revision_id
    await house.edit(there, "# Next\n")
    assert await house.content(one) == "# Start\n"
    await house.edit(one, "# Main\n")
    assert await house.content(there) == "# Next\n"
    for name, error in (("next", BranchTaken), ("main", BranchTaken)):
        with pytest.raises(error):
            await begin(house, name)
    with pytest.raises(BranchNotFound):
        await begin(house, "last", "nowhere")


async def test_branches_are_listed_by_their_last_change(house: House) -> None:
    made = await house.create()
    await begin(house, "a")
    await begin(house, "b")
    await house.edit(await house.documents.head(TENANT, made.document_id, "a"), "# A\n")
    listed = await house.branches.list(TENANT, SPACE, limit=9, before=None)
    assert [each.branch for each in listed] == ["a", "b", "main"]
    rest = await house.branches.list(TENANT, SPACE, limit=9, before=(listed[0].updated_at, "a"))
    assert [each.branch for each in rest] == ["b", "main"]


async def test_where_two_branches_differ_is_told_by_document(house: House) -> None:
    kept, edited, deleted, moved = [await house.create(f"{name}.md") for name in ("a", "b", "c", "d")]
    await begin(house)
    heads = {each: await house.documents.head(TENANT, each.document_id, "next") for each in (edited, deleted, moved)}
    after = await house.edit(heads[edited], "# Edited\n")
    gone = await house.delete(heads[deleted])
    there = await house.rename(heads[moved], "e.md")
    new = await house.create("new.md", branch="next")
    here = await house.create("here.md")
    found = {
        each.document_id: each
        for each in await house.branches.differing(TENANT, SPACE, "next", "main", limit=9, after="")
    }
    assert kept.document_id not in found
    sides = found[edited.document_id]
    assert (sides.head, sides.base_head, sides.began) == (after.revision_id, edited.revision_id, edited.revision_id)
    sides = found[deleted.document_id]
    assert (sides.head, sides.branch_deleted, sides.base_deleted) == (gone.revision_id, True, False)
    sides = found[moved.document_id]
    assert (sides.head, sides.path, sides.base_path) == (there.revision_id, "e.md", "d.md")
    sides = found[new.document_id]
    assert (sides.head, sides.base_head, sides.began, sides.base_path) == (new.revision_id, "", "", "new.md")
    sides = found[here.document_id]
    assert (sides.head, sides.base_head, sides.path) == ("", here.revision_id, "here.md")
    ids = sorted(found)
    page = await house.branches.differing(TENANT, SPACE, "next", "main", limit=2, after=ids[0])
    assert [each.document_id for each in page] == ids[1:3]


async def test_the_work_of_a_branch_is_what_was_done_on_it(house: House) -> None:
    made = await house.create()
    await begin(house)
    nothing = await work(house)
    assert list(nothing.authors) == []
    await house.edit(made, "# Main\n", author="kim")
    assert await work(house) == nothing
    there = await house.documents.head(TENANT, made.document_id, "next")
    changed = await house.edit(there, "# Next\n", author="eve", co_authors=("zoe",))
    something = await work(house)
    assert list(something.authors) == ["eve", "zoe"]
    assert something.digest != nothing.digest
    await house.edit(changed, "# Start\n")
    assert (await work(house)).digest not in (something.digest, nothing.digest)
    assert dict(await house.branches.work(TENANT, [(SPACE, "nowhere")])) == {}
    assert dict(await house.branches.work(OTHER, [(SPACE, "next")])) == {}


async def test_a_branch_of_the_same_name_does_not_inherit_the_work_of_one_that_is_gone(house: House) -> None:
    made = await house.create()
    await begin(house)
    await house.edit(await house.documents.head(TENANT, made.document_id, "next"), "# Eve\n", author="eve")
    await house.branches.delete(TENANT, SPACE, "next")
    await begin(house)
    await house.edit(await house.documents.head(TENANT, made.document_id, "next"), "# Bob\n")
    assert list((await work(house)).authors) == ["bob"]


async def test_a_branch_is_removed_with_its_heads_and_its_revisions_stay(house: House) -> None:
    made = await house.create()
    await begin(house)
    there = await house.edit(await house.documents.head(TENANT, made.document_id, "next"), "# Next\n")
    await house.branches.delete(TENANT, SPACE, "next")
    await house.branches.delete(TENANT, SPACE, "next")
    with pytest.raises(BranchNotFound):
        await house.branches.get(TENANT, SPACE, "next")
    with pytest.raises(DocumentNotFound):
        await house.documents.head(TENANT, made.document_id, "next")
    assert (await house.documents.revision(TENANT, made.document_id, there.revision_id)).branch == "next"


# ---------------------------------------------------------------------- reviews
async def test_a_review_is_kept_judged_and_listed(house: House) -> None:
    await begin(house)
    made = await propose(house, description="why", reviewers=("bob", "eve"))
    assert (made.state, made.author, made.description, made.work) == (ReviewState.OPEN, "ann", "why", None)
    await house.reviews.judge(TENANT, "review_1", judgement("bob", Verdict.CHANGES_REQUESTED, "d1"))
    await house.reviews.judge(TENANT, "review_1", judgement("eve", digest="d1"))
    after = await house.reviews.judge(TENANT, "review_1", judgement("bob", digest="d2"))
    assert [(each.reviewer, each.verdict, each.digest) for each in after.judgements] == [
        ("eve", Verdict.APPROVED, "d1"),
        ("bob", Verdict.APPROVED, "d2"),
    ]
    assert after.edition == made.edition + 3
    assert after.updated_at > made.updated_at
    assert await house.reviews.get(TENANT, "review_1") == after
    for query, count in (
        (ReviewQuery(spaces=[SPACE], limit=9), 1),
        (ReviewQuery(spaces=["other"], limit=9), 0),
        (ReviewQuery(spaces=[SPACE], state=ReviewState.MERGED, limit=9), 0),
        (ReviewQuery(spaces=[SPACE], reviewer="eve", limit=9), 1),
        (ReviewQuery(spaces=[SPACE], reviewer="ann", limit=9), 0),
        (ReviewQuery(spaces=[SPACE], limit=9, before=(after.updated_at, "review_1")), 0),
    ):
        assert len(await house.reviews.list(TENANT, query)) == count
    assert list(await house.reviews.list(OTHER, ReviewQuery(spaces=[SPACE], limit=9))) == []
    for call in (house.reviews.get(OTHER, "review_1"), house.reviews.judge(OTHER, "review_1", judgement())):
        with pytest.raises(ReviewNotFound):
            await call


async def test_a_review_needs_its_branches_and_keeps_them(house: House) -> None:
    await begin(house)
    for fields in ({"branch": "nowhere"}, {"target": "nowhere"}):
        with pytest.raises(BranchNotFound):
            await propose(house, **fields)
    await begin(house, "release")
    await propose(house, target="release")
    with pytest.raises(ReviewOpen):
        await propose(house, review_id="review_2")
    for branch in ("next", "release"):
        with pytest.raises(BranchInUse):
            await house.branches.delete(TENANT, SPACE, branch)
    done = Work("d", ("ann",))
    closed = await house.reviews.close(TENANT, "review_1", done, "enough")
    assert (closed.state, closed.work) == (ReviewState.CLOSED, done)
    assert await house.reviews.close(TENANT, "review_1", Work("other"), "again") == closed
    with pytest.raises(ReviewEnded):
        await house.reviews.judge(TENANT, "review_1", judgement())
    await propose(house, review_id="review_2")


async def test_a_merge_is_one_step(house: House) -> None:
    made = await house.create()
    await begin(house)
    there = await house.edit(await house.documents.head(TENANT, made.document_id, "next"), "# Next\n")
    review = await propose(house)
    write = following(made, "# Next\n", merged=there.revision_id, change=Change.MERGE)
    merging = Merging(
        review=review, work=Work("d", ("bob",)), user="ann", writes=[(write, text(write))], delete_branch=True
    )
    merged, revisions = await house.reviews.merge(merging)
    assert (merged.state, merged.work) == (ReviewState.MERGED, merging.work)
    assert [each.revision_id for each in revisions] == [write.revision_id]
    assert await house.content(made) == "# Next\n"
    with pytest.raises(BranchNotFound):
        await house.branches.get(TENANT, SPACE, "next")
    with pytest.raises(ReviewChanged):
        await house.reviews.merge(merging)
    with pytest.raises(ReviewEnded):
        await house.reviews.close(TENANT, "review_1", merging.work, "")


async def test_a_merge_that_fails_leaves_everything_as_it_was(house: House) -> None:
    made = await house.create()
    other = await house.create("other.md")
    await begin(house)
    await begin(house, "further", "next")
    review = await propose(house)
    moved = await house.edit(made, "# Moved\n")
    await house.reviews.judge(TENANT, "review_1", judgement())
    now = await house.reviews.get(TENANT, "review_1")
    good = following(other, "# Good\n")
    for bad, edition, error in (
        (following(made, "# Late\n"), now, StaleHead),
        (first("other.md"), now, PathTaken),
        (following(moved, "# Fine\n"), review, ReviewChanged),
    ):
        writes = [(each, text(each)) for each in (good, bad)]
        with pytest.raises(error):
            await house.reviews.merge(Merging(review=edition, work=Work("d"), user="ann", writes=writes))
    await propose(house, "further", review_id="review_2", target="next")
    with pytest.raises(BranchInUse):
        await house.reviews.merge(
            Merging(review=now, work=Work("d"), user="ann", writes=[(good, text(good))], delete_branch=True)
        )
    assert await house.content(other) == "# Start\n"
    assert await house.reviews.get(TENANT, "review_1") == now
