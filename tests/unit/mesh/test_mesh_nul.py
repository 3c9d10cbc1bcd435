"""Who sends a NUL is told in which field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from automesh.core.errors import NotFound, ValidationError
from automesh.doc.v1 import space_pb2
from automesh.doc.v1 import space_service_pb2 as pb
from automesh.mesh.nul import naming_nul


def of(**fields: Any) -> pb.CreateSpaceRequest:
    return pb.CreateSpaceRequest(space=space_pb2.Space(**fields))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GetSpaceRequest(space="a\0b"), "space"),
        (of(title="\0"), "space.title"),
        (of(members=[space_pb2.Member(user="ann"), space_pb2.Member(user="b\0")]), "space.members.user"),
        (of(rules=space_pb2.SpaceRules(words=["a", "\0"])), "space.rules.words"),
        (of(rules=space_pb2.SpaceRules(levels={"\0": space_pb2.RULE_LEVEL_OFF})), "space.rules.levels"),
        (
            of(rules=space_pb2.SpaceRules(front_matter_schema=json_format.ParseDict({"a": {"b": ["\0"]}}, Struct()))),
            "space.rules.front_matter_schema.fields.struct_value.fields.list_value.values.string_value",
        ),
    ],
)
def test_the_field_that_holds_a_nul_is_named(request_: Message, field: str) -> None:
    error = naming_nul(ValidationError("no NUL"), request_)
    assert isinstance(error, ValidationError)
    assert [each.field for each in error.violations][:1] == [field]


def test_an_error_that_names_its_field_or_is_of_another_kind_stays_as_it_is() -> None:
    request = pb.GetSpaceRequest(space="\0")
    named = naming_nul(ValidationError("too long", field="title"), request)
    assert isinstance(named, ValidationError)
    assert [each.field for each in named.violations] == ["title"]
    assert not hasattr(naming_nul(NotFound("none"), request), "violations")
    assert naming_nul(ValidationError("odd"), iter(())) is not None
