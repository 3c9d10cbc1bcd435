"""Messages of SpaceService and the domain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from google.protobuf.struct_pb2 import Struct

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import space_pb2 as pb
from automesh.doc.v1 import space_service_pb2 as service_pb
from automesh.mesh import times
from services.doc.convert.structs import plain
from services.doc.domain.spaces.space import (
    REVIEW_AFTER,
    TRASH_FOR,
    Level,
    MemberRole,
    NewSpace,
    Rules,
    Space,
    Visibility,
)

_VISIBILITY = {Visibility.TENANT: pb.VISIBILITY_TENANT, Visibility.MEMBERS: pb.VISIBILITY_MEMBERS}
_ROLE = {
    MemberRole.READER: pb.MEMBER_ROLE_READER,
    MemberRole.WRITER: pb.MEMBER_ROLE_WRITER,
    MemberRole.OWNER: pb.MEMBER_ROLE_OWNER,
}
_LEVEL = {
    Level.OFF: pb.RULE_LEVEL_OFF,
    Level.WARN: pb.RULE_LEVEL_WARN,
    Level.REFUSE: pb.RULE_LEVEL_REFUSE,
}


def space(found: Space, *, whole: bool = True) -> pb.Space:
    """The message of a space; in lists without members and rules."""
    message = pb.Space(
        space=found.space,
        title=found.name,
        description=found.description,
        visibility=_VISIBILITY[found.visibility],
        create_time=times.timestamp(found.created_at),
        update_time=times.timestamp(found.updated_at),
        created_by=found.created_by,
        document_count=found.document_count,
        etag=str(found.edition),
    )
    if whole:
        message.members.extend(pb.Member(user=user, role=_ROLE[role]) for user, role in sorted(found.members.items()))
        message.rules.CopyFrom(_rules(found.rules))
    return message


def new_space(message: pb.Space) -> NewSpace:
    """What somebody wants. Raises ValidationError."""
    return NewSpace(
        space=message.space,
        title=message.title,
        description=message.description,
        visibility=_visibility(message.visibility),
        members=_members(message.members),
        rules=_rules_of(message.rules),
    )


def spaces_page(found: Sequence[Space], size: int) -> service_pb.ListSpacesResponse:
    """A page by name."""
    token = paging.encode_token(found[-1].space) if len(found) == size else ""
    return service_pb.ListSpacesResponse(spaces=[space(each, whole=False) for each in found], next_page_token=token)


def _rules(rules: Rules) -> pb.SpaceRules:
    message = pb.SpaceRules(
        required_approvals=rules.required_approvals,
        levels={rule: _LEVEL[level] for rule, level in rules.levels.items()},
        words=rules.words,
        trash_retention=times.duration(rules.trash_retention),
        review_after=times.duration(rules.review_after),
        anonymous_analytics=rules.anonymous_analytics,
    )
    schema = Struct()
    schema.update(dict(rules.front_matter_schema))
    message.front_matter_schema.CopyFrom(schema)
    return message


def _rules_of(message: pb.SpaceRules) -> Rules:
    levels = {level: name for name, level in _LEVEL.items()}
    for rule, level in message.levels.items():
        if level not in {pb.RULE_LEVEL_UNSPECIFIED, *levels}:
            raise ValidationError(f"the rule {rule!r} has an unknown level {level}", field="space.rules.levels")
    return Rules(
        required_approvals=message.required_approvals,
        front_matter_schema=plain(message.front_matter_schema, field="space.rules.front_matter_schema"),
        levels={rule: levels[level] for rule, level in message.levels.items() if level in levels},
        words=tuple(message.words),
        trash_retention=_span(message, "trash_retention", TRASH_FOR),
        review_after=_span(message, "review_after", REVIEW_AFTER),
        anonymous_analytics=message.anonymous_analytics,
    )


def _span(message: pb.SpaceRules, name: Literal["trash_retention", "review_after"], default: timedelta) -> timedelta:
    return times.span(getattr(message, name), field=f"space.rules.{name}") if message.HasField(name) else default


def _visibility(value: int) -> Visibility:
    if value == pb.VISIBILITY_UNSPECIFIED:
        return Visibility.TENANT
    found = {int(number): name for name, number in _VISIBILITY.items()}.get(value)
    if found is None:
        raise ValidationError(f"there is no visibility {value}", field="space.visibility")
    return found


def _members(members: Sequence[pb.Member]) -> dict[str, MemberRole]:
    roles = {number: name for name, number in _ROLE.items()}
    found: dict[str, MemberRole] = {}
    for member in members:
        if member.role not in roles:
            raise ValidationError(
                f"say what {member.user!r} may do: reader, writer or owner", field="space.members.role"
            )
        if member.user in found:
            raise ValidationError(f"{member.user!r} is named twice", field="space.members")
        found[member.user] = roles[member.role]
    return found
