"""What templates need from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.doc.domain.templates.template import NewTemplate, Template
from services.doc.domain.templates.variable import Value


@dataclass(frozen=True, slots=True)
class Use:
    """A name that a template uses and does not set itself: in its "body" or its "path", and the line, 0 if unknown."""

    part: str
    name: str
    line: int


class TemplateStore(Protocol):
    """Templates of spaces. Anything of another tenant is not there. Every method may raise Unavailable."""

    async def add(self, tenant_id: str, template_id: str, template: NewTemplate, created_by: str) -> Template:
        """Raises TemplateTaken, SpaceNotFound, Exhausted when the space has too many."""
        ...

    async def get(self, tenant_id: str, template_id: str) -> Template:
        """Raises TemplateNotFound."""
        ...

    async def list(
        self, tenant_id: str, spaces: Sequence[str], *, limit: int, after: tuple[str, str]
    ) -> Sequence[Template]:
        """A page by name and id, without bodies."""
        ...

    async def replace(self, tenant_id: str, template_id: str, template: NewTemplate, edition: int) -> Template:
        """Raises TemplateTaken, and TemplateChanged when it is at another edition or gone."""
        ...

    async def delete(self, tenant_id: str, template_id: str) -> None:
        """One that is not there is no error."""
        ...


class Renderer(Protocol):
    """Jinja within bounds. Raises ValidationError that names part and line, TemplateTooCostly, TemplatesBusy,
    Unavailable."""

    async def fill(self, parts: Mapping[str, str], values: Mapping[str, Value]) -> Mapping[str, str]:
        """The parts, filled in."""
        ...

    async def uses(self, parts: Mapping[str, str]) -> Sequence[Use]:
        """What the parts ask for."""
        ...
