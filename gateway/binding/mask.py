"""PATCH: the update mask that a client left out, derived from the fields that its JSON holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.binding.fields import field_named
from gateway.codec.decode import is_well_known
from gateway.codec.faults import BadValue

FIELD_MASK = "google.protobuf.FieldMask"


def mask_field(request: Descriptor) -> FieldDescriptor | None:
    """The one FieldMask of a request message; None when it has none or several."""
    masks = [
        field
        for field in request.fields
        if not field.is_repeated and field.message_type is not None and field.message_type.full_name == FIELD_MASK
    ]
    return masks[0] if len(masks) == 1 else None


def derived_mask(descriptor: Descriptor, value: Any) -> list[str]:
    """The leaf paths of a JSON object, sorted, in proto spelling. A null is a path too: it clears the field."""
    paths = sorted(_leaves(descriptor, value, ""))
    if not paths:
        raise BadValue("a PATCH without any field changes nothing: name at least one, or send an update mask")
    return paths


def _leaves(descriptor: Descriptor, value: Any, prefix: str) -> Iterator[str]:
    if type(value) is not dict:
        return  # the reader of the message says what is wrong with it
    for key, each in value.items():
        field = field_named(descriptor, key)
        if field is None:
            continue
        path = f"{prefix}{field.name}"
        inner = field.message_type
        if inner is None or field.is_repeated or is_well_known(inner.full_name) or not each or type(each) is not dict:
            yield path
        else:
            yield from _leaves(inner, each, f"{path}.")
