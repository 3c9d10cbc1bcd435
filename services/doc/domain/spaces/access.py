"""Who may do what in which space: by the permissions of a token, and by membership."""

from __future__ import annotations

from dataclasses import dataclass

from automesh.core.errors import PermissionDenied
from services.doc.domain.errors import BranchProtected, space_not_found
from services.doc.domain.spaces.space import MAIN, MemberRole, Space, Visibility

ADMIN = "doc.admin"
_ORDER = list(MemberRole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody of a tenant. `admin`: finds every space, and may do everything in it."""

    tenant_id: str
    user: str
    admin: bool = False


def role_in(space: Space, person: Person) -> MemberRole | None:
    """What somebody may do there; None: for them it is not there.

    The guard has already asked for the permission of the rpc (doc.write for a write). In a space of the tenant
    everybody who holds it may write, unless they are listed as a reader; a space of members knows its members only.
    """
    if person.admin:
        return MemberRole.OWNER
    listed = space.members.get(person.user)
    if listed is not None or space.visibility is Visibility.MEMBERS:
        return listed
    return MemberRole.OWNER if space.created_by == person.user else MemberRole.WRITER


def required_approvals(space: Space, branch: str) -> int:
    """What the space asks for protects its main branch."""
    return space.rules.required_approvals if branch == MAIN else 0


def check_unprotected(space: Space, branch: str, instead: str) -> None:
    """Raises BranchProtected, with what to do `instead`, where a branch changes by merging reviews only."""
    if required := required_approvals(space, branch):
        raise BranchProtected(
            f"the space {space.space} asks for {required} approvals: {instead} and propose it with a review",
            space=space.space,
        )


def check(space: Space, person: Person, least: MemberRole) -> None:
    """Raises SpaceNotFound for somebody who does not find it, PermissionDenied for one who may do less."""
    role = role_in(space, person)
    if role is None:
        raise space_not_found(space.space)
    if _ORDER.index(role) < _ORDER.index(least):
        raise PermissionDenied(
            f"this needs the role {least} in the space {space.space}, you have {role}: ask one of its owners",
            space=space.space,
        )
