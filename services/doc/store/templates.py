"""Templates in SQL; their bodies are sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from automesh.storage.postgres import Database, Record
from automesh.storage.sealing import Sealer, place
from services.doc.domain.errors import space_not_found
from services.doc.domain.templates.desk import template_changed
from services.doc.domain.templates.errors import TemplatesFull, TemplateTaken, template_not_found
from services.doc.domain.templates.template import NewTemplate, Template
from services.doc.domain.templates.variable import Variable, VariableType

MAX_TEMPLATES = 500
"""Of one space."""

ADD = """
INSERT INTO template (template_id, tenant_id, space, name, description, body, path, variables, created_by)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
 WHERE (SELECT count(*) FROM template WHERE tenant_id = $2 AND space = $3) < $10
RETURNING *
"""
GET = "SELECT * FROM template WHERE tenant_id = $1 AND template_id = $2"
LIST = """
SELECT template_id, tenant_id, space, name, description, path, variables, edition, created_by, updated_at
  FROM template WHERE tenant_id = $1 AND space = ANY($2) AND (name, template_id) > ($3, $4)
 ORDER BY name, template_id LIMIT $5
"""
REPLACE = """
UPDATE template SET name = $4, description = $5, body = $6, path = $7, variables = $8, edition = edition + 1,
                    updated_at = now()
 WHERE tenant_id = $1 AND template_id = $2 AND edition = $3
RETURNING *
"""
DELETE = "DELETE FROM template WHERE tenant_id = $1 AND template_id = $2"


class SqlTemplateStore:
    """A services.doc.domain.templates.ports.TemplateStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def add(self, tenant_id: str, template_id: str, template: NewTemplate, created_by: str) -> Template:
        """One row."""
        try:
            row = await self._database.fetchrow(
                ADD, template_id, tenant_id, template.space, *self._values(tenant_id, template_id, template),
                created_by, MAX_TEMPLATES, tenant=tenant_id,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            raise _taken(template) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise space_not_found(template.space) from error
        if row is None:
            raise TemplatesFull(
                f"the space {template.space} has {MAX_TEMPLATES} templates, more are not kept: remove some",
                space=template.space,
            )
        return self._template(row)

    async def get(self, tenant_id: str, template_id: str) -> Template:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, template_id, tenant=tenant_id)
        if row is None:
            raise template_not_found(template_id)
        return self._template(row)

    async def list(
        self, tenant_id: str, spaces: Sequence[str], *, limit: int, after: tuple[str, str]
    ) -> Sequence[Template]:
        """Keyset by name and id."""
        rows = await self._database.fetch(LIST, tenant_id, list(spaces), *after, limit, tenant=tenant_id)
        return [_of_row(row, "-") for row in rows]

    async def replace(self, tenant_id: str, template_id: str, template: NewTemplate, edition: int) -> Template:
        """One row, if it is at the edition still."""
        try:
            row = await self._database.fetchrow(
                REPLACE, tenant_id, template_id, edition, *self._values(tenant_id, template_id, template),
                tenant=tenant_id,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            raise _taken(template) from error
        if row is None:
            raise template_changed(template_id)
        return self._template(row)

    async def delete(self, tenant_id: str, template_id: str) -> None:
        """One row, or none."""
        await self._database.execute(DELETE, tenant_id, template_id, tenant=tenant_id)

    def _values(self, tenant_id: str, template_id: str, template: NewTemplate) -> tuple[object, ...]:
        body = self._sealer.seal(template.body.encode(), _place(tenant_id, template_id))
        variables = json.dumps([_to_json(variable) for variable in template.variables])
        return template.name, template.description, body, template.path, variables

    def _template(self, row: Record) -> Template:
        body = self._sealer.unseal(row["body"], _place(row["tenant_id"], row["template_id"])).decode()
        return _of_row(row, body)


def _of_row(row: Record, body: str) -> Template:
    return Template(
        template_id=row["template_id"],
        tenant_id=row["tenant_id"],
        space=row["space"],
        name=row["name"],
        description=row["description"],
        body=body,
        path=row["path"],
        variables=tuple(_of_json(each) for each in json.loads(row["variables"])),
        edition=row["edition"],
        created_by=row["created_by"],
        updated_at=row["updated_at"],
    )


def _to_json(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": variable.type,
        "label": variable.label,
        "help": variable.help,
        "required": variable.required,
        "default": variable.default,
        "choices": list(variable.choices),
    }


def _of_json(kept: dict[str, Any]) -> Variable:
    return Variable(**kept | {"type": VariableType(kept["type"]), "choices": tuple(kept["choices"])})


def _place(tenant_id: str, template_id: str) -> bytes:
    return place("doc", tenant_id, "template", template_id)


def _taken(template: NewTemplate) -> TemplateTaken:
    return TemplateTaken(f"the space {template.space} has a template {template.name!r} already", name=template.name)
