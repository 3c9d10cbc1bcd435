"""Spaces: which may be, and who may do what in one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.errors import PermissionDenied, ValidationError
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.errors import SpaceChanged, SpaceNotFound
from services.doc.domain.spaces.access import Person, check, role_in
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole, NewSpace, Rules, Space, Visibility
from services.doc.fakes.library import FakeLibrary
from services.doc.fakes.spaces import FakeSpaceStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READER, WRITER, OWNER = MemberRole.READER, MemberRole.WRITER, MemberRole.OWNER


def person(user: str, *, admin: bool = False) -> Person:
    return Person(tenant_id="acme", user=user, admin=admin)


def space(visibility: Visibility = Visibility.TENANT, **members: MemberRole) -> Space:
    return Space(
        space="s", visibility=visibility, members=members, tenant_id="acme", edition=1, created_by="ann",
        created_at=NOW, updated_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "user", "role"),
    [
        (space(), "eve", WRITER),
        (space(), "ann", OWNER),
        (space(ann=READER), "ann", READER),
        (space(eve=READER), "eve", READER),
        (space(eve=OWNER), "eve", OWNER),
        (space(Visibility.MEMBERS), "eve", None),
        (space(Visibility.MEMBERS), "ann", None),
        (space(Visibility.MEMBERS, eve=WRITER), "eve", WRITER),
    ],
)
def test_a_role_comes_from_membership_else_from_who_finds_the_space(
    found: Space, user: str, role: MemberRole | None
) -> None:
    assert role_in(found, person(user)) is role
    assert role_in(found, person(user, admin=True)) is OWNER


def test_who_may_do_less_is_refused_and_who_finds_nothing_is_told_so() -> None:
    found = space(Visibility.MEMBERS, eve=READER)
    check(found, person("eve"), READER)
    with pytest.raises(PermissionDenied, match="needs the role WRITER"):
        check(found, person("eve"), WRITER)
    with pytest.raises(SpaceNotFound):
        check(found, person("bob"), READER)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"space": "Not-Lower"}, "space.space"),
        ({"space": "-a"}, "space.space"),
        ({"space": "a" * 64}, "space.space"),
        ({"space": "ä"}, "space.space"),
        ({"title": "a\nb"}, "space.title"),
        ({"title": "x" * 201}, "space.title"),
        ({"description": "\x00"}, "space.description"),
        ({"members": {" ": READER}}, "space.members"),
        ({"members": {f"user{number}": READER for number in range(1001)}}, "space.members"),
    ],
)
def test_a_space_that_cannot_be_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        NewSpace(**{"space": "s", **fields})
    assert error.value.violations[0].field == field


@pytest.mark.parametrize(
    "fields",
    [
        {"required_approvals": -1}, {"required_approvals": 21}, {"words": ["w"] * 10_001},
        {"trash_retention": timedelta(seconds=59)}, {"review_after": timedelta()},
    ],
)  # fmt: skip
def test_rules_are_bounded(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rules(**fields)


# ---------------------------------------------------------------------- the directory
def directory() -> SpaceDirectory:
    return SpaceDirectory(FakeSpaceStore(FakeLibrary()), Doorbell())


async def test_who_makes_a_space_of_members_is_one_of_its_owners() -> None:
    spaces = directory()
    made = await spaces.create(person("ann"), NewSpace(space="s", visibility=Visibility.MEMBERS))
    assert made.members == {"ann": OWNER}
    assert list(await spaces.visible(person("ann"))) == ["s"]
    assert list(await spaces.visible(person("eve"))) == []
    with pytest.raises(SpaceNotFound):
        await spaces.visible(person("eve"), "s")


async def test_a_space_changes_for_its_owners_who_have_read_it() -> None:
    spaces = directory()
    made = await spaces.create(person("ann"), NewSpace(space="s"))
    changed = NewSpace(space="s", title="New")
    with pytest.raises(PermissionDenied):
        await spaces.replace(person("eve"), changed, str(made.edition))
    with pytest.raises(ValidationError, match="etag"):
        await spaces.replace(person("ann"), changed, "")
    assert (await spaces.replace(person("ann"), changed, str(made.edition))).title == "New"
    with pytest.raises(SpaceChanged):
        await spaces.replace(person("ann"), changed, str(made.edition))


async def test_a_space_is_forced_away_by_an_admin_who_says_why() -> None:
    spaces = directory()
    await spaces.create(person("ann"), NewSpace(space="s"))
    with pytest.raises(ValidationError, match="say why"):
        await spaces.delete(person("root", admin=True), "s", force=True, reason=" ")
    with pytest.raises(PermissionDenied):
        await spaces.delete(person("ann"), "s", force=True, reason="over")
    with pytest.raises(ValidationError, match="at most"):
        await spaces.delete(person("root", admin=True), "s", force=True, reason="x" * 1025)
    await spaces.delete(person("ann"), "s", force=False, reason="")
    with pytest.raises(SpaceNotFound):
        await spaces.find(person("ann"), "s")
