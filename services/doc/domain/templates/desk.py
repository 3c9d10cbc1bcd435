"""The use cases around templates."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from automesh.core.clock import Clock
from automesh.core.errors import ValidationError
from services.doc.domain.documents import text
from services.doc.domain.documents.path import document_path
from services.doc.domain.errors import SpaceNotFound
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole
from services.doc.domain.templates.errors import TemplateChanged, TemplateNotFound, TemplateReadOnly, template_not_found
from services.doc.domain.templates.library import library
from services.doc.domain.templates.ports import Renderer, TemplateStore
from services.doc.domain.templates.template import Filled, NewTemplate, Template
from services.doc.domain.templates.variable import GIVEN, filled

_SHOWN = 20


class TemplateDesk:
    """Templates as somebody finds them: the library's, and those of the spaces."""

    def __init__(
        self,
        templates: TemplateStore,
        renderer: Renderer,
        directory: SpaceDirectory,
        *,
        make_id: Callable[[str], str],
        clock: Clock,
        max_bytes: int,
    ) -> None:
        self._templates, self._renderer, self._directory = templates, renderer, directory
        self._make_id, self._clock, self._max_bytes = make_id, clock, max_bytes

    async def create(self, person: Person, template: NewTemplate) -> Template:
        """As a writer. Raises TemplateTaken, and what is wrong with the template."""
        await self._directory.find(person, template.space, MemberRole.WRITER)
        await self._check(template)
        return await self._templates.add(person.tenant_id, self._make_id("tpl"), template, person.user)

    async def get(self, person: Person, template_id: str) -> Template:
        """Raises TemplateNotFound, also for one of a space that the person does not find."""
        return await self._find(person, template_id, MemberRole.READER)

    async def list(self, person: Person, space: str, *, limit: int, after: tuple[str, str]) -> Sequence[Template]:
        """A page by name and id, without bodies: the library's, and those of one space or of all."""
        spaces = await self._directory.visible(person, space)
        kept = await self._templates.list(person.tenant_id, spaces, limit=limit, after=after)
        ours = sorted((each for each in library().values() if _place(each) > after), key=_place)
        return list(islice(heapq.merge(ours, kept, key=_place), limit))

    async def replace(self, person: Person, template_id: str, template: NewTemplate, etag: str) -> Template:
        """As a writer. Raises TemplateChanged when the etag is not the template's, TemplateReadOnly, TemplateTaken."""
        _check_own(template_id)
        found = await self._find(person, template_id, MemberRole.WRITER)
        if template.space != found.space:
            raise ValidationError(f"the template stays in its space, {found.space}", field="template.space")
        if not etag:
            raise ValidationError("send the etag of the template that you have read", field="template.etag")
        if etag != found.etag:
            raise template_changed(template_id)
        await self._check(template)
        return await self._templates.replace(person.tenant_id, template_id, template, found.edition)

    async def delete(self, person: Person, template_id: str) -> None:
        """As a writer; one that is not there is no error. Raises TemplateReadOnly."""
        _check_own(template_id)
        with suppress(TemplateNotFound):
            await self._find(person, template_id, MemberRole.WRITER)
            await self._templates.delete(person.tenant_id, template_id)

    async def render(self, person: Person, template_id: str, values: Mapping[str, Any], space: str) -> Filled:
        """Filled in for a space; nothing is written."""
        template = await self._find(person, template_id, MemberRole.READER)
        if space:
            await self._directory.find(person, space)
        given = {
            "space": space or template.space,
            "today": self._clock().date().isoformat(),
            "user": person.user,
        }
        parts = {"body": template.body, **({"path": template.path} if template.path else {})}
        made = await self._renderer.fill(parts, {**filled(template.variables, values), **given})
        text.check(made["body"], self._max_bytes)
        return Filled(made["body"], _path(made.get("path", "")))

    async def _find(self, person: Person, template_id: str, least: MemberRole) -> Template:
        if template_id in library():
            return library()[template_id]
        found = await self._templates.get(person.tenant_id, template_id)
        try:
            await self._directory.find(person, found.space, least)
        except SpaceNotFound as error:
            raise template_not_found(template_id) from error
        return found

    async def _check(self, template: NewTemplate) -> None:
        """Raises ValidationError for what cannot be read, and for names that nobody gives a value."""
        parts = {"body": template.body, **({"path": template.path} if template.path else {})}
        known = {*GIVEN, *(variable.name for variable in template.variables)}
        for use in await self._renderer.uses(parts):
            if use.name not in known:
                there = ", ".join(sorted(known)[:_SHOWN])
                raise ValidationError(
                    f"{use.part}, line {use.line}: {use.name!r} is no variable of the template; there are {there}",
                    field=f"template.{use.part}",
                )


def template_changed(template_id: str) -> TemplateChanged:
    """With what to do."""
    return TemplateChanged(
        f"the template {template_id} has changed since you read it: read it again", templateId=template_id
    )


def _check_own(template_id: str) -> None:
    if template_id in library():
        raise TemplateReadOnly(
            f"the template {template_id!r} is the library's and stays as it is: make one of the same name in a space",
            templateId=template_id,
        )


def _place(template: Template) -> tuple[str, str]:
    return template.name, template.template_id


def _path(made: str) -> str:
    """Checked as a document's. Raises ValidationError."""
    stripped = " ".join(made.split())
    return document_path(stripped) if stripped else ""
