"""The library: templates that come with the service, a file each beside this module.

Front matter at the top of a file says name, description, path and variables; what follows is the body, perhaps with
front matter of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from services.doc.domain.documents import front_matter
from services.doc.domain.templates.template import Template
from services.doc.domain.templates.variable import Variable, VariableType

SUFFIX = ".md"


@cache
def library() -> Mapping[str, Template]:
    """By id, which is the name of the file."""
    found = sorted(files(__package__).iterdir(), key=lambda each: each.name)
    return {
        each.name.removesuffix(SUFFIX): template(each.name.removesuffix(SUFFIX), each.read_text(encoding="utf-8"))
        for each in found
        if each.name.endswith(SUFFIX)
    }


def template(template_id: str, source: str) -> Template:
    """One file."""
    told = front_matter.read(source).values
    return Template(
        template_id=template_id,
        tenant_id="",
        space="",
        name=str(told["name"]),
        description=str(told["description"]),
        body=front_matter.body_of(source),
        path=str(told["path"]),
        variables=tuple(_variable(each) for each in told.get("variables", [])),
        edition=1,
        created_by="",
        updated_at=None,
    )


def _variable(told: Mapping[str, Any]) -> Variable:
    return Variable(
        name=told["name"],
        type=VariableType(str(told.get("type", "string")).upper()),
        label=told.get("label", ""),
        help=told.get("help", ""),
        required=told.get("required", False),
        default=told.get("default"),
        choices=tuple(told.get("choices", ())),
    )
