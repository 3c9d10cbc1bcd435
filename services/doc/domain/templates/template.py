"""A template: a document to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.templates.variable import Variable

MAX_NAME, MAX_DESCRIPTION, MAX_PATH, MAX_BODY, MAX_VARIABLES = 200, 4096, 1_000, 256 * 1024, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTemplate:
    """A template as somebody wants it. `body` and `path` are in Jinja's language; an empty path is asked for."""

    space: str
    name: str
    description: str = ""
    body: str
    path: str = ""
    variables: Sequence[Variable] = ()

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > MAX_NAME or not self.name.isprintable():
            raise ValidationError(f"a name has 1 to {MAX_NAME} printable characters", field="template.name")
        if len(self.description) > MAX_DESCRIPTION or "\x00" in self.description:
            raise ValidationError(
                f"a description has at most {MAX_DESCRIPTION} characters, none of them NUL",
                field="template.description",
            )
        if not self.body:
            raise ValidationError("a template needs a body: the text to begin with", field="template.body")
        if len(self.body.encode()) > MAX_BODY or "\x00" in self.body:
            raise ValidationError(f"a body has at most {MAX_BODY} bytes, none of them NUL", field="template.body")
        if len(self.path) > MAX_PATH or not self.path.isprintable():
            raise ValidationError(f"a path has at most {MAX_PATH} printable characters", field="template.path")
        names = [variable.name for variable in self.variables]
        if len(names) > MAX_VARIABLES or len(set(names)) < len(names):
            raise ValidationError(
                f"a template has at most {MAX_VARIABLES} variables, and none twice", field="template.variables"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(NewTemplate):
    """A template as it is kept; `edition` counts its changes. One without a space is the library's."""

    template_id: str
    tenant_id: str
    edition: int
    created_by: str
    updated_at: datetime | None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return str(self.edition)


@dataclass(frozen=True, slots=True)
class Filled:
    """A template that was filled in; the path is empty when the template does not say."""

    content: str
    path: str
